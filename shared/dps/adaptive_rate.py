"""
The call rate of one process that shares a quota with other processes it cannot see.

The only input is which of its calls the service admitted and which it throttled (429). The
algorithm:

- The rate grows only while callers wait. Until the first throttling it doubles every 15 s (slow
  start, RFC 5681). Then it follows a cubic curve (CUBIC, RFC 9438): it returns to the last
  throttled rate, the ceiling, stays near it for minutes, and grows faster the further it is past
  it, so that probes are rare. A small additive term, which weighs more at a smaller rate, makes
  unequal processes converge (AIMD).
- A throttling cuts the rate to nine tenths, or to eight tenths if few calls were admitted since the
  last cut. Only a call that started after the last cut causes another: one cut per round trip.
  Consecutive throttlings count as one.
- A throttling before any call was admitted cuts nothing: the quota was used up before the process
  started, which does not show its share of the next window.
- The ceiling is at most what was admitted in the minute before (TCP Westwood+), if callers waited
  all that time; but consecutive throttlings lower it by four fifths at most, because a process that
  is locked out for long has not measured its share. A real quota of a third of the configured one
  is still found within one window.
- Randomness keeps processes from probing in step. The configured quota is never exceeded. A rate
  that was not used for ten minutes is reset (RFC 7661): a rate below the start, unless a caller had
  to wait or was throttled; any other rate, unless there was a call.

`bench/pacing.py` measures it.
"""

import math
import random
from collections import deque
from dataclasses import dataclass

MINUTE = 60.0

_MAX_QUOTA_SHARE = 0.98  # a process with the whole quota is then never throttled
_MIN_RATE = 1.0
_DOUBLING_SECONDS = 15.0

_FACTOR, _MIN_FACTOR = 0.9, 0.8
_MIN_CEILING_FACTOR = 0.2
_MIN_MEASURED_SECONDS = 10.0
_SLACK = 2.0  # seconds between a window of the service and the responses of its calls

_MIN_RECOVERY, _MAX_RECOVERY = 30.0, 300.0
_RECOVERY_CALLS = 100.0
_JITTER = 0.25
_CUBIC_LIMIT = 1.5
_ADDITIVE_GROWTH = 0.2
_RESET_SECONDS = 600.0
_MIN_WAIT = 0.001


@dataclass(frozen=True, kw_only=True, slots=True)
class Throttling:
    """
    A throttled call, at `at`, after `demand` seconds in which callers always waited.

    `pause` is the time in seconds for which the service admits nothing, if it said so.
    """

    at: float
    demand: float
    pause: float


class AdaptiveRate:
    """The rate in calls per minute; `now` and `at` are in seconds of one monotonic clock."""

    def __init__(self, *, start: float, quota: float, random: random.Random) -> None:
        self._max = max(quota * _MAX_QUOTA_SHARE, _MIN_RATE)
        self._start = max(min(start, self._max), _MIN_RATE)
        self._random = random
        self._admitted = _LastMinute()
        self._reset()

    def _reset(self) -> None:
        self.per_minute: float = self._start
        self._ceiling: float | None = None
        self._recovery_seconds = _MIN_RECOVERY
        self._min_ceiling = _MIN_RATE
        self._age = 0.0
        self._since_cut = 0
        self._last_demand = self._last_wait = -math.inf

    def on_demand(self, now: float, seconds: float) -> None:
        """Records that callers waited for the `seconds` before `now`; the rate may grow."""
        self._last_demand = now
        if seconds > _MIN_WAIT:
            self._last_wait = now
        if self.per_minute < self._max:
            # A process that was suspended for longer has not tested the rate.
            self._age += min(seconds, MINUTE)
            self.per_minute = max(self.per_minute, min(self._grown_rate(), self._max))

    def on_idle(self, now: float) -> None:
        """Records that no caller waits; an old rate is reset."""
        last_use = self._last_wait if self.per_minute < self._start else self._last_demand
        if last_use > -math.inf and now - last_use > _RESET_SECONDS:
            self._reset()

    def on_admitted(self, now: float) -> None:
        """Records an admitted call."""
        self._since_cut += 1
        self._admitted.add(now)

    def on_throttled(self, throttling: Throttling) -> None:
        """Records a throttled call that started after the previous throttling."""
        if self._ceiling is None and not self._since_cut:
            return
        is_repeated = self._ceiling is not None and not self._since_cut
        ceiling = self._ceiling if is_repeated and self._ceiling else self.per_minute
        if not is_repeated:
            self._min_ceiling = max(ceiling * _MIN_CEILING_FACTOR, _MIN_RATE)
        if throttling.demand >= _MIN_MEASURED_SECONDS:
            ceiling = min(ceiling, max(self._measured_rate(throttling), self._min_ceiling))
        # Consecutive throttlings count as one: a used-up window shows nothing new until it ends.
        cut = _FACTOR if is_repeated else max(_MIN_FACTOR, self._since_cut / (self._since_cut + 1))
        self._ceiling = max(ceiling * min(1, cut / _FACTOR), _MIN_RATE)
        self.per_minute = max(self._ceiling * _FACTOR, _MIN_RATE)
        self._recovery_seconds = self._recovery_time(self._ceiling)
        self._age, self._since_cut = 0.0, 0
        self._last_wait = throttling.at  # a throttling tests the rate too

    def _measured_rate(self, throttling: Throttling) -> float:
        # A longer pause leaves nothing to measure.
        pause = throttling.pause if throttling.pause <= MINUTE else 0.0
        admitted = self._admitted.since(throttling.at + pause - MINUTE - _SLACK)
        return admitted * MINUTE / min(throttling.demand + pause, MINUTE)

    def _recovery_time(self, ceiling: float) -> float:
        # A slow process waits longer, until it made as many calls: each probe costs a throttling.
        seconds = max(_MIN_RECOVERY, _RECOVERY_CALLS * MINUTE / ceiling)
        jitter = self._random.uniform(1 - _JITTER, 1 + _JITTER)
        return min(seconds, _MAX_RECOVERY) * jitter

    def _grown_rate(self) -> float:
        if self._ceiling is None:
            return self._start * 2 ** (self._age / _DOUBLING_SECONDS)
        rounds = min(self._age / self._recovery_seconds, _CUBIC_LIMIT)
        past = self._age - rounds * self._recovery_seconds
        cubic = self._ceiling * (1 + (1 - _FACTOR) * (rounds - 1) ** 3)
        additive = _ADDITIVE_GROWTH * math.sqrt(self._ceiling) * self._age / MINUTE
        return (cubic + additive) * 2 ** (past / MINUTE)


class _LastMinute:
    """The number of admitted calls per second of the last minute."""

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
