"""The turns of a process at DPS: one token bucket in front of every call, filled as `Rate` says."""

import asyncio
import math
import random
from collections import deque
from dataclasses import dataclass

from shared.dps.rate import MINUTE, Rate, Refusal
from shared.errors import PacedOutError

# What somebody who has been away may do at once: a handful of calls, or what a second brings.
_LEAST_BURST = 5.0
_BURST_SECONDS = 1.0

_LONGEST_PAUSE = 120.0
_FIRST_GUESS, _LONGEST_GUESS = 3.0, 8.0

_EPSILON = 1e-6  # of a token, and of a second: what is lost in adding up


class Permit:
    """A turn that was waited for already; good for one attempt."""

    def __init__(self, turn: float) -> None:
        self.turn = turn
        self._is_used = False

    def use(self) -> bool:
        """Whether it was still good, which it is once."""
        was_used, self._is_used = self._is_used, True
        return not was_used


@dataclass(frozen=True, kw_only=True, slots=True)
class Pacing:
    """
    How a process stands to the quota.

    `operations_per_minute` is what it allows itself now, `waiting` the calls whose turn has not
    come, `throttled` how many DPS has refused so far.
    """

    operations_per_minute: float
    waiting: int
    throttled: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Waiter:
    turn: asyncio.Future[float]
    deadline: float


class Pacer:
    """
    Gives turns, first come, first served; belongs to the event loop it is used in.

    A refusal of DPS (429) pauses all: as long as Retry-After says, up to two minutes. Where DPS
    does not say, the pause is a guess that grows with each refusal in a row.
    """

    def __init__(self, *, start: float, quota: float, random: random.Random | None = None) -> None:
        self._random = random or _OWN_RANDOM
        self._rate = Rate(start=start, quota=quota, random=self._random)
        self._waiting: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tokens = self._burst
        self._filled = self._idle = self._opens = self._cut = -math.inf
        self._guess_next = _FIRST_GUESS
        self._throttled = 0

    @property
    def _burst(self) -> float:
        return max(_LEAST_BURST, self._rate.per_minute / MINUTE * _BURST_SECONDS)

    async def wait(self, deadline: float) -> float:
        """
        Returns once a call may start; gives the loop's time of that turn.

        Raises `PacedOutError` as soon as it is plain that the turn will not come by `deadline`.
        """
        loop = asyncio.get_running_loop()
        self._fill(loop.time())
        waiter = _Waiter(turn=loop.create_future(), deadline=deadline)
        self._waiting.append(waiter)
        self._serve()
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            self._forget(waiter)
            raise

    def throttled(self, retry_after: float | None, *, turn: float) -> None:
        """DPS refused, for its quota, the call that started at `turn`."""
        now = asyncio.get_running_loop().time()
        self._fill(now)
        self._throttled += 1
        is_news = turn > self._cut
        if retry_after is not None:
            self._opens = max(self._opens, now + min(retry_after, _LONGEST_PAUSE))
        elif is_news:
            self._opens = max(self._opens, now + self._guess())
        if is_news:
            pause = 0.0 if retry_after is None else max(0.0, self._opens - now)
            self._rate.refuse(Refusal(at=now, demand=now - self._idle, pause=pause))
            self._cut = now
            # Processes that were refused together do not come back together.
            self._tokens = self._random.random()
        self._serve()

    def answered(self) -> None:
        """DPS answered a call with anything else."""
        self._guess_next = _FIRST_GUESS
        self._rate.admit(asyncio.get_running_loop().time())

    def snapshot(self) -> Pacing:
        """How the process stands now."""
        return Pacing(
            operations_per_minute=self._rate.per_minute,
            waiting=len(self._waiting),
            throttled=self._throttled,
        )

    def _guess(self) -> float:
        guess, self._guess_next = self._guess_next, min(self._guess_next * 2, _LONGEST_GUESS)
        return guess * self._random.uniform(0.5, 1)

    def _fill(self, now: float) -> None:
        """Adds the tokens that have come since it was last done, none of them in a pause."""
        seconds = max(0.0, now - max(self._filled, self._opens))
        self._filled = now
        if self._waiting:
            self._rate.try_(now, seconds)
        else:
            self._rate.rest(now)
        self._tokens += seconds * self._rate.per_minute / MINUTE
        if self._tokens >= self._burst:
            self._tokens, self._idle = self._burst, now

    def _serve(self) -> None:
        """Gives the turns that have come, and refuses those that would come too late."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._fill(now)
        self._refuse_late(now)
        while self._waiting and self._turn_of(1, now) <= now:
            self._tokens -= 1
            self._waiting.popleft().turn.set_result(now)
        if self._timer:
            self._timer.cancel()
        self._timer = loop.call_at(self._turn_of(1, now), self._serve) if self._waiting else None

    def _turn_of(self, place: int, now: float) -> float:
        missing = place - self._tokens
        waits = missing * MINUTE / self._rate.per_minute if missing > _EPSILON else 0.0
        return max(now, self._opens) + waits

    def _refuse_late(self, now: float) -> None:
        in_time: deque[_Waiter] = deque()
        for waiter in self._waiting:
            if waiter.turn.done():  # cancelled, and not here yet to say so
                continue
            turn = self._turn_of(len(in_time) + 1, now)
            if turn <= waiter.deadline + _EPSILON:
                in_time.append(waiter)
            else:
                waiter.turn.set_exception(_paced_out(turn - now))
        self._waiting = in_time

    def _forget(self, waiter: _Waiter) -> None:
        """The caller is gone: its place is free, and the turn it was just given is another's."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        elif not waiter.turn.cancelled() and not waiter.turn.exception():
            self._tokens += 1
        self._serve()


def _paced_out(retry_after: float) -> PacedOutError:
    return PacedOutError(
        "The quota of DPS leaves no turn for the call within its time.", retry_after=retry_after
    )


_OWN_RANDOM = random.Random()  # noqa: S311  it parts processes and keeps no secret
