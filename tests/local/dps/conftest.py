"""One stand-in for a worker's tests, made empty for each of them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from azure.core.credentials import AzureNamedKeyCredential

from local.dps import DpsStandIn, Options
from local.threads import in_thread
from tests.local.dps.calls import ENROLLMENT, GROUP, NO_TLS, OWNER, Kind, signed_client
from tests.local.dps.devices import Webhook, Yard


@pytest.fixture(params=[ENROLLMENT, GROUP], ids=lambda kind: kind.path)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each of the two kinds of records in turn."""
    return request.param


@pytest.fixture(scope="session")
def running() -> Iterator[DpsStandIn]:
    """A stand-in of all defaults."""
    with in_thread(DpsStandIn(Options(port=0, tls_port=0))) as dps:
        yield dps


@pytest.fixture
def dps(running: DpsStandIn) -> DpsStandIn:
    """The same, empty and undisturbed."""
    httpx.post(f"{running.url}/_reset", verify=NO_TLS)
    return running


@pytest.fixture
def client(dps: DpsStandIn) -> Iterator[httpx.Client]:
    """A client that may do everything."""
    with signed_client(dps) as signed:
        yield signed


@pytest.fixture
def credential() -> AzureNamedKeyCredential:
    """The owner's key, as Microsoft's SDK takes it."""
    return AzureNamedKeyCredential(OWNER.name, OWNER.primary_key)


@pytest.fixture
def stand_in() -> Iterator[Callable[..., tuple[DpsStandIn, httpx.Client]]]:
    """Makes stand-ins with options of their own, each with a client that may do everything."""
    with ExitStack() as opened:

        def make(**options: Any) -> tuple[DpsStandIn, httpx.Client]:
            server = DpsStandIn(Options(port=0, tls_port=None, **options))
            dps = opened.enter_context(in_thread(server))
            now = options["clock"]() / 1e9 if "clock" in options else None
            return dps, opened.enter_context(signed_client(dps, now=now))

        yield make


@pytest.fixture(scope="session")
def running_for_devices() -> Iterator[DpsStandIn]:
    """A stand-in in a hurry: nobody waits for long, neither devices nor webhooks."""
    hurry = Options(port=0, tls_port=0, retry_after_seconds=0, retry_scale=0.0001)
    with in_thread(DpsStandIn(hurry)) as dps:
        yield dps


@pytest.fixture
def yard(running_for_devices: DpsStandIn) -> Iterator[Yard]:
    """The same, empty, and its owner."""
    with signed_client(running_for_devices) as owner:
        owner.post("/_reset").raise_for_status()
        yield Yard(dps=running_for_devices, owner=owner)


@pytest.fixture
def yard_with() -> Iterator[Callable[..., Yard]]:
    """Makes stand-ins in a hurry with options of their own."""
    with ExitStack() as opened:

        def make(**options: Any) -> Yard:
            hurry = {"port": 0, "tls_port": None, "retry_after_seconds": 0, "retry_scale": 0.0001}
            dps = opened.enter_context(in_thread(DpsStandIn(Options(**(hurry | options)))))
            return Yard(dps=dps, owner=opened.enter_context(signed_client(dps)))

        yield make


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A webhook that waits to be told what to answer."""
    with in_thread(Webhook()) as server:
        yield server
