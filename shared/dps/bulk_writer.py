"""Changes of single records, come from everywhere at once, in as few calls as they fit into."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from shared.dps.applying import alone, is_done_before, item_of, step_after
from shared.dps.bulk_calls import run_call
from shared.dps.changes import Applied, Change
from shared.dps.context import CallContext
from shared.dps.lanes import Entry, Lane
from shared.dps.models import BulkMode, Operation
from shared.dps.waiting import Waiting
from shared.errors import (
    DpsBadRequestError,
    DpsConflictError,
    DpsError,
    DpsFaultError,
    DpsNotFoundError,
    DpsPreconditionFailedError,
    DpsRefusedError,
    OutcomeUnknownError,
    PacedOutError,
)

if TYPE_CHECKING:
    from shared.dps.client import DpsClient

__all__ = ["Applied", "BulkWriter", "Change", "Operation"]

# A call that is not full waits for more: what comes by queue has time, and the quota is scarce.
_GATHERING_SECONDS = 0.1
# At 400 ms a call, seven at once spend DPS's quota of 1,000 operations a minute.
_BULK_CALLS = 32
# Fewer, because each waits for a turn at every call it makes, and callers over HTTP wait behind it.
_SINGLE_CHANGES = 8
# What a call may take at least, however soon the last of its changes is over.
_LEAST_SECONDS = 10.0

_MODES = (BulkMode.CREATE, BulkMode.UPDATE_IF_MATCH_ETAG, BulkMode.DELETE, None)
_REFUSED = (DpsBadRequestError, DpsRefusedError)
# Bulk calls name no record that these could be about: something else than DPS answers.
_OF_ONE_RECORD = (DpsNotFoundError, DpsConflictError, DpsPreconditionFailedError)


class BulkWriter:
    """
    Applies changes, each with an outcome of its own; belongs to the event loop it is used in.

    Changes of one id are applied in the order they came in; other ids do not wait for them.
    """

    def __init__(self, dps: "DpsClient") -> None:
        bulk, single = asyncio.Semaphore(_BULK_CALLS), asyncio.Semaphore(_SINGLE_CHANGES)
        self._lanes = [
            Lane(resource, mode, bulk if mode else single)
            for resource in (dps.enrollments, dps.enrollment_groups)
            for mode in _MODES
        ]
        self._waiting = Waiting(self._lanes, self._see_to)
        self._tasks: set[asyncio.Task[None]] = set()

    async def apply(self, change: Change) -> Applied:
        """
        Does the change; raises the `DpsError` of this one.

        A caller that is cancelled takes it back, unless a call has it.
        """
        entry = self._waiting.join(change)
        try:
            return await entry.outcome
        finally:
            if not entry.is_sent:
                self._waiting.leave(entry)

    async def aclose(self, *, within: float = 5.0) -> None:
        """Ends what waits; after `within` seconds what is under way too, and nobody knows of it."""
        self._waiting.close()
        for lane in self._lanes:
            if lane.server and not lane:
                lane.server.cancel()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    while self._tasks:
                        await asyncio.wait(self._tasks)
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for entry in self._waiting:
                unknown = OutcomeUnknownError("The app stopped before DPS answered.")
                self._waiting.finish(entry, unknown)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        # In no context: a task of everybody's would log under the invocation that came first.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _see_to(self, lane: Lane) -> None:
        if lane.server is None or lane.server.done():
            lane.server = self._spawn(self._serve(lane))

    async def _serve(self, lane: Lane) -> None:
        """Makes calls until nothing waits; the only one of the lane that waits for their turns."""
        while lane:
            await lane.filled(within=_GATHERING_SECONDS)
            await lane.places.acquire()
            batch: list[Entry] = []
            try:
                if context := await self._admitted(lane):
                    # Not before its turn: whatever came meanwhile goes with it.
                    batch = self._waiting.take(lane)
            finally:
                if not batch:
                    lane.places.release()
            if context and batch:
                self._spawn(self._call(lane, batch, context))
        lane.server = None

    async def _admitted(self, lane: Lane) -> CallContext | None:
        """The context of the next call, when its turn has come; `None` if there is to be none."""
        latest = max((entry.change.deadline for entry in lane), default=None)
        if latest is None:
            return None
        try:
            return await lane.resource.admitted(CallContext(deadline=latest))
        except PacedOutError as error:
            late = [entry for entry in lane if entry.change.deadline <= latest]
            self._finish(late, error)
        except Exception as error:  # noqa: BLE001  a bug ends what the call would have taken
            self._finish(self._waiting.take(lane), error)
        return None

    def _finish(self, entries: Sequence[Entry], error: Exception) -> None:
        for entry in entries:
            self._waiting.finish(entry, error)

    async def _call(self, lane: Lane, batch: Sequence[Entry], context: CallContext) -> None:
        applied = Applied(etag=None, call_id=uuid4().hex)
        context = replace(context, client_request_id=applied.call_id, max_attempts=sys.maxsize)
        latest = max(entry.change.deadline for entry in batch)

        def begin() -> CallContext:
            least = asyncio.get_running_loop().time() + _LEAST_SECONDS
            return replace(context, deadline=max(latest, least))

        try:
            if lane.mode:
                await self._run_bulk(lane, lane.mode, batch, applied, begin)
            else:
                (entry,) = batch
                etag = await entry.step(lane.resource, entry.change, begin())
                self._waiting.finish(entry, replace(applied, etag=etag))
        except Exception as error:  # noqa: BLE001  a bug too ends this call and no other
            self._finish([entry for entry in batch if not entry.lane], error)
        finally:
            lane.places.release()

    async def _run_bulk(
        self,
        lane: Lane,
        mode: BulkMode,
        batch: Sequence[Entry],
        applied: Applied,
        begin: Callable[[], CallContext],
    ) -> None:
        items = [item_of(entry.change) for entry in batch]
        try:
            errors = await run_call(lane.resource, mode, items, begin=begin)
        except DpsError as error:
            self._settle_refused(lane, batch, error)
            return
        for entry in batch:
            self._settle(entry, errors.get(entry.change.id.casefold()), applied)

    def _settle_refused(self, lane: Lane, batch: Sequence[Entry], error: DpsError) -> None:
        """What becomes of changes whose call came to nothing as a whole."""
        if lane.mode == BulkMode.DELETE and isinstance(error, DpsBadRequestError):
            # Whether DPS takes ids alone in bulk is documented nowhere.
            self._waiting.do_without_bulk_delete(lane.resource.kind)
            for entry in batch:
                self._waiting.do_alone(entry, alone)
        elif isinstance(error, _REFUSED) and len(batch) > 1:
            # In halves, so that one that is bad does not take the others with it.
            middle = len(batch) // 2
            lane.add_part(batch[:middle])
            lane.add_part(batch[middle:])
            self._see_to(lane)
        elif isinstance(error, _OF_ONE_RECORD):
            words = f"DPS answered to many records as if to one: {error}"
            told = DpsFaultError(words, status=error.status, tracking_id=error.tracking_id)
            self._finish(batch, told)
        else:
            self._finish(batch, error)

    def _settle(self, entry: Entry, error: DpsError | None, applied: Applied) -> None:
        if error is None or is_done_before(entry.change, error):
            self._waiting.finish(entry, applied)
        elif step := step_after(entry.change, error):
            self._waiting.do_alone(entry, step)
        else:
            self._waiting.finish(entry, error)
