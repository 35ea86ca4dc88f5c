"""Clients of the stand-in, and stand-ins with their own options."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from local.dps import DpsStandIn, Options
from local.threads import in_thread
from tests.local.dps.calls import ENROLLMENT, GROUP, Kind, StartDps, signed_client
from tests.local.dps.devices import FAST, Fleet, StartFleet


@pytest.fixture(params=[ENROLLMENT, GROUP], ids=lambda kind: kind.path)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each of the two kinds of records."""
    kind: Kind = request.param
    return kind


@pytest.fixture
def client(dps: DpsStandIn) -> Iterator[httpx.Client]:
    """A client with all rights."""
    with signed_client(dps) as signed:
        yield signed


@pytest.fixture
def start_dps() -> Iterator[StartDps]:
    """Starts stand-ins with the given options, each with a client that has all rights."""
    with ExitStack() as opened:

        def start(**options: Any) -> tuple[DpsStandIn, httpx.Client]:
            dps = opened.enter_context(
                in_thread(DpsStandIn(Options(**{"port": 0, "tls_port": None} | options)))
            )
            return dps, opened.enter_context(signed_client(dps))

        yield start


@pytest.fixture
def start_fleet(start_dps: StartDps) -> StartFleet:
    """Starts stand-ins with the given options for devices."""

    def start(**options: Any) -> Fleet:
        dps, client = start_dps(**(FAST | options))
        return Fleet(dps=dps, client=client)

    return start
