"""Queues of pending items: per record, then per kind of bulk call."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import NamedTuple

from shared.dps.batching.items import ApplyOptions, ItemResult, RequestItem
from shared.dps.batching.operations import (
    MAX_RECORDS_PER_CALL,
    FollowUp,
    apply_individually,
    bulk_mode,
)
from shared.dps.models import BulkMode, RecordKind
from shared.errors import NoPermitError, NotAttemptedError

_RETRY_AFTER = 5.0


class CallKind(NamedTuple):
    """What items need in common to share a call; without a mode each has calls of its own."""

    record_kind: RecordKind
    mode: BulkMode | None
    api_version: str | None


@dataclass(eq=False, kw_only=True, slots=True)
class PendingItem:
    """An item and the future of its result."""

    item: RequestItem
    options: ApplyOptions
    result: asyncio.Future[ItemResult]
    expiry: asyncio.TimerHandle | None = None
    follow_up: FollowUp = apply_individually
    """How it is applied outside a bulk call."""
    queue: "CallQueue | None" = None
    """The queue in which it waits for a call."""
    is_sent: bool = False
    """Whether a call has taken it: it can no longer be cancelled."""
    has_response: bool = False
    """Whether a bulk call had a result for it."""

    @property
    def record(self) -> tuple[RecordKind, str | None]:
        """The identity of the record."""
        return self.item.kind, self.item.record_key

    def call_kind(self, mode: BulkMode | None) -> CallKind:
        """The kind of the calls of this mode that can apply it."""
        return CallKind(self.item.kind, mode, self.item.api_version)

    def leave_queue(self) -> None:
        """Removes it from its call queue."""
        if self.queue:
            self.queue.remove(self)


class RecordQueues:
    """The pending items of each record, in order; only the first of a record is started."""

    def __init__(self, start: Callable[[PendingItem], None]) -> None:
        self._start = start
        self._queues: dict[tuple[RecordKind, str | None], deque[PendingItem]] = {}

    def __iter__(self) -> Iterator[PendingItem]:
        return chain(*self._queues.values())

    def add(self, pending: PendingItem) -> None:
        """Appends an item, and starts it if it is the first of its record."""
        queue = self._queues.setdefault(pending.record, deque())
        queue.append(pending)
        if queue[0] is pending:
            self._start(pending)

    def remove_later_in_group(self, pending: PendingItem) -> list[PendingItem]:
        """Removes and returns the later items of the same record and group, in one pass."""
        record, group = pending.record, pending.options.group
        queue = list(self._queues.get(record, ()))
        position = queue.index(pending) + 1 if pending in queue else len(queue)
        later = queue[position:]
        kept = (other for other in later if other.options.group is not group)
        if later:
            self._queues[record] = deque(chain(queue[:position], kept))
        return [other for other in later if other.options.group is group]

    def remove(self, pending: PendingItem) -> bool:
        """Removes an item, and starts the next if it was the first; returns whether it was there."""
        queue = self._queues.get(pending.record, deque())
        if pending not in queue:
            return False
        was_first = queue[0] is pending
        queue.remove(pending)
        if not queue:
            del self._queues[pending.record]
        elif was_first:
            self._start(queue[0])
        return True


class CallQueue:
    """
    The items that wait for calls of one kind.

    `call_limit` bounds the calls in flight. The task `dispatcher` takes items from the queue.
    """

    def __init__(self, kind: CallKind, call_limit: asyncio.Semaphore) -> None:
        self.kind = kind
        self.call_limit = call_limit
        self.dispatcher: asyncio.Task[None] | None = None
        self._batch_size = MAX_RECORDS_PER_CALL if kind.mode else 1
        self._items: dict[PendingItem, None] = {}
        self._batches: deque[dict[PendingItem, None]] = deque()
        self._is_batch_ready = asyncio.Event()

    def __iter__(self) -> Iterator[PendingItem]:
        return chain(self._items, *self._batches)

    def __bool__(self) -> bool:
        return any(True for _ in self)

    def add(self, pending: PendingItem) -> None:
        """Appends an item."""
        pending.queue = self
        self._items[pending] = None
        self._update_ready()

    def add_batch(self, batch: Sequence[PendingItem]) -> None:
        """Adds items that share the next call with no others."""
        for pending in batch:
            pending.queue = self
        self._batches.append(dict.fromkeys(batch))
        self._update_ready()

    def remove(self, pending: PendingItem) -> None:
        """Removes an item."""
        pending.queue = None
        for items in (self._items, *self._batches):
            items.pop(pending, None)
        self._update_ready()

    def _update_ready(self) -> None:
        if len(self._items) >= self._batch_size or any(self._batches):
            self._is_batch_ready.set()
        else:
            self._is_batch_ready.clear()

    async def wait_for_batch(self, *, linger: float) -> None:
        """Waits until there are enough items for a call, but at most `linger` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(linger):
                await self._is_batch_ready.wait()

    def take_batch(self) -> list[PendingItem]:
        """Removes and returns the items of the next call."""
        while self._batches and not self._batches[0]:
            self._batches.popleft()
        batch = list(self._batches[0] if self._batches else islice(self._items, self._batch_size))
        for pending in batch:
            self.remove(pending)
        return batch


