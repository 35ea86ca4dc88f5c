"""The app over HTTP, and its DPS at the test's orders."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions import _services
from local.host import Host
from local.stack import ROOT, Stack
from local.threads import in_thread
from shared.settings import Settings
from tests import secret_factory
from tests.functions.allocation_cases import POLICIES, Start


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
    """Starts the app with these settings and no other; gives a client of it."""
    with ExitStack() as running:

        def start(**settings: str) -> httpx.Client:
            for name in Settings.model_fields:
                monkeypatch.delenv(name.upper(), raising=False)
            for name, value in settings.items():
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
