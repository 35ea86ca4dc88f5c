"""Rate limiter for all DPS calls of this process: a token bucket with an adaptive rate."""

import asyncio
import math
import random
from collections import deque
from dataclasses import dataclass

from shared.dps.adaptive_rate import MINUTE, AdaptiveRate, Throttling
from shared.errors import NoPermitError

# The bucket's size after an idle time: a few calls, or those of one second.
_MIN_BURST = 5.0
_BURST_SECONDS = 1.0

_MAX_PAUSE = 120.0
_FIRST_DEFAULT_PAUSE, _MAX_DEFAULT_PAUSE = 3.0, 8.0

_EPSILON = 1e-6  # rounding error, in tokens and in seconds


class Permit:
    """The permission to start one attempt, granted at the loop's time `start_time`."""

    def __init__(self, start_time: float) -> None:
        self.start_time = start_time
        self._is_used = False

    def use(self) -> bool:
        """Uses the permit; returns whether it was unused."""
        was_used, self._is_used = self._is_used, True
        return not was_used


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimiterStatus:
    """
    The state of a rate limiter.

    `operations_per_minute` is the current rate, `waiting` the number of calls without a permit,
    `throttled` the number of calls that DPS has throttled.
    """

    operations_per_minute: float
    waiting: int
    throttled: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Waiter:
    start_time: asyncio.Future[float]
    deadline: float


class RateLimiter:
    """
    A rate limiter that grants permits first come, first served; belongs to one event loop.

    A throttled call (429) pauses all calls as long as Retry-After says, up to two minutes. Without
    Retry-After the pause is a default that grows with each throttling in a row.
    """

    def __init__(self, *, start: float, quota: float, random: random.Random | None = None) -> None:
        self._random = random or _RANDOM
        self._rate = AdaptiveRate(start=start, quota=quota, random=self._random)
        self._waiters: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tokens = self._burst
        self._last_refill = self._idle_since = self._paused_until = self._last_cut = -math.inf
        self._default_pause = _FIRST_DEFAULT_PAUSE
        self._throttled = 0

    @property
    def _burst(self) -> float:
        return max(_MIN_BURST, self._rate.per_minute / MINUTE * _BURST_SECONDS)

    async def acquire(self, deadline: float) -> float:
        """
        Waits until a call may start; returns the loop's time of its start.

        Raises `NoPermitError` as soon as it is certain that this would be after `deadline`.
        """
        loop = asyncio.get_running_loop()
        self._refill(loop.time())
        waiter = _Waiter(start_time=loop.create_future(), deadline=deadline)
        self._waiters.append(waiter)
        self._grant()
        try:
            return await waiter.start_time
        except asyncio.CancelledError:
            self._remove(waiter)
            raise

    def on_throttled(self, retry_after: float | None, *, start_time: float) -> None:
        """Records that DPS throttled (429) the call that started at `start_time`."""
        now = asyncio.get_running_loop().time()
        self._refill(now)
        self._throttled += 1
        is_after_cut = start_time > self._last_cut
        if retry_after is not None:
            self._paused_until = max(self._paused_until, now + min(retry_after, _MAX_PAUSE))
        elif is_after_cut:
            self._paused_until = max(self._paused_until, now + self._next_default_pause())
        if is_after_cut:
            pause = 0.0 if retry_after is None else max(0.0, self._paused_until - now)
            self._rate.on_throttled(Throttling(at=now, demand=now - self._idle_since, pause=pause))
            self._last_cut = now
            # Processes that were throttled together must not resume together.
            self._tokens = self._random.random()
        self._grant()

    def on_response(self) -> None:
        """Records a response of DPS other than 429."""
        self._default_pause = _FIRST_DEFAULT_PAUSE
        self._rate.on_admitted(asyncio.get_running_loop().time())

    def status(self) -> RateLimiterStatus:
        """Returns the current state."""
        return RateLimiterStatus(
            operations_per_minute=self._rate.per_minute,
            waiting=len(self._waiters),
            throttled=self._throttled,
        )

    def _next_default_pause(self) -> float:
        pause = self._default_pause
        self._default_pause = min(pause * 2, _MAX_DEFAULT_PAUSE)
        return pause * self._random.uniform(0.5, 1)

    def _refill(self, now: float) -> None:
        """Adds the tokens of the time since the last refill; a pause adds none."""
        seconds = max(0.0, now - max(self._last_refill, self._paused_until))
        self._last_refill = now
        if self._waiters:
            self._rate.on_demand(now, seconds)
        else:
            self._rate.on_idle(now)
        self._tokens += seconds * self._rate.per_minute / MINUTE
        if self._tokens >= self._burst:
            self._tokens, self._idle_since = self._burst, now

    def _grant(self) -> None:
        """Grants the permits that are due, and refuses those that would come too late."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._refill(now)
        self._refuse_late(now)
        while self._waiters and self._start_time(1, now) <= now:
            self._tokens -= 1
            self._waiters.popleft().start_time.set_result(now)
        if self._timer:
            self._timer.cancel()
        self._timer = loop.call_at(self._start_time(1, now), self._grant) if self._waiters else None

    def _start_time(self, position: int, now: float) -> float:
        """Returns when the waiter at the position, counted from 1, may start."""
        missing = position - self._tokens
        wait = missing * MINUTE / self._rate.per_minute if missing > _EPSILON else 0.0
        return max(now, self._paused_until) + wait

    def _refuse_late(self, now: float) -> None:
        in_time: deque[_Waiter] = deque()
        for waiter in self._waiters:
            if waiter.start_time.done():  # cancelled, but not yet removed
                continue
            start_time = self._start_time(len(in_time) + 1, now)
            if start_time <= waiter.deadline + _EPSILON:
                in_time.append(waiter)
            else:
                waiter.start_time.set_exception(_no_permit(start_time - now))
        self._waiters = in_time

    def _remove(self, waiter: _Waiter) -> None:
        """Removes a cancelled waiter; a permit that it was just granted goes to another."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif not waiter.start_time.cancelled() and not waiter.start_time.exception():
            self._tokens += 1
        self._grant()


def _no_permit(retry_after: float) -> NoPermitError:
    return NoPermitError(
        "The DPS quota does not let the call start before its deadline.", retry_after=retry_after
    )


_RANDOM = random.Random()  # noqa: S311  jitter, not a secret
