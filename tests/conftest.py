"""Fixtures for all tests, and the search for leaked secrets after each."""

import gc
import logging
from collections.abc import Iterator

import httpx
import pytest

from local.dps import DpsStandIn, Options
from local.stack import UNPACED, Stack
from local.threads import in_thread
from shared.errors import AppError
from shared.settings import Settings
from tests import secret_factory
from tests.app_stack import RestartableStack, environment_without_services, has_throttled
from tests.leaks import LeakDetector

FREE_PORTS = Options(port=0, tls_port=0)


@pytest.fixture(scope="session")
def one_dps() -> Iterator[DpsStandIn]:
    """One stand-in for the whole session; tests use `dps`."""
    with in_thread(DpsStandIn(FREE_PORTS)) as stand_in:
        yield stand_in


@pytest.fixture
def dps(one_dps: DpsStandIn) -> DpsStandIn:
    """The stand-in without records, faults and quota."""
    httpx.post(f"{one_dps.url}/_reset").raise_for_status()
    return one_dps


@pytest.fixture(scope="session")
def one_stack() -> Iterator[RestartableStack]:
    """One stack for the whole session; tests use `stack`."""
    with environment_without_services() as environment:
        environment.setenv("DPS_MAX_ATTEMPTS", "2")
        with in_thread(RestartableStack(FREE_PORTS, functions_port=0)) as stack:
            httpx.get(f"{stack.host.url}/health/ready", timeout=60).raise_for_status()
            yield stack


@pytest.fixture
def stack(one_stack: RestartableStack) -> Stack:
    """The app on the local host, and the stand-in without records, faults and quota."""
    if has_throttled(one_stack.dps):
        one_stack.restart_app()
    httpx.post(f"{one_stack.dps.url}/_reset").raise_for_status()
    return one_stack


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    """The environment for a stack of the module's own, whose app listens to no queue."""
    with environment_without_services() as environment:
        # A stack with queue triggers takes a second to stop.
        for name in ("enrollment_requests", "bulk_operations"):
            environment.setenv(f"AzureWebJobs_{name}_Disabled", "1")
        yield environment


@pytest.fixture
def settings(dps: DpsStandIn) -> Settings:
    """Settings for `dps`, with fewer attempts than the default."""
    return Settings.read(
        {**UNPACED, "DPS_CONNECTION_STRING": dps.connection_string, "DPS_MAX_ATTEMPTS": "3"}
    )


@pytest.fixture
def collected(no_secret_leaks: LeakDetector, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Collects the test's garbage before the next test starts."""
    yield
    # The traceback of an error, raised or logged, may refer to a connection, which would outlive
    # the collection.
    no_secret_leaks.release_errors()
    for phase in ("setup", "call", "teardown"):
        caplog.get_records(phase).clear()
    gc.collect()


@pytest.fixture(autouse=True)
def no_secret_leaks(monkeypatch: pytest.MonkeyPatch) -> Iterator[LeakDetector]:
    """Fails a test that leaks a secret in a log line, an error, a response or a child's output."""
    detector = LeakDetector()
    original = AppError.__init__

    def keep_error(self: AppError, *arguments: object, **named: object) -> None:
        original(self, *arguments, **named)
        detector.errors.append(self)

    monkeypatch.setattr(AppError, "__init__", keep_error)
    logging.getLogger().addHandler(detector)
    secret_factory.outputs.clear()
    yield detector
    logging.getLogger().removeHandler(detector)
    texts = "\n".join([*detector.texts(), *secret_factory.outputs])
    # Does not say which, because the test report would then contain it.
    assert not any(secret in texts for secret in secret_factory.created), "a secret leaked"
