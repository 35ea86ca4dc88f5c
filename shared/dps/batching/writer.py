"""The batch writer: gathers items into as few DPS calls as possible."""

import asyncio
import math
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, replace
from uuid import uuid4

from shared import errors
from shared.dps.batching.items import ApplyOptions, ItemResult, RequestItem
from shared.dps.batching.operations import (
    apply_individually,
    bulk_document,
    follow_up_for,
    was_already_deleted,
)
from shared.dps.batching.pending import CallKind, CallQueue, PendingItem, PendingItems
from shared.dps.context import DEFAULT_CONTEXT, CallContext
from shared.dps.models import BulkMode
from shared.dps.resources import BulkOutcome, EnrollmentResource

_REFUSED = (errors.DpsBadRequestError, errors.DpsRefusedError)
_THROTTLED = (errors.DpsThrottledError, errors.NoPermitError)
# A bulk call names no single record, so these are not responses of the DPS API to it.
_SINGLE_RECORD_ERRORS = (
    errors.DpsNotFoundError,
    errors.DpsConflictError,
    errors.DpsPreconditionFailedError,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterProfile:
    """
    How a writer gathers items and handles failures.

    `linger` is how many seconds a call that is not full waits for more items. `max_attempts` is that
    of a call, `None` that of the settings. With `waits_until_deadline` a throttled item waits until
    its deadline; otherwise it fails as soon as it is certain that no permit comes in time. An error
    in `stops_on` stops the writer. With `shares_context` calls run in the caller's context variables.
    """

    linger: float
    max_attempts: int | None
    waits_until_deadline: bool
    stops_on: tuple[type[errors.DpsError], ...]
    shares_context: bool


QUEUES = WriterProfile(
    linger=0.1,  # queue messages have time, the quota is scarce
    max_attempts=sys.maxsize,
    waits_until_deadline=False,
    stops_on=(),
    shares_context=False,  # its tasks serve all invocations, and must not log under one of them
)
HTTP = WriterProfile(
    linger=0.0,
    max_attempts=None,
    waits_until_deadline=True,
    stops_on=(errors.DpsCredentialError, errors.DpsUnreachableError),
    shares_context=True,
)


class BatchWriter:
    """
    Applies items, each with a result of its own; belongs to one event loop.

    Items of one record are applied in the order of submission; other records do not wait for them.
    """

    # At 2 s per call, 33 calls in flight use the default quota of 1,000 operations per minute.
    MAX_BULK_CALLS = 32
    # Fewer: each of these acquires a permit for every call, and HTTP callers wait behind them.
    MAX_SINGLE_CALLS = 8

    def __init__(
        self,
        *resources: EnrollmentResource,
        profile: WriterProfile = QUEUES,
        context: CallContext = DEFAULT_CONTEXT,
        min_call_seconds: float = 10.0,
    ) -> None:
        """
        Creates a writer to the resources; `context` has the correlation ids of its calls.

        A call has at least `min_call_seconds`, however close its items' deadlines are.
        """
        self._resources = {resource.kind: resource for resource in resources}
        self._profile = profile
        self._context = context
        self._min_call_seconds = min_call_seconds
        self._bulk_limit = asyncio.Semaphore(self.MAX_BULK_CALLS)
        self._single_limit = asyncio.Semaphore(self.MAX_SINGLE_CALLS)
        self._queues: dict[CallKind, CallQueue] = {}
        self._pending = PendingItems(self._queue, self._wake)
        self._tasks: set[asyncio.Task[None]] = set()

    async def apply(self, item: RequestItem, options: ApplyOptions) -> ItemResult:
        """
        Applies the item and returns its result, with the error if it failed.

        If the caller is cancelled, the item is withdrawn unless a call has taken it.
        """
        if item.faults:
            return ItemResult(item=item, error=errors.InvalidRequestError(item.faults))
        pending = self._pending.submit(item, options)
        try:
            return await pending.result
        finally:
            if not pending.is_sent:
                self._pending.remove(pending)

    async def aclose(self, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109  a grace period
        """Fails pending items, and cancels the calls still in flight after `timeout` seconds."""
        self._pending.close(errors.NotAttemptedError("The app is stopping."))
        for queue in self._queues.values():
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
            for pending in self._pending:
                unknown = errors.OutcomeUnknownError("The app stopped before DPS responded.")
                self._pending.fail(pending, unknown)

    def _queue(self, kind: CallKind) -> CallQueue:
        if kind not in self._queues:
            limit = self._bulk_limit if kind.mode else self._single_limit
            self._queues[kind] = CallQueue(kind, limit)
        return self._queues[kind]

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        context = None if self._profile.shares_context else Context()
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _wake(self, queue: CallQueue) -> None:
        if queue.dispatcher is None or queue.dispatcher.done():
            queue.dispatcher = self._spawn(self._dispatch(queue))

    async def _dispatch(self, queue: CallQueue) -> None:
        """Starts calls until the queue is empty; one task per queue waits for permits."""
        while queue:
            await queue.wait_for_batch(linger=self._profile.linger)
            await queue.call_limit.acquire()
            batch: list[PendingItem] = []
            try:
                if context := await self._acquire_permit(queue):
                    # After the permit: items that arrived meanwhile join the batch.
                    batch = self._pending.take_batch(queue)
            finally:
                if not batch:
                    queue.call_limit.release()
            if context and batch:
                self._spawn(self._call(queue, batch, context))

    async def _acquire_permit(self, queue: CallQueue) -> CallContext | None:
        """Waits for a permit; returns the context of the next call, `None` if there is none."""
        latest = max((pending.options.deadline for pending in queue), default=None)
        if latest is None:
            return None
        # Without a deadline the rate limiter refuses nobody: its estimate may still improve.
        deadline = math.inf if self._profile.waits_until_deadline else latest
        context = replace(self._context, api_version=queue.kind.api_version, deadline=deadline)
        try:
            async with asyncio.timeout_at(latest):
                return await self._resource(queue).acquire_permit(context)
        except (errors.NoPermitError, TimeoutError) as error:
            late = [pending for pending in queue if pending.options.deadline <= latest]
            message = "The DPS quota did not let the call start before its deadline."
            is_refused = isinstance(error, errors.NoPermitError)
            self._fail(late, error if is_refused else errors.NoPermitError(message))
        except Exception as error:  # noqa: BLE001  an internal error fails the batch of this call
            self._fail(self._pending.take_batch(queue), error)
        return None

    def _resource(self, queue: CallQueue) -> EnrollmentResource:
        return self._resources[queue.kind.record_kind]

    def _fail(self, batch: Sequence[PendingItem], error: Exception) -> None:
        for pending in batch:
            self._pending.fail(pending, error)

    async def _call(
        self, queue: CallQueue, batch: Sequence[PendingItem], context: CallContext
    ) -> None:
        call_id = context.client_request_id or uuid4().hex
        max_attempts = self._profile.max_attempts
        earliest = asyncio.get_running_loop().time() + self._min_call_seconds
        deadline = max(earliest, *(pending.options.deadline for pending in batch))
        context = replace(
            context, client_request_id=call_id, max_attempts=max_attempts, deadline=deadline
        )
        try:
            if queue.kind.mode:
                await self._run_bulk(queue, queue.kind.mode, batch, context)
            else:
                await self._run_single(queue, batch[0], context)
        except Exception as error:  # noqa: BLE001  an internal error fails this call only
            self._fail([pending for pending in batch if not pending.queue], error)
        finally:
            queue.call_limit.release()

    async def _run_single(
        self, queue: CallQueue, pending: PendingItem, context: CallContext
    ) -> None:
        try:
            etag = await pending.follow_up(
                self._resource(queue), pending.item, pending.options, context
            )
        except errors.DpsError as error:
            self._resolve_failed_call(queue, [pending], error)
            return
        applied = ItemResult(item=pending.item, etag=etag, call_id=context.client_request_id)
        self._pending.finish(pending, applied)

    async def _run_bulk(
        self,
        queue: CallQueue,
        mode: BulkMode,
        batch: Sequence[PendingItem],
        context: CallContext,
    ) -> None:
        resource = self._resource(queue)
        documents = [bulk_document(pending.item) for pending in batch]
        operation = {resource.kind.path: documents, "mode": mode}
        try:
            outcome = await resource.apply_bulk(operation, context=context)
        except errors.DpsError as call_error:
            self._resolve_failed_call(queue, batch, call_error)
            return
        for error in outcome.errors.values():
            self._stop_on(error)
        refused = _refused_with_their_call(batch, outcome)
        self._requeue_refused(queue, batch, refused)
        for pending in batch:
            if pending not in refused:
                own_error = outcome.errors.get(pending.item.id.casefold())
                self._resolve(pending, own_error, context.client_request_id)

    def _requeue_refused(
        self, queue: CallQueue, batch: Sequence[PendingItem], refused: Sequence[PendingItem]
    ) -> None:
        """Enqueues the items of a refused call again, so that one fails no other."""
        # In halves, unless they are fewer than in the call.
        middle = len(refused) // 2 if len(refused) == len(batch) else 0
        for part in filter(None, (refused[:middle], refused[middle:])):
            self._pending.requeue(queue, part)

    def _resolve_failed_call(
        self, queue: CallQueue, batch: Sequence[PendingItem], error: errors.DpsError
    ) -> None:
        """Resolves or requeues the items of a call that failed as a whole."""
        self._stop_on(error)
        mode = queue.kind.mode
        is_bulk_delete = mode == BulkMode.DELETE and not batch[0].item.native_mode
        if is_bulk_delete and isinstance(error, errors.DpsBadRequestError):
            # Whether DPS accepts ids alone in a bulk delete is not documented.
            self._pending.disable_bulk_delete(queue)
            for pending in batch:
                self._pending.enqueue_individually(pending, apply_individually)
        elif isinstance(error, _REFUSED) and len(batch) > 1:
            self._requeue_refused(queue, batch, batch)
        elif isinstance(error, _THROTTLED) and self._profile.waits_until_deadline:
            self._pending.requeue(queue, batch)
        elif mode and isinstance(error, _SINGLE_RECORD_ERRORS):
            message = f"DPS responded to a bulk call as to a call for one record: {error}"
            fault = errors.DpsFaultError(
                message, status=error.status, tracking_id=error.tracking_id
            )
            self._fail(batch, fault)
        else:
            self._fail(batch, error)

    def _stop_on(self, error: errors.DpsError) -> None:
        cause = error.__cause__ if isinstance(error, errors.OutcomeUnknownError) else error
        if isinstance(cause, self._profile.stops_on):
            message = f"The record was not sent to DPS. {error}"
            self._pending.close(errors.NotAttemptedError(message, tracking_id=error.tracking_id))

    def _resolve(
        self, pending: PendingItem, error: errors.DpsError | None, call_id: str | None
    ) -> None:
        pending.has_response = True
        item, options = pending.item, pending.options
        if error is None or was_already_deleted(item, options, error):
            self._pending.finish(pending, ItemResult(item=item, call_id=call_id))
        elif follow_up := follow_up_for(item, options, error):
            self._pending.enqueue_individually(pending, follow_up)
        else:
            self._pending.fail(pending, error)


def _refused_with_their_call(
    batch: Sequence[PendingItem], outcome: BulkOutcome
) -> Sequence[PendingItem]:
    """Returns the items that were not applied because DPS refused their call as a whole."""
    if len(batch) == 1 or not isinstance(outcome.call_error, _REFUSED):
        return []
    errors = outcome.errors
    return [each for each in batch if errors.get(each.item.id.casefold()) is outcome.call_error]
