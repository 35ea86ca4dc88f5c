"""Processes a message: reads its request, applies it, and settles it; or sends its results."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import chain

from shared.dps.batching.items import ApplyOptions, ItemResult, OrderedGroup, RequestItem
from shared.dps.batching.writer import BatchWriter
from shared.error_catalog import Disposition, entry_for
from shared.errors import AppError, NoPermitError, NotConfiguredError
from shared.json_documents import parse_in_thread
from shared.messaging.messages import Message
from shared.messaging.requests import BulkRequest, read_bulk_request, read_request
from shared.messaging.result_delivery import ResultDelivery
from shared.messaging.sender import MessageSender
from shared.messaging.settlement import (
    ItemResults,
    PartialBody,
    Settlement,
    disposition_of,
    will_postpone,
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
    messages are then postponed. A bulk message waits `slot_timeout` seconds for one of the
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
        self,
        message: Message,
        apply: Callable[[Message], Awaitable[tuple[ItemResults, PartialBody | None]]],
    ) -> None:
        if message.has_results:
            delivery = ResultDelivery(self._settings, self._sender, message)
            await delivery.deliver_postponed(self._settings_fault)
            return
        partial_body = None
        try:
            if self._settings_fault:
                raise self._settings_fault
            results, partial_body = await apply(message)
        except AppError as error:
            results = [ItemResult(item=None, error=error)]
        _log_results(message, results)
        await Settlement(self._settings, self._sender, message, results, partial_body).settle()

    async def _apply_request(self, message: Message) -> tuple[ItemResults, None]:
        item = await parse_in_thread(message.body, partial(read_request, message))
        return [await self._apply(item, self._options(message))], None

    async def _apply_bulk_request(self, message: Message) -> tuple[ItemResults, PartialBody]:
        try:
            async with asyncio.timeout(self._slot_timeout):
                await self._bulk_slots.acquire()
        except TimeoutError as error:
            raise NoPermitError("Other bulk messages are in progress.") from error
        try:
            # Parsed only now: the waiting messages may be many and large.
            request = await read_bulk_request(message)
            return await self._apply_items(message, request), request.body_with
        finally:
            self._bulk_slots.release()

    async def _apply_items(self, message: Message, request: BulkRequest) -> ItemResults:
        """Applies each item as a single request; items of the same record stay in order."""
        semaphore = asyncio.Semaphore(_MAX_SUBMITTED_RECORDS)
        group = OrderedGroup(partial(will_postpone, self._settings, message))
        options = self._options(message, group=group)

        async def apply_record(items: Sequence[RequestItem]) -> ItemResults:
            async with semaphore:
                # All are submitted before the first completes: a later item must not be applied
                # after an earlier one failed.
                return await asyncio.gather(*(self._apply(item, options) for item in items))

        groups = await asyncio.gather(*map(apply_record, _group_by_record(request.items)))
        results = {id(result.item): result for result in chain(*groups)}
        return [results[id(item)] for item in request.items]

    async def _apply(self, item: RequestItem, options: ApplyOptions) -> ItemResult:
        try:
            return await self._get_writer().apply(item, options)
        except Exception as error:  # noqa: BLE001  an internal error of one item fails no other
            return ItemResult(item=item, error=error)

    def _options(self, message: Message, *, group: OrderedGroup | None = None) -> ApplyOptions:
        now = asyncio.get_running_loop().time()
        return ApplyOptions(
            deadline=now + self._settings.message_budget_seconds,
            is_redelivery=message.is_redelivery,
            enqueued_at=message.first_enqueued_at,
            group=group,
        )


def _group_by_record(items: Iterable[RequestItem]) -> Iterable[Sequence[RequestItem]]:
    records: dict[str | int | None, list[RequestItem]] = {}
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
        for result in results:
            if disposition_of(result) is Disposition.ABANDON and result.item:
                args = (result.item.position, message.original_id)
                _LOG.error("item %s of message %r failed", *args, exc_info=result.error)


def _outcome(result: ItemResult) -> str:
    return entry_for(result.error).reason if result.error else "Succeeded"


def _log_level(result: ItemResult) -> int:
    """Returns the level; a rejected request is the sender's concern."""
    is_expected = disposition_of(result) in (None, Disposition.REJECT)
    return logging.INFO if is_expected else logging.WARNING
