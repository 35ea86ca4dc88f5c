"""The order in which changes wait: by record, and by the calls that can take them."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice

from shared.dps.applying import Step, alone
from shared.dps.bulk_calls import MAX_RECORDS
from shared.dps.changes import Applied, Change
from shared.dps.models import BulkMode, RecordKind
from shared.dps.resources import EnrollmentResource


@dataclass(eq=False, kw_only=True, slots=True)
class Entry:
    """A change, and whoever waits for what becomes of it."""

    change: Change
    mode: BulkMode | None
    outcome: asyncio.Future[Applied]
    expiry: asyncio.TimerHandle | None = None
    step: Step = alone
    """What it takes if it is done by itself."""
    lane: "Lane | None" = None
    """Where it waits for a call."""
    is_sent: bool = False
    """Whether a call has taken it: then it cannot be taken back."""

    def leave_lane(self) -> None:
        """Waits for no call any more."""
        if self.lane:
            self.lane.remove(self)


class Lines:
    """For every record the changes that nobody has done yet, first come, first served."""

    def __init__(self, start: Callable[[Entry], None]) -> None:
        self._start = start  # is told whose turn it is
        self._lines: dict[tuple[RecordKind, str], deque[Entry]] = {}

    def __iter__(self) -> Iterator[Entry]:
        return chain(*self._lines.values())

    def join(self, entry: Entry) -> None:
        """The last of its line."""
        line = self._lines.setdefault(entry.change.key, deque())
        line.append(entry)
        if line[0] is entry:
            self._start(entry)

    def cut_series(self, entry: Entry) -> list[Entry]:
        """Takes out those of its series that came after it; all at once, since they may be many."""
        key, series = entry.change.key, entry.change.series
        line = list(self._lines.get(key, ()))
        place = line.index(entry) + 1 if entry in line else len(line)
        later = line[place:]
        kept = (one for one in later if one.change.series is not series)
        if later:
            self._lines[key] = deque(chain(line[:place], kept))
        return [one for one in later if one.change.series is series]

    def leave(self, entry: Entry) -> bool:
        """Lets the next come, if it was this one's turn; whether it was in its line at all."""
        line = self._lines.get(entry.change.key, deque())
        if entry not in line:
            return False
        was_first = line[0] is entry
        line.remove(entry)
        if not line:
            del self._lines[entry.change.key]
        elif was_first:
            self._start(line[0])
        return True


class Lane:
    """
    What waits for the calls of one mode to one collection; without a mode each is a call by itself.

    `places` are those of calls under way; `server` takes changes from here as places and the quota
    of DPS allow.
    """

    def __init__(
        self, resource: EnrollmentResource, mode: BulkMode | None, places: asyncio.Semaphore
    ) -> None:
        self.resource = resource
        self.mode = mode
        self.places = places
        self.server: asyncio.Task[None] | None = None
        self._size = MAX_RECORDS if mode else 1
        self._waiting: dict[Entry, None] = {}
        self._parts: deque[dict[Entry, None]] = deque()
        self._is_full = asyncio.Event()

    def __iter__(self) -> Iterator[Entry]:
        return chain(self._waiting, *self._parts)

    def __bool__(self) -> bool:
        return any(True for _ in self)

    def add(self, entry: Entry) -> None:
        """The last of those that wait."""
        entry.lane = self
        self._waiting[entry] = None
        self._look()

    def add_part(self, entries: Sequence[Entry]) -> None:
        """What shares the next call with nothing else."""
        for entry in entries:
            entry.lane = self
        self._parts.append(dict.fromkeys(entries))
        self._look()

    def remove(self, entry: Entry) -> None:
        """Takes one back."""
        entry.lane = None
        for entries in (self._waiting, *self._parts):
            entries.pop(entry, None)
        self._look()

    def _look(self) -> None:
        if len(self._waiting) >= self._size or any(self._parts):
            self._is_full.set()
        else:
            self._is_full.clear()

    async def filled(self, *, within: float) -> None:
        """Returns when there is enough for a call, or the time for more to come is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._is_full.wait()

    def take(self) -> list[Entry]:
        """What goes into the next call."""
        while self._parts and not self._parts[0]:
            self._parts.popleft()
        batch = list(self._parts[0] if self._parts else islice(self._waiting, self._size))
        for entry in batch:
            self.remove(entry)
        return batch
