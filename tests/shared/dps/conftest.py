"""A client and ways to disturb what it talks to."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx
import pytest

from local.dps import DpsStandIn
from shared.dps import CallContext, DpsClient
from shared.dps.bulk import Failure, run_split
from shared.dps.bulk_writer import BulkWriter
from shared.settings import Settings

SYMMETRIC = {"attestation": {"type": "symmetricKey"}}


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[DpsClient]:
    """Our client, talking to `dps`."""
    async with DpsClient(settings) as client:
        yield client


@pytest.fixture
async def writer(client: DpsClient) -> AsyncIterator[BulkWriter]:
    """A bulk writer over the client; what is still under way at the end is of no interest."""
    writer = BulkWriter(client)
    yield writer
    await writer.aclose(within=0)


@pytest.fixture
def enrollment() -> Callable[[str], dict[str, Any]]:
    """Makes an enrollment of that id."""
    return lambda registration_id: {"registrationId": registration_id, **SYMMETRIC}


@pytest.fixture
def order_faults(dps: DpsStandIn) -> Callable[..., None]:
    """Orders faults: each `{"match": …, "times": …, "do": …}`."""

    def order(*faults: dict[str, Any]) -> None:
        httpx.put(f"{dps.url}/_faults", json=faults).raise_for_status()

    return order


@pytest.fixture
def run(client: DpsClient) -> Callable[..., Any]:
    """Runs a split operation on individual enrollments."""

    async def run(mode: str, documents: Sequence[Any], *, within: float = 60) -> list[Failure]:
        operation = {"mode": mode, "enrollments": documents}
        return await run_split(client.enrollments, operation, within=within, context=CallContext())

    return run
