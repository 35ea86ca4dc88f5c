"""What every test may use: the stand-in for DPS and the whole stack, each on free ports."""

from collections.abc import Iterator

import httpx
import pytest

from local.dps import DpsStandIn, Options
from local.stack import Stack
from local.threads import in_thread
from shared.settings import Settings

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


@pytest.fixture(scope="session")
def one_stack() -> Iterator[Stack]:
    """One stack for the whole session; take `stack`, which finds its DPS empty."""
    with in_thread(Stack(FREE_PORTS, functions_port=0)) as stack:
        yield stack


@pytest.fixture
def stack(one_stack: Stack) -> Stack:
    """The app on the local host, and a stand-in without records, faults and limits."""
    httpx.post(f"{one_stack.dps.url}/_reset").raise_for_status()
    return one_stack


@pytest.fixture
def settings(dps: DpsStandIn) -> Settings:
    """Settings that lead to `dps`."""
    return Settings.read({"DPS_CONNECTION_STRING": dps.connection_string})
