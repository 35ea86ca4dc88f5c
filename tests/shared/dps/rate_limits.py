"""Rate limiters in virtual time, and callers of them."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from local.virtual_time import VirtualTime
from shared.dps.rate_limiter import RateLimiter
from shared.errors import NoPermitError

NEVER = float("inf")
BURST = 5
MINUTE = 60.0


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs an asynchronous test on a loop in which waiting takes no real time."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualTime) as runner:
            runner.run(test(**fixtures))

    return run


def new_limiter(start: float, *, quota: float = 1000) -> RateLimiter:
    """Returns a rate limiter with a fixed random seed."""
    return RateLimiter(start=start, quota=quota, random=random.Random(1))  # noqa: S311


def now() -> float:
    """Returns the time of the loop."""
    return asyncio.get_running_loop().time()


async def use_burst(limiter: RateLimiter) -> None:
    """Acquires the permits that are available at once."""
    for _ in range(BURST):
        await limiter.acquire(now())


async def call_constantly(limiter: RateLimiter, *, seconds: float) -> int:
    """Acquires permits one after another, for calls that DPS admits; returns their number."""
    end, count = now() + seconds, 0
    while now() < end:
        try:
            await limiter.acquire(end)
        except NoPermitError:
            break
        limiter.on_response()
        count += 1
    return count


async def throttled_call(limiter: RateLimiter, retry_after: float | None = None) -> None:
    """Acquires a permit for a call that DPS throttles at once."""
    start_time = await limiter.acquire(NEVER)
    limiter.on_throttled(retry_after, start_time=start_time)
