"""Queues of pending items: per record, then per kind of bulk call."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from itertools import chain, islice

from shared.dps.batching.items import Applied, Change
from shared.dps.batching.operations import (
    MAX_RECORDS_PER_CALL,
    FollowUp,
    apply_individually,
    bulk_mode,
)
from shared.dps.models import BulkMode, RecordKind
from shared.dps.resources import EnrollmentResource
from shared.errors import NoPermitError, NotAttemptedError

_RETRY_AFTER = 5.0


@dataclass(eq=False, kw_only=True, slots=True)
class PendingItem:
    """A change and the future of its outcome."""

    change: Change
    mode: BulkMode | None
    outcome: asyncio.Future[Applied]
    expiry: asyncio.TimerHandle | None = None
    follow_up: FollowUp = apply_individually
    """How it is applied outside a bulk call."""
    queue: "CallQueue | None" = None
    """The queue in which it waits for a call."""
    is_sent: bool = False
    """Whether a call has taken it: it can no longer be cancelled."""

    def leave_queue(self) -> None:
        """Removes it from its call queue."""
        if self.queue:
            self.queue.remove(self)


class RecordQueues:
    """The pending items of each record, in order; only the first of a record is started."""

    def __init__(self, start: Callable[[PendingItem], None]) -> None:
        self._start = start
        self._queues: dict[tuple[RecordKind, str], deque[PendingItem]] = {}

    def __iter__(self) -> Iterator[PendingItem]:
        return chain(*self._queues.values())

    def add(self, item: PendingItem) -> None:
        """Appends an item, and starts it if it is the first of its record."""
        queue = self._queues.setdefault(item.change.key, deque())
        queue.append(item)
        if queue[0] is item:
            self._start(item)

    def remove_later_in_group(self, item: PendingItem) -> list[PendingItem]:
        """Removes and returns the later items of the same record and group, in one pass."""
        key, group = item.change.key, item.change.group
        queue = list(self._queues.get(key, ()))
        position = queue.index(item) + 1 if item in queue else len(queue)
        later = queue[position:]
        kept = (other for other in later if other.change.group is not group)
        if later:
            self._queues[key] = deque(chain(queue[:position], kept))
        return [other for other in later if other.change.group is group]

    def remove(self, item: PendingItem) -> bool:
        """Removes an item and starts the next if it was the first; returns whether it was there."""
        queue = self._queues.get(item.change.key, deque())
        if item not in queue:
            return False
        was_first = queue[0] is item
        queue.remove(item)
        if not queue:
            del self._queues[item.change.key]
        elif was_first:
            self._start(queue[0])
        return True


class CallQueue:
    """
    The items that wait for bulk calls of one mode to one resource, or for individual calls.

    `mode` is `None` for individual calls. `call_limit` bounds the calls in flight. The task
    `dispatcher` takes items from the queue.
    """

    def __init__(
        self, resource: EnrollmentResource, mode: BulkMode | None, call_limit: asyncio.Semaphore
    ) -> None:
        self.resource = resource
        self.mode = mode
        self.call_limit = call_limit
        self.dispatcher: asyncio.Task[None] | None = None
        self._batch_size = MAX_RECORDS_PER_CALL if mode else 1
        self._items: dict[PendingItem, None] = {}
        self._batches: deque[dict[PendingItem, None]] = deque()
        self._is_batch_ready = asyncio.Event()

    def __iter__(self) -> Iterator[PendingItem]:
        return chain(self._items, *self._batches)

    def __bool__(self) -> bool:
        return any(True for _ in self)

    def add(self, item: PendingItem) -> None:
        """Appends an item."""
        item.queue = self
        self._items[item] = None
        self._update_ready()

    def add_batch(self, items: Sequence[PendingItem]) -> None:
        """Adds items that share the next call with no others."""
        for item in items:
            item.queue = self
        self._batches.append(dict.fromkeys(items))
        self._update_ready()

    def remove(self, item: PendingItem) -> None:
        """Removes an item."""
        item.queue = None
        for items in (self._items, *self._batches):
            items.pop(item, None)
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
        for item in batch:
            self.remove(item)
        return batch


class PendingItems:
    """
    All items from submission to completion. Each future is resolved once.

    `wake` is called with each queue that gets an item.
    """

    def __init__(self, queues: Iterable[CallQueue], wake: Callable[[CallQueue], None]) -> None:
        self._queues = {(queue.resource.kind, queue.mode): queue for queue in queues}
        self._wake = wake
        self._records = RecordQueues(self._start)
        self._without_bulk_delete: set[RecordKind] = set()
        self._is_closed = False

    def __iter__(self) -> Iterator[PendingItem]:
        return iter(list(self._records))

    def submit(self, change: Change) -> PendingItem:
        """Adds a change; it fails at its deadline unless a call has taken it."""
        if self._is_closed:
            raise NotAttemptedError("The app is stopping.")
        loop = asyncio.get_running_loop()
        item = PendingItem(change=change, mode=bulk_mode(change), outcome=loop.create_future())
        # An empty context: the timer must not keep the caller's context alive.
        item.expiry = loop.call_at(change.deadline, self._expire, item, context=Context())
        self._records.add(item)
        return item

    def _start(self, item: PendingItem) -> None:
        """Adds the first item of its record to the queue for its calls."""
        kind, mode = item.change.kind, item.mode
        if mode == BulkMode.DELETE and kind in self._without_bulk_delete:
            mode = None
        self._enqueue(item, self._queues[kind, mode])

    def _enqueue(self, item: PendingItem, queue: CallQueue) -> None:
        queue.add(item)
        if item.change.deadline <= asyncio.get_running_loop().time():
            # Its timer may have fired while a call had it.
            asyncio.get_running_loop().call_soon(self._expire, item, context=Context())
        else:
            self._wake(queue)

    def apply_individually(self, item: PendingItem, follow_up: FollowUp) -> None:
        """Enqueues an item again, for individual calls."""
        item.follow_up = follow_up
        self._enqueue(item, self._queues[item.change.kind, None])

    def disable_bulk_delete(self, kind: RecordKind) -> None:
        """Makes every delete of this kind an individual call from now on."""
        self._without_bulk_delete.add(kind)
        for item in list(self._queues[kind, BulkMode.DELETE]):
            item.leave_queue()
            self._start(item)

    def take_batch(self, queue: CallQueue) -> list[PendingItem]:
        """Removes and returns the items of the queue's next call; expired items fail."""
        now = asyncio.get_running_loop().time()
        # A loop: when an item fails, the next item of its record may enter the queue.
        while late := [item for item in queue if item.change.deadline <= now]:
            for item in late:
                self._expire(item)
        batch = queue.take_batch()
        for item in batch:
            item.is_sent = True
        return batch

    def remove(self, item: PendingItem) -> bool:
        """Removes an item; returns whether it was pending."""
        if item.expiry:
            item.expiry.cancel()
        item.leave_queue()
        return self._records.remove(item)

    def finish(self, item: PendingItem, outcome: Applied | Exception) -> None:
        """Resolves the item's future if it is still pending."""
        if isinstance(outcome, Exception):
            self._fail_group(item, outcome)
        if self.remove(item):
            self._resolve(item, outcome)

    def _fail_group(self, item: PendingItem, error: Exception) -> None:
        group = item.change.group
        if group and group.will_retry(error):
            for later in self._records.remove_later_in_group(item):
                self._resolve(later, error)

    def _resolve(self, item: PendingItem, outcome: Applied | Exception) -> None:
        if item.outcome.done():
            return
        if isinstance(outcome, Exception):
            item.outcome.set_exception(outcome)
        else:
            item.outcome.set_result(outcome)

    def _expire(self, item: PendingItem) -> None:
        if item.queue or not item.is_sent:
            message = "No call was started for the change before its deadline."
            self.finish(item, NoPermitError(message, retry_after=_RETRY_AFTER))

    def close(self) -> None:
        """Fails the items that no call has taken; later submissions fail too."""
        self._is_closed = True
        for item in self:
            if not item.is_sent:
                self.finish(item, NotAttemptedError("The app is stopping."))
