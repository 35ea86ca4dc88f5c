"""The app with its stand-ins, shared by a whole test session."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import pytest

from functions import runtime
from local.dps import DpsStandIn
from local.host import environment
from local.stack import DPS_SETTINGS, SERVICE_BUS_SETTINGS, Stack
from shared.settings import ServiceBusSettings, Settings


class RestartableStack(Stack):
    """A stack whose app can be restarted."""

    async def start(self) -> None:
        """Starts the stack, and keeps the app's settings for restarts."""
        await super().start()
        self._loop = asyncio.get_running_loop()
        names = (*Settings.fields(), *ServiceBusSettings.fields())
        self._app_settings = {name: environment.setting(name) or "" for name in names}

    def restart_app(self) -> None:
        """Closes the app's connections and drops its state, as if its process were a new one."""
        asyncio.run_coroutine_threadsafe(self._restart_app(), self._loop).result(10)

    async def _restart_app(self) -> None:
        await runtime.aclose()
        # Another stack, started since, has left its own settings in the environment.
        with environment.applied(self._app_settings):
            runtime.services()
            runtime.messaging()


@contextmanager
def environment_without_services() -> Iterator[pytest.MonkeyPatch]:
    """Removes every setting that names a DPS or a Service Bus: a stack then sets its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (*DPS_SETTINGS, *SERVICE_BUS_SETTINGS):
            patch.delenv(name, raising=False)
        yield patch


def has_throttled(dps: DpsStandIn) -> bool:
    """Returns whether DPS has sent a 429 since its reset, so that an app has reduced its rate."""
    return any(request.status == HTTPStatus.TOO_MANY_REQUESTS for request in dps.requests)
