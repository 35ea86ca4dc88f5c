"""The app over HTTP, and its DPS at the test's orders."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from functions import _services
from local.host import Host
from local.stack import ROOT, Stack
from local.threads import in_thread
from shared.settings import Settings


@pytest.fixture
def app(stack: Stack) -> Iterator[httpx.Client]:
    """A client of the app."""
    with httpx.Client(base_url=stack.host.url, timeout=30) as client:
        yield client


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
            return running.enter_context(httpx.Client(base_url=host.url, timeout=30))

        yield start
