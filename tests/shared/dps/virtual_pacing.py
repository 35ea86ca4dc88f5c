"""A pacer in virtual time, and what its callers do."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from local.virtual_time import VirtualTime
from shared.dps.pacing import Pacer
from shared.errors import PacedOutError

NEVER = float("inf")
BURST = 5
MINUTE = 60.0


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Makes a test of a coroutine function, whose hours pass in an instant."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualTime) as runner:
            runner.run(test(**fixtures))

    return run


def pacer_of(start: float, *, quota: float = 1000) -> Pacer:
    """A pacer whose chance is the same at every run."""
    return Pacer(start=start, quota=quota, random=random.Random(1))  # noqa: S311


def now() -> float:
    """The time of the loop."""
    return asyncio.get_running_loop().time()


async def spend_burst(pacer: Pacer) -> None:
    """Takes the turns that are to be had at once."""
    for _ in range(BURST):
        await pacer.wait(now())


async def turns(pacer: Pacer, *, seconds: float) -> int:
    """How many turns one gets who wants as many as there are, all of which DPS admits."""
    until, count = now() + seconds, 0
    while now() < until:
        try:
            await pacer.wait(until)
        except PacedOutError:
            break
        pacer.answered()
        count += 1
    return count


async def refused(pacer: Pacer, retry_after: float | None = None) -> None:
    """A call that DPS refuses at once."""
    turn = await pacer.wait(NEVER)
    pacer.throttled(retry_after, turn=turn)
