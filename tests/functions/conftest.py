"""The app over HTTP and over queues, and its DPS at the test's orders."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions import _services
from local.host import Host
from local.stack import DPS_SETTINGS, ROOT, SERVICE_BUS_SETTINGS, UNPACED, Stack
from local.threads import in_thread
from shared.settings import MessagingSettings, Settings
from tests import secret_factory
from tests.functions.allocation_cases import POLICIES, Start
from tests.functions.queue_requests import Dps
from tests.functions.queue_stack import Queues, QueueStack
from tests.throttling import has_throttled


@pytest.fixture
def app(stack: Stack) -> Iterator[httpx.Client]:
    """A client of the app."""
    with httpx.Client(
        base_url=stack.host.url, timeout=30, event_hooks={"response": [hear_errors]}
    ) as client:
        yield client


def hear_errors(response: httpx.Response) -> None:
    """Keeps what an error says, to be searched for secrets."""
    if response.is_error:
        response.read()
        secret_factory.said.append(f"{response.headers} {response.text}")


@pytest.fixture
def order_faults(stack: Stack) -> Callable[..., None]:
    """Orders faults of DPS: each `{"match": …, "times": …, "do": …}`."""

    def order(*faults: dict[str, Any]) -> None:
        httpx.put(f"{stack.dps.url}/_faults", json=faults).raise_for_status()

    return order


class ConfiguredApp(Host):
    """The app alone, with the environment of the moment it is started in."""

    async def stop(self) -> None:
        """Closes what the app opened as well."""
        await _services.aclose()
        await super().stop()


@pytest.fixture
def app_with(monkeypatch) -> Iterator[Callable[..., httpx.Client]]:
    """Starts the app with these settings and no other, and without queues; gives a client of it."""
    with ExitStack() as running:

        def start(**settings: str) -> httpx.Client:
            for name in (*Settings.fields(), *MessagingSettings.fields()):
                monkeypatch.delenv(name, raising=False)
            for name in ("enrollment_requests", "bulk_operations"):
                monkeypatch.setenv(f"AzureWebJobs.{name}.Disabled", "true")
            for name, value in (UNPACED | settings).items():
                monkeypatch.setenv(name, value)
            host = running.enter_context(in_thread(ConfiguredApp(ROOT, port=0)))
            client = httpx.Client(
                base_url=host.url,
                timeout=30,
                verify=False,  # noqa: S501  plain http, whatever certificates a test names
                event_hooks={"response": [hear_errors]},
            )
            return running.enter_context(client)

        yield start


@pytest.fixture
def with_policies(app_with: Callable[..., httpx.Client], tmp_path: Path) -> Start:
    """Starts the app with these allocation policies, or this text as their file."""

    def start(policies: Any = POLICIES, **settings: str) -> httpx.Client:
        text = policies if isinstance(policies, str) else json.dumps({"policies": policies})
        path = tmp_path / "policies.json"
        path.write_text(text)
        return app_with(ALLOCATION_POLICIES_FILE=str(path), **settings)

    return start


@pytest.fixture
def untouched(stack: Stack):
    """Fails the test if DPS was asked at all."""
    yield
    assert stack.dps.requests == []


@pytest.fixture(scope="session")
def one_queue_stack() -> Iterator[QueueStack]:
    """One stack with queues for the whole session; take `queues`."""
    with pytest.MonkeyPatch.context() as environment:
        for name in (*DPS_SETTINGS, *SERVICE_BUS_SETTINGS):
            environment.delenv(name, raising=False)
        with in_thread(QueueStack()) as stack:
            yield stack


@pytest.fixture(scope="session")
def all_queues(one_queue_stack: QueueStack) -> Iterator[Queues]:
    """Its queues for the whole session; take `queues`."""
    opened = Queues(one_queue_stack)
    yield opened
    opened.close()


@pytest.fixture
def queues(all_queues: Queues, request: pytest.FixtureRequest, monkeypatch, caplog) -> Queues:
    """Empty queues, an empty DPS, and the app with the settings of `QueueStack`, logging."""
    caplog.set_level(logging.INFO, "functions")
    stack = all_queues.stack
    # Here and not in `hasty`: tests that want the same share one start of the app.
    settings = {**stack.settings, **(HASTY if "hasty" in request.fixturenames else {})}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    was_throttled = has_throttled(stack.dps)
    httpx.post(f"{stack.dps.url}/_reset").raise_for_status()
    stack.broker.reset()
    stack.run_app(settings, anew=was_throttled)
    return all_queues


@pytest.fixture
def dps_of_queues(queues: Queues) -> Iterator[Dps]:
    """The DPS that the requests are for."""
    opened = Dps(queues)
    yield opened
    opened.close()


@pytest.fixture
def app_of_queues(queues: Queues) -> Iterator[httpx.Client]:
    """A client of the app that is fed from the queues."""
    hooks = {"response": [hear_errors]}
    with httpx.Client(base_url=queues.stack.host.url, timeout=60, event_hooks=hooks) as client:
        yield client


@pytest.fixture
def configure(queues: Queues, monkeypatch) -> Callable[..., None]:
    """Restarts the app with other settings, for one test; one that is "" is not set."""

    def restart(**settings: str) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        queues.stack.restart_app()

    return restart


HASTY = {"MESSAGE_BUDGET_SECONDS": "1"}


@pytest.fixture
def hasty(queues: Queues, monkeypatch) -> None:  # noqa: ARG001  which starts the app so
    """The app gives up on DPS after a second, to put a message off."""
    monkeypatch.setattr("shared.dps.bulk_writer._LEAST_SECONDS", 1)