class PendingItems:
    """
    All items from submission to completion. Each future is resolved once.

    `get_queue` returns the queue of a kind of call; `wake` is called with each queue that gets an
    item.
    """

    def __init__(
        self, get_queue: Callable[[CallKind], CallQueue], wake: Callable[[CallQueue], None]
    ) -> None:
        self._get_queue = get_queue
        self._wake = wake
        self._records = RecordQueues(self._start)
        self._without_bulk_delete: set[RecordKind] = set()
        self._closed_by: NotAttemptedError | None = None

    def __iter__(self) -> Iterator[PendingItem]:
        return iter(list(self._records))

    def submit(self, item: RequestItem, options: ApplyOptions) -> PendingItem:
        """Adds an item; it fails at its deadline unless a call has taken it."""
        loop = asyncio.get_running_loop()
        pending = PendingItem(item=item, options=options, result=loop.create_future())
        # An empty context: the timer must not keep the caller's context alive.
        pending.expiry = loop.call_at(options.deadline, self._expire, pending, context=Context())
        self._records.add(pending)
        return pending

    def _start(self, pending: PendingItem) -> None:
        """Adds the first item of its record to the queue for its calls."""
        mode = bulk_mode(pending.item)
        if mode == BulkMode.DELETE and pending.item.kind in self._without_bulk_delete:
            mode = None
        self._enqueue(pending, mode)

    def _enqueue(self, pending: PendingItem, mode: BulkMode | None) -> None:
        loop = asyncio.get_running_loop()
        if self._closed_by:
            # Not in a queue, from which a dispatcher could still take it.
            loop.call_soon(self.fail, pending, self._closed_by, context=Context())
            return
        queue = self._get_queue(pending.call_kind(mode))
        queue.add(pending)
        if pending.options.deadline <= loop.time():
            # Its timer may have fired while a call had it.
            loop.call_soon(self._expire, pending, context=Context())
        else:
            self._wake(queue)

    def enqueue_individually(self, pending: PendingItem, follow_up: FollowUp) -> None:
        """Enqueues an item again, for individual calls."""
        pending.follow_up = follow_up
        self._enqueue(pending, None)

    def requeue(self, queue: CallQueue, batch: Sequence[PendingItem]) -> None:
        """Enqueues the items of a failed call again, as one batch."""
        if self._closed_by:
            for pending in batch:
                self.fail(pending, self._closed_by)
        else:
            queue.add_batch(batch)
            self._wake(queue)

    def disable_bulk_delete(self, queue: CallQueue) -> None:
        """Makes every delete of the queue's kind of record an individual call from now on."""
        self._without_bulk_delete.add(queue.kind.record_kind)
        for pending in list(queue):
            pending.leave_queue()
            self._start(pending)

    def take_batch(self, queue: CallQueue) -> list[PendingItem]:
        """Removes and returns the items of the queue's next call; expired items fail."""
        now = asyncio.get_running_loop().time()
        while batch := queue.take_batch():
            for pending in batch:
                if pending.options.deadline <= now:
                    self._fail_late(pending)
            if in_time := [pending for pending in batch if pending.options.deadline > now]:
                for pending in in_time:
                    pending.is_sent = True
                return in_time
        return []

    def remove(self, pending: PendingItem) -> bool:
        """Removes an item; returns whether it was pending."""
        if pending.expiry:
            pending.expiry.cancel()
        pending.leave_queue()
        return self._records.remove(pending)

    def finish(self, pending: PendingItem, result: ItemResult) -> None:
        """Resolves the item's future if it is still pending."""
        group = pending.options.group
        if result.error and group and group.will_postpone(result.error):
            for later in self._records.remove_later_in_group(pending):
                _resolve(later, replace(result, item=later.item))
        if self.remove(pending):
            _resolve(pending, result)

    def fail(self, pending: PendingItem, error: Exception) -> None:
        """Resolves the item's future with an error if it is still pending."""
        whole_call = not pending.has_response
        self.finish(pending, ItemResult(item=pending.item, error=error, whole_call=whole_call))

    def _expire(self, pending: PendingItem) -> None:
        if pending.queue or not pending.is_sent:
            self._fail_late(pending)

    def _fail_late(self, pending: PendingItem) -> None:
        message = "No call was started before the deadline."
        self.fail(pending, NoPermitError(message, retry_after=_RETRY_AFTER))

    def close(self, error: NotAttemptedError) -> None:
        """Fails the items that no call has taken; later submissions fail too."""
        self._closed_by = error
        for pending in self:
            if not pending.is_sent or pending.queue:
                self.fail(pending, error)


def _resolve(pending: PendingItem, result: ItemResult) -> None:
    if not pending.result.done():
        pending.result.set_result(result)
