"""Time that can be moved forward, and what happens when its time has come."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

# A timer of asyncio may ring a little early; asking at once again would spin.
_SOONEST = 0.001


class Timers:
    """The broker's clock, in milliseconds since 1970, and the alarms set by it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ahead = 0.0
        self._set: list[tuple[int, int, Alarm]] = []
        self._numbers = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None

    def now(self) -> int:
        """The time."""
        return int((self._clock() + self._ahead) * 1000)

    def start(self) -> None:
        """Alarms ring on the running event loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._arm()

    def stop(self) -> None:
        """No alarm rings any more."""
        self._loop = None
        self._disarm()

    def advance(self, seconds: float) -> None:
        """Moves the clock forward; what is due by then happens now."""
        self._ahead += seconds
        self._ring()

    def add(self, when: int, alarm: "Alarm") -> None:
        """Rings `alarm` at `when`."""
        heapq.heappush(self._set, (when, next(self._numbers), alarm))
        if self._set[0][0] == when:
            self._arm()

    def _arm(self) -> None:
        self._disarm()
        if self._loop and self._set:
            delay = (self._set[0][0] - self.now()) / 1000
            self._handle = self._loop.call_later(max(delay, _SOONEST), self._ring)

    def _disarm(self) -> None:
        if self._handle:
            self._handle.cancel()
        self._handle = None

    def _ring(self) -> None:
        now = self.now()
        while self._set and self._set[0][0] <= now:
            when, _, alarm = heapq.heappop(self._set)
            if alarm.when == when:
                alarm.ring(now)
        self._arm()


class Alarm:
    """Calls `ring` with the time when it is due; it answers when it wants to be called next."""

    def __init__(self, timers: Timers, ring: Callable[[int], int | None]) -> None:
        self._timers = timers
        self._ring = ring
        self.when: int | None = None

    def set(self, when: int) -> None:
        """Rings at `when`, or before that if it is set to an earlier time already."""
        if self.when is None or when < self.when:
            self.when = when
            self._timers.add(when, self)

    def ring(self, now: int) -> None:
        """Called by the timers."""
        self.when = None
        following = self._ring(now)
        if following is not None:
            self.set(following)
