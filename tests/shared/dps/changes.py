"""Changes for the bulk writer, and what became of them."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import httpx

from local.dps import DpsStandIn
from shared.dps.bulk_writer import Applied, BulkWriter, Change, Operation
from shared.dps.models import INDIVIDUAL_ENROLLMENT, RecordKind
from tests.secret_factory import symmetric_key
from tests.shared.dps.bulk_records import enrollment
from tests.shared.dps.documents import keys

CREATE, UPDATE, UPSERT, DELETE = Operation

Outcome = Applied | BaseException


def change(
    operation: Operation, id: str, *, members: Any = None, within: float = 60, **fields: Any
) -> Change:
    """A change of an individual enrollment, with these members beside those it needs."""
    document = None if operation == Operation.DELETE else enrollment(id, **(members or {}))
    deadline = asyncio.get_running_loop().time() + within
    given = {"kind": INDIVIDUAL_ENROLLMENT, "document": document, "deadline": deadline}
    return Change(operation=operation, id=id, **{**given, **fields})


def creates(number: int, **fields: Any) -> list[Change]:
    """So many creates, `d-0` and on."""
    return [change(CREATE, f"d-{position}", **fields) for position in range(number)]


def two_keys() -> dict[str, object]:
    """An attestation that gives both keys, so that a bulk call can carry an update."""
    return {"attestation": keys(symmetric_key(), symmetric_key())}


async def outcomes(writer: BulkWriter, changes: Iterable[Change]) -> list[Outcome]:
    """What becomes of changes that come at once."""
    return await asyncio.gather(*map(writer.apply, changes), return_exceptions=True)


def kinds(outcomes: Iterable[Outcome]) -> list[type[Outcome]]:
    """Only what they are."""
    return [type(outcome) for outcome in outcomes]


def operations(dps: DpsStandIn, kind: RecordKind = INDIVIDUAL_ENROLLMENT) -> list[str]:
    """What DPS was asked for in this collection, in its order."""
    asked = [request.operation or "" for request in dps.requests]
    return [name.partition(".")[2] for name in asked if name.partition(".")[0] == kind.path]


async def until(holds: Callable[[], bool], *, within: float = 15) -> None:
    """Waits until something holds; `TimeoutError` if it takes too long."""
    async with asyncio.timeout(within):
        # What it waits for happens in another thread, without an event.
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def release(dps: DpsStandIn) -> None:
    """Ends all faults; calls that stall are broken off."""
    httpx.delete(f"{dps.url}/_faults").raise_for_status()
