"""A DPS with a quota on a virtual clock, called through the app's own rate limiter."""

import asyncio
import random
from collections import Counter

import harness  # noqa: F401  adds the repository to the import path

from local.dps.errors import ApiError
from local.dps.throttle import Quota, Throttle
from local.dps.timestamps import SECOND
from shared.dps.rate_limiter import RateLimiter

OPERATIONS_PER_MINUTE = 1000.0  # as configured in the app
ITEMS = 10  # in a bulk call
CONCURRENCY = 16  # calls of a process that are in flight or wait for a permit


class SimulatedDps:
    """The throttle of the DPS stand-in; counts the calls that it gets from `count_from` on."""

    def __init__(self, quota: Quota, call_seconds: float, *, count_from: float = 0.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._throttle = Throttle(quota, lambda: round(self._loop.time() * SECOND))
        self._call_seconds = call_seconds
        self._count_from = count_from
        self.admitted: Counter[int] = Counter()
        """Admitted calls, by process."""
        self.refused = 0

    async def call(
        self, rate_limiter: RateLimiter, *, items: int = ITEMS, process: int = 0
    ) -> bool:
        """Makes one call when the rate limiter permits it; returns whether DPS admitted it."""
        start_time = await rate_limiter.acquire(float("inf"))
        await asyncio.sleep(self._call_seconds / 2)
        refusal = self._admit(items, process)
        await asyncio.sleep(self._call_seconds / 2)
        if refusal is None:
            rate_limiter.on_response()
            return True
        retry_after = refusal.headers.get("Retry-After")
        rate_limiter.on_throttled(
            None if retry_after is None else float(retry_after), start_time=start_time
        )
        return False

    def _admit(self, items: int, process: int) -> ApiError | None:
        is_counted = self._loop.time() >= self._count_from
        try:
            self._throttle.admit(items)
        except ApiError as refused:
            self.refused += is_counted
            return refused
        self.admitted[process] += is_counted
        return None


def create_rate_limiter(seed: float) -> RateLimiter:
    """Returns the rate limiter of one process, as the app starts it."""
    chance = random.Random(seed)  # noqa: S311  a simulation
    return RateLimiter(start=OPERATIONS_PER_MINUTE / 10, quota=OPERATIONS_PER_MINUTE, random=chance)
