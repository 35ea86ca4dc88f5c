"""
How many calls a minute one process may make of a quota that it shares with others unseen.

All it is told is which of its calls the service admitted and which it refused (429). The rule:

- It grows only while callers wait. Until the first refusal it doubles every 15 s (slow start, RFC
  5681); then it follows a cubic curve that comes back to the last rate refused, the wall, stays near
  it for minutes, and having passed it leaves it ever faster (CUBIC, RFC 9438): probes are rare. A
  small addend, of more weight in a smaller rate, brings unequal processes together (AIMD).
- A refusal cuts it to nine tenths, or to eight if few calls were admitted since the last cut. Only a
  call that started after the last cut makes another: one cut a round. A run of refusals is one.
- What was refused before anything was admitted cuts nothing: the quota was used up before the process
  came, which says nothing of its share of the next one.
- The wall is no higher than what was admitted in the minute before (TCP Westwood+), if callers
  waited all the time, but no run of refusals takes more than four fifths of it: whoever keeps a
  process out for long has not told what its share is. A third of the quota is found in a window.
- Chance keeps processes from probing in step. The configured quota is never exceeded, and a rate
  that was not put to the test for ten minutes is forgotten (RFC 7661): one below the start, unless a
  caller had to wait or was refused; any other, unless there was a call.

`bench/pacing.py` shows what comes of it.
"""

import math
import random
from collections import deque
from dataclasses import dataclass

MINUTE = 60.0

_OF_QUOTA = 0.98  # a process alone with its quota is then never refused
_LEAST = 1.0
_DOUBLING = 15.0

_CUT, _DEEPEST_CUT = 0.9, 0.8
_DEEPEST_BY_MEASURE = 0.2
_LEAST_MEASURE = 10.0
_SLACK = 2.0  # seconds between a window of the service and the answers of its calls

_TO_THE_WALL, _LONGEST_TO_THE_WALL = 30.0, 300.0
_CALLS_TO_THE_WALL = 100.0
_CHANCE = 0.25
_PAST_THE_WALL = 1.5
_ADDEND = 0.2
_FORGOTTEN = 600.0
_INSTANT = 0.001


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """
    A call refused at `at`, after `demand` seconds in which callers had always something to send.

    The service admits nothing for `pause` seconds more, if it said so.
    """

    at: float
    demand: float
    pause: float


class Rate:
    """Calls a minute; every `now` and `at` is in seconds of one clock that never goes back."""

    def __init__(self, *, start: float, quota: float, random: random.Random) -> None:
        self._most = max(quota * _OF_QUOTA, _LEAST)
        self._start = max(min(start, self._most), _LEAST)
        self._random = random
        self._admitted = _LastMinute()
        self._begin()

    def _begin(self) -> None:
        self.per_minute: float = self._start
        self._wall: float | None = None
        self._to_the_wall = _TO_THE_WALL
        self._least_wall = _LEAST
        self._age = 0.0
        self._since_cut = 0
        self._tried = self._waited = -math.inf

    def try_(self, now: float, seconds: float) -> None:
        """Callers waited for the `seconds` until `now`: as long as nobody is refused it grows."""
        self._tried = now
        if seconds > _INSTANT:
            self._waited = now
        if self.per_minute < self._most:
            # In a process that stood still for longer nobody has put it to the test.
            self._age += min(seconds, MINUTE)
            self.per_minute = max(self.per_minute, min(self._grown(), self._most))

    def rest(self, now: float) -> None:
        """Nobody waits; what was long ago says nothing of now."""
        tried = self._waited if self.per_minute < self._start else self._tried
        if tried > -math.inf and now - tried > _FORGOTTEN:
            self._begin()

    def admit(self, now: float) -> None:
        """A call was admitted."""
        self._since_cut += 1
        self._admitted.add(now)

    def refuse(self, refusal: Refusal) -> None:
        """A call was refused that started after the last one refused."""
        if self._wall is None and not self._since_cut:
            return
        again = self._wall is not None and not self._since_cut
        wall = self._wall if again and self._wall else self.per_minute
        if not again:
            self._least_wall = max(wall * _DEEPEST_BY_MEASURE, _LEAST)
        if refusal.demand >= _LEAST_MEASURE:
            wall = min(wall, max(self._measured(refusal), self._least_wall))
        # A run of refusals is one: a window that is used up says nothing new until it ends.
        of_few = _CUT if again else max(_DEEPEST_CUT, self._since_cut / (self._since_cut + 1))
        self._wall = max(wall * min(1, of_few / _CUT), _LEAST)
        self.per_minute = max(self._wall * _CUT, _LEAST)
        self._to_the_wall = self._seconds_to(self._wall)
        self._age, self._since_cut = 0.0, 0
        self._waited = refusal.at  # a refusal is a test as well

    def _measured(self, refusal: Refusal) -> float:
        # Of a longer pause nothing would be left to look at.
        pause = refusal.pause if refusal.pause <= MINUTE else 0.0
        admitted = self._admitted.since(refusal.at + pause - MINUTE - _SLACK)
        return admitted * MINUTE / min(refusal.demand + pause, MINUTE)

    def _seconds_to(self, wall: float) -> float:
        # A slow process waits longer, for as many calls: each probe costs a refusal.
        seconds = max(_TO_THE_WALL, _CALLS_TO_THE_WALL * MINUTE / wall)
        chance = self._random.uniform(1 - _CHANCE, 1 + _CHANCE)
        return min(seconds, _LONGEST_TO_THE_WALL) * chance

    def _grown(self) -> float:
        if self._wall is None:
            return self._start * 2 ** (self._age / _DOUBLING)
        rounds = min(self._age / self._to_the_wall, _PAST_THE_WALL)
        past = self._age - rounds * self._to_the_wall
        cubic = self._wall * (1 + (1 - _CUT) * (rounds - 1) ** 3)
        addend = _ADDEND * math.sqrt(self._wall) * self._age / MINUTE
        return (cubic + addend) * 2 ** (past / MINUTE)


class _LastMinute:
    """How many calls were admitted, second by second."""

    def __init__(self) -> None:
        self._counts: deque[tuple[int, int]] = deque()

    def add(self, now: float) -> None:
        second = math.floor(now)
        before = self._counts.pop()[1] if self._counts and self._counts[-1][0] == second else 0
        self._counts.append((second, before + 1))
        while self._counts[0][0] < now - MINUTE - 2 * _SLACK:
            self._counts.popleft()

    def since(self, then: float) -> int:
        return sum(count for second, count in self._counts if second > then)
