"""The batch writer: gathers changes of single records into as few DPS calls as possible."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from uuid import uuid4

from shared import errors
from shared.dps.batching.items import Applied, Change
from shared.dps.batching.operations import (
    apply_individually,
    bulk_item,
    follow_up_for,
    run_bulk_call,
    was_already_deleted,
)
from shared.dps.batching.pending import CallQueue, PendingItem, PendingItems
from shared.dps.context import CallContext
from shared.dps.models import BulkMode
from shared.dps.resources import EnrollmentResource

_MODES = (BulkMode.CREATE, BulkMode.UPDATE_IF_MATCH_ETAG, BulkMode.DELETE, None)
_REFUSED = (errors.DpsBadRequestError, errors.DpsRefusedError)
# A bulk call names no single record, so these are not responses of the DPS API to it.
_SINGLE_RECORD_ERRORS = (
    errors.DpsNotFoundError,
    errors.DpsConflictError,
    errors.DpsPreconditionFailedError,
)


class BatchWriter:
    """
    Applies changes, each with an outcome of its own; belongs to one event loop.

    Changes of one record are applied in the order of submission; other records do not wait for
    them.
    """

    # At 400 ms per call, seven calls in flight use the default quota of 1,000 operations a minute.
    MAX_BULK_CALLS = 32
    # Fewer: each of these acquires a permit for every call, and HTTP callers wait behind them.
    MAX_SINGLE_CALLS = 8

    def __init__(
        self,
        enrollments: EnrollmentResource,
        enrollment_groups: EnrollmentResource,
        *,
        linger: float = 0.1,
        min_call_seconds: float = 10.0,
    ) -> None:
        """
        Creates a writer to two resources.

        A call that is not full waits `linger` seconds for more changes: queue messages have time,
        the quota is scarce. A call has at least `min_call_seconds`, however close its changes'
        deadlines are.
        """
        self._linger = linger
        self._min_call_seconds = min_call_seconds
        bulk = asyncio.Semaphore(self.MAX_BULK_CALLS)
        single = asyncio.Semaphore(self.MAX_SINGLE_CALLS)
        self._queues = [
            CallQueue(resource, mode, bulk if mode else single)
            for resource in (enrollments, enrollment_groups)
            for mode in _MODES
        ]
        self._pending = PendingItems(self._queues, self._wake)
        self._tasks: set[asyncio.Task[None]] = set()

    async def apply(self, change: Change) -> Applied:
        """
        Applies the change; raises its `DpsError`.

        If the caller is cancelled, the change is withdrawn unless a call has taken it.
        """
        item = self._pending.submit(change)
        try:
            return await item.outcome
        finally:
            if not item.is_sent:
                self._pending.remove(item)

    async def aclose(self, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109  a grace period
        """Fails pending changes, and cancels the calls still in flight after `timeout` seconds."""
        self._pending.close()
        for queue in self._queues:
            if queue.dispatcher and not queue:
                queue.dispatcher.cancel()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    while self._tasks:
                        await asyncio.wait(self._tasks)
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for item in self._pending:
                unknown = errors.OutcomeUnknownError("The app stopped before DPS responded.")
                self._pending.finish(item, unknown)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        # An empty context: a shared task must not log under the invocation that started it.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _wake(self, queue: CallQueue) -> None:
        if queue.dispatcher is None or queue.dispatcher.done():
            queue.dispatcher = self._spawn(self._dispatch(queue))

    async def _dispatch(self, queue: CallQueue) -> None:
        """Starts calls until the queue is empty; one task per queue waits for permits."""
        while queue:
            await queue.wait_for_batch(linger=self._linger)
            await queue.call_limit.acquire()
            batch: list[PendingItem] = []
            try:
                if context := await self._acquire_permit(queue):
                    # After the permit: changes that arrived meanwhile join the batch.
                    batch = self._pending.take_batch(queue)
            finally:
                if not batch:
                    queue.call_limit.release()
            if context and batch:
                self._spawn(self._call(queue, batch, context))
        queue.dispatcher = None

    async def _acquire_permit(self, queue: CallQueue) -> CallContext | None:
        """Waits for a permit; returns the context of the next call, `None` if there is none."""
        latest = max((item.change.deadline for item in queue), default=None)
        if latest is None:
            return None
        try:
            return await queue.resource.acquire_permit(CallContext(deadline=latest))
        except errors.NoPermitError as error:
            late = [item for item in queue if item.change.deadline <= latest]
            self._fail(late, error)
        except Exception as error:  # noqa: BLE001  an internal error fails the batch of this call
            self._fail(self._pending.take_batch(queue), error)
        return None

    def _fail(self, items: Sequence[PendingItem], error: Exception) -> None:
        for item in items:
            self._pending.finish(item, error)

    async def _call(
        self, queue: CallQueue, batch: Sequence[PendingItem], context: CallContext
    ) -> None:
        applied = Applied(etag=None, call_id=uuid4().hex)
        context = replace(context, client_request_id=applied.call_id, max_attempts=sys.maxsize)
        latest = max(item.change.deadline for item in batch)

        def new_context() -> CallContext:
            earliest = asyncio.get_running_loop().time() + self._min_call_seconds
            return replace(context, deadline=max(latest, earliest))

        try:
            if queue.mode:
                await self._run_bulk(queue, queue.mode, batch, applied, new_context)
            else:
                (item,) = batch
                etag = await item.follow_up(queue.resource, item.change, new_context())
                self._pending.finish(item, replace(applied, etag=etag))
        except Exception as error:  # noqa: BLE001  an internal error fails this call only
            self._fail([item for item in batch if not item.queue], error)
        finally:
            queue.call_limit.release()

    async def _run_bulk(
        self,
        queue: CallQueue,
        mode: BulkMode,
        batch: Sequence[PendingItem],
        applied: Applied,
        new_context: Callable[[], CallContext],
    ) -> None:
        documents = [bulk_item(item.change) for item in batch]
        try:
            failed = await run_bulk_call(queue.resource, mode, documents, new_context=new_context)
        except errors.DpsError as error:
            self._resolve_failed_call(queue, batch, error)
            return
        for item in batch:
            self._resolve(item, failed.get(item.change.id.casefold()), applied)

    def _resolve_failed_call(
        self, queue: CallQueue, batch: Sequence[PendingItem], error: errors.DpsError
    ) -> None:
        """Resolves or requeues the items of a bulk call that failed as a whole."""
        if queue.mode == BulkMode.DELETE and isinstance(error, errors.DpsBadRequestError):
            # Whether DPS accepts ids alone in a bulk delete is not documented.
            self._pending.disable_bulk_delete(queue.resource.kind)
            for item in batch:
                self._pending.apply_individually(item, apply_individually)
        elif isinstance(error, _REFUSED) and len(batch) > 1:
            # In halves, so that one invalid item does not fail the others.
            middle = len(batch) // 2
            queue.add_batch(batch[:middle])
            queue.add_batch(batch[middle:])
            self._wake(queue)
        elif isinstance(error, _SINGLE_RECORD_ERRORS):
            message = f"DPS responded to a bulk call as to a call for one record: {error}"
            fault = errors.DpsFaultError(
                message, status=error.status, tracking_id=error.tracking_id
            )
            self._fail(batch, fault)
        else:
            self._fail(batch, error)

    def _resolve(self, item: PendingItem, error: errors.DpsError | None, applied: Applied) -> None:
        if error is None or was_already_deleted(item.change, error):
            self._pending.finish(item, applied)
        elif follow_up := follow_up_for(item.change, error):
            self._pending.apply_individually(item, follow_up)
        else:
            self._pending.finish(item, error)
