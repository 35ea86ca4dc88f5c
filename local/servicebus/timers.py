"""The broker's clock, which tests can advance, and timers set by it."""

import asyncio
import heapq
from collections.abc import Callable, Mapping
from itertools import count
from typing import Generic, TypeVar

from local.servicebus.message import Message

EntryT = TypeVar("EntryT", int, tuple[int, int])

# asyncio's timers may fire slightly early; rescheduling without a delay would be a busy loop.
_MIN_DELAY = 0.001  # seconds
_MIN_SWEEP_SIZE = 64


class Timers:
    """The clock, in milliseconds since 1970, and the alarms set by it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._offset = 0.0  # seconds by which the clock has been advanced
        self._heap: list[tuple[int, int, Alarm]] = []
        self._tie_breakers = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None

    def now(self) -> int:
        """Returns the current time."""
        return int((self._clock() + self._offset) * 1000)

    def start(self) -> None:
        """Fires alarms on the running event loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._schedule()

    def stop(self) -> None:
        """Fires no more alarms."""
        self._loop = None
        self._cancel()

    def advance(self, seconds: float) -> None:
        """Moves the clock forward, and fires the alarms that are due by then."""
        self._offset += seconds
        self._fire_due()

    def add(self, when: int, alarm: "Alarm") -> None:
        """Fires `alarm` at `when`, if it is still set to that time."""
        heapq.heappush(self._heap, (when, next(self._tie_breakers), alarm))
        if self._heap[0][0] == when:
            self._schedule()

    def _schedule(self) -> None:
        self._cancel()
        if self._loop and self._heap:
            delay = (self._heap[0][0] - self.now()) / 1000
            self._handle = self._loop.call_later(max(delay, _MIN_DELAY), self._fire_due)

    def _cancel(self) -> None:
        if self._handle:
            self._handle.cancel()
        self._handle = None

    def _fire_due(self) -> None:
        now = self.now()
        while self._heap and self._heap[0][0] <= now:
            when, _, alarm = heapq.heappop(self._heap)
            if alarm.when == when:
                alarm.fire(now)
        self._schedule()


class Alarm:
    """A timer that calls `callback` with the current time; the result is its next time, if any."""

    def __init__(self, timers: Timers, callback: Callable[[int], int | None]) -> None:
        self._timers = timers
        self._callback = callback
        self.when: int | None = None

    def set(self, when: int) -> None:
        """Fires at `when`, unless it is already set to an earlier time."""
        if self.when is None or when < self.when:
            self.when = when
            self._timers.add(when, self)

    def fire(self, now: int) -> None:
        """Calls the callback; only `Timers` calls this."""
        self.when = None
        next_time = self._callback(now)
        if next_time is not None:
            self.set(next_time)


class LazyHeap(Generic[EntryT]):
    """
    A heap with lazy deletion: entries for which `is_valid` is false are skipped.

    Invalid entries are removed whenever the heap has doubled, so its size stays proportional to
    the number of valid ones.
    """

    def __init__(self, is_valid: Callable[[EntryT], bool]) -> None:
        self._is_valid: Callable[[EntryT], bool] = is_valid
        self._entries: list[EntryT] = []
        self._sweep_size = _MIN_SWEEP_SIZE

    def push(self, entry: EntryT) -> None:
        """Adds an entry."""
        heapq.heappush(self._entries, entry)
        if len(self._entries) > self._sweep_size:
            self._entries = [entry for entry in self._entries if self._is_valid(entry)]
            heapq.heapify(self._entries)
            self._sweep_size = max(_MIN_SWEEP_SIZE, 2 * len(self._entries))

    def first(self) -> EntryT | None:
        """Returns the smallest valid entry, or None."""
        while self._entries and not self._is_valid(self._entries[0]):
            heapq.heappop(self._entries)
        return self._entries[0] if self._entries else None

    def pop(self) -> None:
        """Removes the entry that `first` has just returned."""
        heapq.heappop(self._entries)


class MessageTimer:
    """A timer that calls `callback` for each message at its time, unless that has changed."""

    def __init__(
        self,
        timers: Timers,
        messages: Mapping[int, Message],
        time_of: Callable[[Message], int | None],
        callback: Callable[[Message], object],
    ) -> None:
        self._messages = messages
        self._time_of = time_of
        self._callback = callback
        self._heap: LazyHeap[tuple[int, int]] = LazyHeap(self._is_valid)
        self._alarm = Alarm(timers, self._fire_due)

    def add(self, message: Message) -> None:
        """Adds a message of the mapping, if it has a time."""
        when = self._time_of(message)
        if when is not None:
            self._heap.push((when, message.sequence_number))
            self._alarm.set(when)

    def _is_valid(self, entry: tuple[int, int]) -> bool:
        when, sequence_number = entry
        message = self._messages.get(sequence_number)
        return message is not None and self._time_of(message) == when

    def _fire_due(self, now: int) -> int | None:
        while (first := self._heap.first()) and first[0] <= now:
            self._heap.pop()
            self._callback(self._messages[first[1]])
        return first[0] if first else None
