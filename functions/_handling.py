"""A message handled: read, handed to the bulk writer, and settled by what comes of it."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import chain
from operator import attrgetter

from functions._outcome import Settlement
from functions._outcomes import reason_of
from functions._services import Queues, queues, services
from functions._settling import (
    Ending,
    Endings,
    Part,
    is_tried_again,
    settle,
    tracking_id_of,
)
from shared.dps.changes import Change, Series
from shared.errors import AppError, InvalidRequestError, PacedOutError
from shared.messaging.messages import Message
from shared.messaging.parts import parts_of
from shared.messaging.requests import (
    BulkItem,
    BulkRequest,
    EnrollmentRequest,
    read_bulk_request,
    read_request,
)

_LOG = logging.getLogger(__name__)

# Seconds that a bulk message waits for one of the `BULK_CONCURRENCY` places.
_PLACE_WITHIN = 30.0
# Records of a message at once with the writer: enough for ten calls, and no queue before others.
_AT_ONCE = 100


async def request(message: Message) -> None:
    """Does what a message asks for one record; raises what is left to Service Bus."""
    await _handle(message, _one)


async def bulk_request(message: Message) -> None:
    """Does what a message asks for many records; raises what is left to Service Bus."""
    await _handle(message, _many)


async def _handle(message: Message, work: Callable[[Queues, Message], Awaitable[Endings]]) -> None:
    its = queues()
    try:
        endings = await work(its, message) if its.fault is None else _all_ended(its.fault)
    except AppError as error:
        endings = _all_ended(error)
    _log(message, endings)
    await settle(its, message, endings, _parts(message))


def _all_ended(error: AppError) -> Endings:
    return [Ending(request=None, error=error)]


async def _one(its: Queues, message: Message) -> Endings:
    asked = read_request(message)
    return [await _applied(message, Ending(request=asked), asked, _deadline(its))]


async def _many(its: Queues, message: Message) -> Endings:
    try:
        async with asyncio.timeout(_PLACE_WITHIN):
            await its.bulk_places.acquire()
    except TimeoutError as error:
        raise PacedOutError("Other bulk messages take all places.") from error
    try:
        # Not before: those that wait may be many, and large.
        read = read_bulk_request(message)
        return await _all_applied(its, message, read)
    finally:
        its.bulk_places.release()


def _parts(message: Message) -> Part:
    # A message that leaves nothing to be sent on is not read again.
    read = cache(partial(parts_of, message))

    def part(some: Endings) -> bytes:
        return read()([ending.position for ending in some])

    return part


async def _all_applied(its: Queues, message: Message, read: BulkRequest) -> Endings:
    """Each item as the request for one record that it is; in their order where ids are the same."""
    at_once = asyncio.Semaphore(_AT_ONCE)
    deadline = _deadline(its)
    series = Series(partial(is_tried_again, its, message))

    async def of_one_record(items: Sequence[BulkItem]) -> Endings:
        async with at_once:
            # All before the first of them ends: what came later would be tried.
            changes = (_item_applied(message, item, deadline, series) for item in items)
            return await asyncio.gather(*changes)

    endings = await asyncio.gather(*map(of_one_record, _by_record(read.items)))
    return sorted(chain(*endings), key=attrgetter("position"))


def _by_record(items: Iterable[BulkItem]) -> Iterable[Sequence[BulkItem]]:
    records: dict[str | int, list[BulkItem]] = {}
    for item in items:
        records.setdefault(item.record or item.position, []).append(item)
    return records.values()


async def _item_applied(
    message: Message, item: BulkItem, deadline: float, series: Series
) -> Ending:
    ending = Ending(request=item)
    try:
        return await _applied(message, ending, item.request, deadline, series=series)
    except InvalidRequestError as error:
        return replace(ending, error=error)
    except Exception as error:  # noqa: BLE001  a bug of ours in one item takes no other with it
        _LOG.exception("item %s of message %r failed", item.position, message.original_id)
        return replace(ending, error=error)


async def _applied(
    message: Message,
    ending: Ending,
    asked: EnrollmentRequest,
    deadline: float,
    *,
    series: Series | None = None,
) -> Ending:
    change = Change(
        kind=asked.kind,
        operation=asked.operation,
        id=asked.id,
        document=asked.document,
        if_match=asked.if_match,
        is_repeated=message.is_repeated,
        deadline=deadline,
        series=series,
    )
    try:
        applied = await services().writer.apply(change)
    except AppError as error:
        return replace(ending, error=error)
    return replace(ending, etag=applied.etag, call_id=applied.call_id)


def _deadline(its: Queues) -> float:
    return asyncio.get_running_loop().time() + its.settings.message_budget_seconds


def _log(message: Message, endings: Endings) -> None:
    """One line a message: the writer's own tasks belong to no invocation and say nothing."""
    level = max(map(_level, endings), default=logging.INFO)
    if len(endings) == 1:
        ending = endings[0]
        told = (_became(ending), tracking_id_of(ending.error), ending.call_id)
        _LOG.log(level, "message %r: %s, trackingId %s, DPS call %s", message.original_id, *told)
    else:
        became = dict(Counter(map(_became, endings)))
        _LOG.log(level, "message %r: %s", message.original_id, became)


def _became(ending: Ending) -> str:
    return reason_of(ending.error) if ending.error else "Succeeded"


def _level(ending: Ending) -> int:
    """What is wrong with a request is for its sender to look into."""
    settled = ending.settlement
    return logging.INFO if settled in (None, Settlement.PARK) else logging.WARNING
