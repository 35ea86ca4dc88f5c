"""Fixtures for the tests of the DPS stand-in and of the device."""

from collections.abc import Iterator

import pytest

from local.dps import DpsStandIn, Options
from local.threads import in_thread
from tests.local.dps.calls import signed_client
from tests.local.dps.devices import FAST, Fleet, Webhook


@pytest.fixture(scope="session")
def dps_for_fleet() -> Iterator[DpsStandIn]:
    """A stand-in that lets devices and webhooks retry almost at once."""
    with in_thread(DpsStandIn(Options(port=0, tls_port=0, **FAST))) as dps:
        yield dps


@pytest.fixture
def fleet(dps_for_fleet: DpsStandIn) -> Iterator[Fleet]:
    """Devices at a stand-in without records."""
    with signed_client(dps_for_fleet) as client:
        client.post("/_reset").raise_for_status()
        yield Fleet(dps=dps_for_fleet, client=client)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A custom allocation webhook."""
    with in_thread(Webhook()) as server:
        yield server
