"""A client of the DPS stand-in, and faults in the stand-in."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.settings import Settings


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[DpsClient]:
    """The app's client, connected to `dps`."""
    async with DpsClient(settings) as client:
        yield client


@pytest.fixture
def inject_faults(dps: DpsStandIn) -> Callable[..., None]:
    """Replaces the stand-in's faults; each is `{"match": …, "times": …, "do": …}`."""

    def inject(*faults: dict[str, Any]) -> None:
        httpx.put(f"{dps.url}/_faults", json=faults).raise_for_status()

    return inject
