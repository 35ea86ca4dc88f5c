"""Changes that nobody has done yet: for an earlier one of the same record, for a call, or in one."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context

from shared.dps.applying import Step, mode_of
from shared.dps.changes import Applied, Change
from shared.dps.lanes import Entry, Lane, Lines
from shared.dps.models import BulkMode, RecordKind
from shared.errors import NotAttemptedError, PacedOutError

_RETRY_AFTER = 5.0


class Waiting:
    """Every change from when it comes until whoever waits for it is told; each is told once."""

    def __init__(self, lanes: Iterable[Lane], see_to: Callable[[Lane], None]) -> None:
        self._lanes = {(lane.resource.kind, lane.mode): lane for lane in lanes}
        self._see_to = see_to  # is told of a lane where something waits
        self._lines = Lines(self._start)
        self._without_bulk_delete: set[RecordKind] = set()
        self._is_closed = False

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._lines))

    def join(self, change: Change) -> Entry:
        """The change as one that waits; past its deadline that ends, unless a call has it."""
        if self._is_closed:
            raise NotAttemptedError("The app is stopping.")
        loop = asyncio.get_running_loop()
        entry = Entry(change=change, mode=mode_of(change), outcome=loop.create_future())
        # A timer in the context of whoever asks would keep that.
        entry.expiry = loop.call_at(change.deadline, self._expire, entry, context=Context())
        self._lines.join(entry)
        return entry

    def _start(self, entry: Entry) -> None:
        """Puts a change whose turn has come where calls take it from."""
        kind, mode = entry.change.kind, entry.mode
        if mode == BulkMode.DELETE and kind in self._without_bulk_delete:
            mode = None
        self._put(entry, self._lanes[kind, mode])

    def _put(self, entry: Entry, lane: Lane) -> None:
        lane.add(entry)
        if entry.change.deadline <= asyncio.get_running_loop().time():
            # Its timer may have rung while a call had it.
            asyncio.get_running_loop().call_soon(self._expire, entry, context=Context())
        else:
            self._see_to(lane)

    def do_alone(self, entry: Entry, step: Step) -> None:
        """Lets a change wait once more: for calls of its own."""
        entry.step = step
        self._put(entry, self._lanes[entry.change.kind, None])

    def do_without_bulk_delete(self, kind: RecordKind) -> None:
        """From now on every delete is a call of its own."""
        self._without_bulk_delete.add(kind)
        for entry in list(self._lanes[kind, BulkMode.DELETE]):
            entry.leave_lane()
            self._start(entry)

    def take(self, lane: Lane) -> list[Entry]:
        """What goes into the lane's next call: nothing whose deadline is over."""
        now = asyncio.get_running_loop().time()
        # Again and again: with each that ends, the next change of its record may come in.
        while late := [entry for entry in lane if entry.change.deadline <= now]:
            for entry in late:
                self._expire(entry)
        batch = lane.take()
        for entry in batch:
            entry.is_sent = True
        return batch

    def leave(self, entry: Entry) -> bool:
        """Forgets a change; whether it waited."""
        if entry.expiry:
            entry.expiry.cancel()
        entry.leave_lane()
        return self._lines.leave(entry)

    def finish(self, entry: Entry, outcome: Applied | Exception) -> None:
        """Tells whoever waits, if nobody has."""
        if isinstance(outcome, Exception):
            self._end_series(entry, outcome)
        if self.leave(entry):
            self._tell(entry, outcome)

    def _end_series(self, entry: Entry, error: Exception) -> None:
        series = entry.change.series
        if series and series.is_tried_again(error):
            for later in self._lines.cut_series(entry):
                self._tell(later, error)

    def _tell(self, entry: Entry, outcome: Applied | Exception) -> None:
        if entry.outcome.done():
            return
        if isinstance(outcome, Exception):
            entry.outcome.set_exception(outcome)
        else:
            entry.outcome.set_result(outcome)

    def _expire(self, entry: Entry) -> None:
        if entry.lane or not entry.is_sent:
            words = "No call took the change in its time."
            self.finish(entry, PacedOutError(words, retry_after=_RETRY_AFTER))

    def close(self) -> None:
        """Ends what no call has taken yet; nothing can join any more."""
        self._is_closed = True
        for entry in self:
            if not entry.is_sent:
                self.finish(entry, NotAttemptedError("The app is stopping."))
