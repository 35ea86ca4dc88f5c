"""Changes for the batch writer, their results, and the calls that DPS received."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import httpx

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.dps.batching.items import ApplyOptions, ItemResult, OrderedGroup, RequestItem
from shared.dps.batching.writer import BatchWriter
from shared.dps.models import INDIVIDUAL_ENROLLMENT, Operation, RecordKind
from tests.secret_factory import symmetric_key
from tests.shared.dps.documents import enrollment, keys

CREATE, UPDATE, UPSERT, DELETE = Operation
BULK = {"method": "POST", "path": "^/enrollments$"}
"""Matches bulk calls for individual enrollments."""

Result = ItemResult | BaseException
RunBulk = Callable[..., Awaitable[list[ItemResult]]]


class Change(NamedTuple):
    """An item to submit, and the options of the attempt."""

    item: RequestItem
    options: ApplyOptions


def new_writer(client: DpsClient) -> BatchWriter:
    """Returns a batch writer to the client's enrollments and groups."""
    return BatchWriter(client.enrollments, client.enrollment_groups)


def change(
    operation: Operation,
    id: str,
    *,
    members: Any = None,
    seconds: float = 60,
    is_redelivery: bool = False,
    enqueued_at: float = -math.inf,
    group: OrderedGroup | None = None,
    **fields: Any,
) -> Change:
    """Returns a change of an individual enrollment; its deadline is in `seconds`."""
    document = None if operation == Operation.DELETE else enrollment(id, **(members or {}))
    defaults = {"kind": INDIVIDUAL_ENROLLMENT, "document": document}
    deadline = asyncio.get_running_loop().time() + seconds
    return Change(
        RequestItem(operation=operation, id=id, **{**defaults, **fields}),
        ApplyOptions(
            deadline=deadline, is_redelivery=is_redelivery, enqueued_at=enqueued_at, group=group
        ),
    )


def creates(count: int, **fields: Any) -> list[Change]:
    """Returns creates of `d-0`, `d-1`, …"""
    return [change(CREATE, f"d-{number}", **fields) for number in range(count)]


def both_keys() -> dict[str, object]:
    """Returns an attestation with both keys: an update with it fits a bulk call."""
    return {"attestation": keys(symmetric_key(), symmetric_key())}


async def apply(writer: BatchWriter, change: Change) -> ItemResult:
    """Submits the change, and returns its result; raises its error."""
    result = await writer.apply(change.item, change.options)
    if result.error:
        raise result.error
    return result


async def apply_all(writer: BatchWriter, changes: Iterable[Change]) -> list[Result]:
    """Submits the changes at once, and returns their results or errors."""
    applied = (apply(writer, change) for change in changes)
    return await asyncio.gather(*applied, return_exceptions=True)


def types_of(results: Iterable[Result]) -> list[type[Result]]:
    """Returns the type of each result."""
    return [type(result) for result in results]


def dps_operations(dps: DpsStandIn, kind: RecordKind = INDIVIDUAL_ENROLLMENT) -> list[str]:
    """Returns the operations that DPS received for this kind of record, in order."""
    names = [(request.operation or "").partition(".") for request in dps.requests]
    return [operation for path, _, operation in names if path == kind.path]


async def stored_ids(client: DpsClient) -> set[str]:
    """Returns the ids of the individual enrollments that DPS stores."""
    return {record["registrationId"] async for record in client.enrollments.query({"query": "*"})}


async def wait_until(condition: Callable[[], bool], *, seconds: float = 15) -> None:
    """Waits until the condition is true; raises `TimeoutError` after `seconds`."""
    async with asyncio.timeout(seconds):
        # The condition depends on another thread, which sets no event.
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def clear_faults(dps: DpsStandIn) -> None:
    """Removes all faults; the connections of stalled calls are reset."""
    httpx.delete(f"{dps.url}/_faults").raise_for_status()
