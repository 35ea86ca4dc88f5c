"""What every test may use, and what every test must not do: let a secret out."""

import asyncio
import gc
import logging
from collections.abc import Iterator

import httpx
import pytest

from functions import _services
from local.dps import DpsStandIn, Options
from local.host import environment
from local.stack import DPS_SETTINGS, SERVICE_BUS_SETTINGS, UNPACED, Stack
from local.threads import in_thread
from shared.errors import AppError
from shared.settings import MessagingSettings, Settings
from tests import secret_factory
from tests.overheard import Overheard
from tests.throttling import has_throttled

FREE_PORTS = Options(port=0, tls_port=0)


@pytest.fixture(scope="session")
def one_dps() -> Iterator[DpsStandIn]:
    """One stand-in for the whole session; take `dps`, which finds it empty."""
    with in_thread(DpsStandIn(FREE_PORTS)) as stand_in:
        yield stand_in


@pytest.fixture
def dps(one_dps: DpsStandIn) -> DpsStandIn:
    """The stand-in without records, faults and limits."""
    httpx.post(f"{one_dps.url}/_reset").raise_for_status()
    return one_dps


class OneStack(Stack):
    """A stack whose app can be made to forget."""

    async def start(self) -> None:
        """As any stack does."""
        await super().start()
        self._loop = asyncio.get_running_loop()
        names = (*Settings.fields(), *MessagingSettings.fields())
        self._app_settings = {name: environment.setting(name) or "" for name in names}

    def restart_app(self) -> None:
        """The app is as a new process of it would be, with the settings that it had."""
        asyncio.run_coroutine_threadsafe(self._restart_app(), self._loop).result(10)

    async def _restart_app(self) -> None:
        await _services.aclose()
        # A stack that was started since has left its own in the environment.
        with environment.applied(self._app_settings):
            _services.services()
            _services.queues()


@pytest.fixture(scope="session")
def one_stack() -> Iterator[OneStack]:
    """One stack for the whole session; take `stack`, which finds its DPS empty."""
    with pytest.MonkeyPatch.context() as variables:
        for name in (*DPS_SETTINGS, *SERVICE_BUS_SETTINGS):
            variables.delenv(name, raising=False)
        variables.setenv("DPS_MAX_ATTEMPTS", "2")
        with in_thread(OneStack(FREE_PORTS, functions_port=0)) as stack:
            httpx.get(f"{stack.host.url}/health/ready").raise_for_status()
            yield stack


@pytest.fixture
def stack(one_stack: OneStack) -> Stack:
    """The app on the local host, and a stand-in without records, faults and limits."""
    if has_throttled(one_stack.dps):
        one_stack.restart_app()
    httpx.post(f"{one_stack.dps.url}/_reset").raise_for_status()
    return one_stack


@pytest.fixture
def settings(dps: DpsStandIn) -> Settings:
    """Settings that lead to `dps`, and give up sooner than one would in earnest."""
    return Settings.read(
        {**UNPACED, "DPS_CONNECTION_STRING": dps.connection_string, "DPS_MAX_ATTEMPTS": "3"}
    )


@pytest.fixture
def collected() -> Iterator[None]:
    """Leaves no garbage to the tests that follow."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def no_secret_gets_out(monkeypatch) -> Iterator[None]:
    """
    Fails a test after which a secret stands where none may: in the log, in an error, in what a
    child process printed, in the body of an error.
    """
    overheard = Overheard()
    remember = AppError.__init__

    def noted(self: AppError, *arguments: object, **named: object) -> None:
        remember(self, *arguments, **named)
        overheard.errors.append(self)

    monkeypatch.setattr(AppError, "__init__", noted)
    logging.getLogger().addHandler(overheard)
    secret_factory.said.clear()
    yield
    logging.getLogger().removeHandler(overheard)
    said = "\n".join([*overheard.said(), *secret_factory.said])
    # Not which: that would put it into the report.
    assert not any(secret in said for secret in secret_factory.made), "a secret got out"
