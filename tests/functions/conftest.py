"""Fixtures: the app over HTTP and over queues, and the DPS stand-in behind it."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions import runtime
from local.host import Host
from local.stack import ROOT, UNPACED, Stack
from local.threads import in_thread
from shared.dps.batching.items import ApplyOptions, ItemResult, RequestItem
from shared.dps.batching.writer import BatchWriter
from shared.settings import ServiceBusSettings, Settings
from tests import secret_factory
from tests.app_stack import environment_without_services, has_throttled
from tests.functions.queue_stack import Dps, Queues, QueueStack
from tests.functions.samples import POLICIES, StartApp


@pytest.fixture
def app(stack: Stack) -> Iterator[httpx.Client]:
    """A client of the app."""
    with httpx.Client(
        base_url=stack.host.url, timeout=30, event_hooks={"response": [record_errors]}
    ) as client:
        yield client


def record_errors(response: httpx.Response) -> None:
    """Keeps the text of an error response, which is searched for secrets after the test."""
    if response.is_error:
        response.read()
        secret_factory.outputs.append(f"{response.headers} {response.text}")


@pytest.fixture
def set_faults(stack: Stack) -> Callable[..., None]:
    """Sets the stand-in's faults: each `{"match": …, "times": …, "do": …}`."""

    def put(*faults: dict[str, Any]) -> None:
        httpx.put(f"{stack.dps.url}/_faults", json=faults).raise_for_status()

    return put


class ConfiguredApp(Host):
    """The app without queues, with the environment at its start."""

    async def stop(self) -> None:
        """Closes the app's connections too."""
        await runtime.aclose()
        await super().stop()


@pytest.fixture
def app_with(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., httpx.Client]]:
    """Starts the app with only these settings and without queues; returns a client of it."""
    with ExitStack() as running:

        def start(**settings: str) -> httpx.Client:
            for name in (*Settings.fields(), *ServiceBusSettings.fields()):
                monkeypatch.delenv(name, raising=False)
            for name in ("enrollment_requests", "bulk_operations"):
                monkeypatch.setenv(f"AzureWebJobs.{name}.Disabled", "true")
            for name, value in (UNPACED | settings).items():
                monkeypatch.setenv(name, value)
            host = running.enter_context(in_thread(ConfiguredApp(ROOT, port=0)))
            client = httpx.Client(
                base_url=host.url,
                timeout=30,
                verify=False,  # noqa: S501  plain HTTP, although a test may set certificates
                event_hooks={"response": [record_errors]},
            )
            return running.enter_context(client)

        yield start


@pytest.fixture
def app_with_policies(app_with: Callable[..., httpx.Client], tmp_path: Path) -> StartApp:
    """Starts the app with these allocation policies, or with this text as the policy file."""

    def start(policies: Any = POLICIES, **settings: str) -> httpx.Client:
        text = policies if isinstance(policies, str) else json.dumps({"policies": policies})
        path = tmp_path / "policies.json"
        path.write_text(text)
        return app_with(ALLOCATION_POLICIES_FILE=str(path), **settings)

    return start


@pytest.fixture
def no_dps_calls(stack: Stack) -> Iterator[None]:
    """Fails the test if DPS received a request."""
    yield
    assert stack.dps.requests == []


@pytest.fixture(scope="session")
def session_queue_stack() -> Iterator[QueueStack]:
    """The stack with queues, one for the session; tests use `queues`."""
    with environment_without_services(), in_thread(QueueStack()) as stack:
        yield stack


@pytest.fixture(scope="session")
def session_queues(session_queue_stack: QueueStack) -> Iterator[Queues]:
    """A client of its queues, one for the session; tests use `queues`."""
    client = Queues(session_queue_stack)
    yield client
    client.close()


@pytest.fixture
def queues(
    session_queues: Queues,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Queues:
    """Empty queues, an empty DPS, and the app with the settings of `QueueStack`."""
    caplog.set_level(logging.INFO, "shared.messaging")
    stack = session_queues.stack
    # Not set by `short_budget` itself, so that tests with the same settings share a start.
    settings = {
        **stack.settings,
        **(SHORT_BUDGET if "short_budget" in request.fixturenames else {}),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    was_throttled = has_throttled(stack.dps)
    httpx.post(f"{stack.dps.url}/_reset").raise_for_status()
    stack.broker.reset()
    stack.run_app(settings, force_restart=was_throttled)
    return session_queues


@pytest.fixture
def queue_dps(queues: Queues) -> Iterator[Dps]:
    """The DPS stand-in behind the queues."""
    client = Dps(queues)
    yield client
    client.close()


@pytest.fixture
def queue_app(queues: Queues) -> Iterator[httpx.Client]:
    """A client of the app that receives from the queues."""
    hooks = {"response": [record_errors]}
    with httpx.Client(base_url=queues.stack.host.url, timeout=60, event_hooks=hooks) as client:
        yield client


@pytest.fixture
def configure(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Restarts the app with these settings changed, for one test; "" unsets a setting."""

    def restart(**settings: str) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        queues.stack.restart_app()

    return restart


SHORT_BUDGET = {"MESSAGE_BUDGET_SECONDS": "1"}


class ServicesWithShortCalls(runtime.Services):
    """Services whose batch writer allows calls of one second, so that a short budget is enough."""

    @cached_property
    def writer(self) -> BatchWriter:
        """The batch writer."""
        return BatchWriter(self.dps.enrollments, self.dps.enrollment_groups, min_call_seconds=1)


@pytest.fixture
def short_budget(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001  starts the app
    """The app has one second for a message, after which it is postponed."""
    monkeypatch.setattr(runtime.services, "create", ServicesWithShortCalls)


@pytest.fixture
def internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes of records whose id starts with `bug` raise an unexpected error."""
    apply = BatchWriter.apply

    async def fail_or_apply(
        self: BatchWriter, item: RequestItem, options: ApplyOptions
    ) -> ItemResult:
        if item.id.startswith("bug"):
            raise KeyError("bug")
        return await apply(self, item, options)

    monkeypatch.setattr(BatchWriter, "apply", fail_or_apply)
