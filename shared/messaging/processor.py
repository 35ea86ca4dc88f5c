"""Processes a message: reads its request, applies it, and settles the message."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from operator import attrgetter

from shared.dps.batching.items import Change, OrderedGroup
from shared.dps.batching.writer import BatchWriter
from shared.error_catalog import Disposition, entry_for
from shared.errors import AppError, InvalidRequestError, NoPermitError, NotConfiguredError
from shared.messaging.messages import Message
from shared.messaging.requests import (
    BulkItem,
    BulkRequest,
    EnrollmentRequest,
    body_splitter,
    read_bulk_request,
    read_request,
)
from shared.messaging.sender import MessageSender
from shared.messaging.settlement import (
    ItemResult,
    ItemResults,
    Settlement,
    will_retry,
)
from shared.settings import ServiceBusSettings

_LOG = logging.getLogger(__name__)

# Records of one message that are submitted at once: enough for ten bulk calls, without filling the
# queue ahead of other messages.
_MAX_SUBMITTED_RECORDS = 100


class MessageProcessor:
    """
    Processes the messages of the input queues; belongs to one event loop.

    `get_writer` may raise `NotConfiguredError`. `settings_fault` is the error of invalid settings:
    messages are then rescheduled. A bulk message waits `slot_timeout` seconds for one of the
    `BULK_CONCURRENCY` slots.
    """

    def __init__(
        self,
        settings: ServiceBusSettings,
        settings_fault: NotConfiguredError | None,
        sender: MessageSender,
        get_writer: Callable[[], BatchWriter],
        *,
        slot_timeout: float = 30.0,
    ) -> None:
        self._settings = settings
        self._settings_fault = settings_fault
        self._sender = sender
        self._get_writer = get_writer
        self._slot_timeout = slot_timeout
        self._bulk_slots = asyncio.Semaphore(settings.bulk_concurrency)

    async def process(self, message: Message) -> None:
        """
        Processes a request for one record.

        Returns if the message can be completed, and raises if it must be abandoned.
        """
        await self._process(message, self._apply_request)

    async def process_bulk(self, message: Message) -> None:
        """Processes a bulk request; returns and raises like `process`."""
        await self._process(message, self._apply_bulk_request)

    async def _process(
        self, message: Message, apply: Callable[[Message], Awaitable[ItemResults]]
    ) -> None:
        try:
            if self._settings_fault:
                raise self._settings_fault
            results = await apply(message)
        except AppError as error:
            results = [ItemResult(request=None, error=error)]
        _log_results(message, results)
        split = body_splitter(message)
        await Settlement(self._settings, self._sender, message, results, split).settle()

    async def _apply_request(self, message: Message) -> ItemResults:
        request = read_request(message)
        result = ItemResult(request=request)
        return [await self._apply(message, result, request, self._deadline())]

    async def _apply_bulk_request(self, message: Message) -> ItemResults:
        try:
            async with asyncio.timeout(self._slot_timeout):
                await self._bulk_slots.acquire()
        except TimeoutError as error:
            raise NoPermitError("Other bulk messages are in progress.") from error
        try:
            # Parsed only now: the waiting messages may be many and large.
            return await self._apply_items(message, read_bulk_request(message))
        finally:
            self._bulk_slots.release()

    async def _apply_items(self, message: Message, request: BulkRequest) -> ItemResults:
        """Applies each item as a single request; items of the same record stay in order."""
        semaphore = asyncio.Semaphore(_MAX_SUBMITTED_RECORDS)
        deadline = self._deadline()
        group = OrderedGroup(partial(will_retry, self._settings, message))

        async def apply_record(items: Sequence[BulkItem]) -> ItemResults:
            async with semaphore:
                # All are submitted before the first completes: a later item must not be applied
                # after an earlier one failed.
                results = (self._apply_item(message, item, deadline, group) for item in items)
                return await asyncio.gather(*results)

        results = await asyncio.gather(*map(apply_record, _group_by_record(request.items)))
        return sorted(chain(*results), key=attrgetter("position"))

    async def _apply_item(
        self, message: Message, item: BulkItem, deadline: float, group: OrderedGroup
    ) -> ItemResult:
        result = ItemResult(request=item)
        try:
            return await self._apply(message, result, item.request, deadline, group=group)
        except InvalidRequestError as error:
            return replace(result, error=error)
        except Exception as error:  # noqa: BLE001  an internal error of one item fails no other
            _LOG.exception("item %s of message %r failed", item.position, message.original_id)
            return replace(result, error=error)

    async def _apply(
        self,
        message: Message,
        result: ItemResult,
        request: EnrollmentRequest,
        deadline: float,
        *,
        group: OrderedGroup | None = None,
    ) -> ItemResult:
        change = Change(
            kind=request.kind,
            operation=request.operation,
            id=request.id,
            document=request.document,
            if_match=request.if_match,
            is_redelivery=message.is_redelivery,
            deadline=deadline,
            group=group,
        )
        try:
            applied = await self._get_writer().apply(change)
        except AppError as error:
            return replace(result, error=error)
        return replace(result, etag=applied.etag, call_id=applied.call_id)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._settings.message_budget_seconds


def _group_by_record(items: Iterable[BulkItem]) -> Iterable[Sequence[BulkItem]]:
    records: dict[str | int, list[BulkItem]] = {}
    for item in items:
        records.setdefault(item.record_key or item.position, []).append(item)
    return records.values()


def _log_results(message: Message, results: ItemResults) -> None:
    """Logs one line per message, in its invocation: the writer's tasks belong to none."""
    level = max(map(_log_level, results), default=logging.INFO)
    if len(results) == 1:
        (result,) = results
        values = (_outcome(result), result.tracking_id, result.call_id)
        _LOG.log(level, "message %r: %s, trackingId %s, DPS call %s", message.original_id, *values)
    else:
        counts = dict(Counter(map(_outcome, results)))
        _LOG.log(level, "message %r: %s", message.original_id, counts)


def _outcome(result: ItemResult) -> str:
    return entry_for(result.error).reason if result.error else "Succeeded"


def _log_level(result: ItemResult) -> int:
    """Returns the level; a rejected request is the sender's concern."""
    is_expected = result.disposition in (None, Disposition.REJECT)
    return logging.INFO if is_expected else logging.WARNING
