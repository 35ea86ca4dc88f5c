"""
The quota of operations per minute, and that of the polls of a device.

Documented: 1,000 operations per minute and instance. Assumed: the algorithm, whether a bulk call
counts as one operation or as its items, and whether Retry-After is sent; so tests can choose each.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from local.dps.errors import THROTTLED, ApiError
from local.dps.timestamps import SECOND

MINUTE = 60.0


@dataclass(frozen=True, kw_only=True)
class Quota:
    """The settings of a throttle, named as in the JSON of `/_throttle`."""

    enabled: bool = True
    operationsPerMinute: float = 1000  # noqa: N815
    algorithm: Literal["tokenBucket", "fixedWindow"] = "tokenBucket"
    count: Literal["calls", "items"] = "calls"
    burst: float | None = None  # capacity of the token bucket; None: the quota of a minute
    windowSeconds: float = MINUTE  # noqa: N815 - shorter windows keep tests short
    retryAfter: bool = True  # noqa: N815

    def as_json(self) -> dict[str, Any]:
        """Returns the settings as in responses of `/_throttle`."""
        return asdict(self)


# Documented: 5 polls in 10 seconds per device. Reported (azure-iot-sdk-c#1703): they are throttled.
POLLS: Final = Quota(operationsPerMinute=30, algorithm="fixedWindow", windowSeconds=10)


class Throttle:
    """A throttle that admits operations until the quota is used up."""

    def __init__(self, quota: Quota, clock: Callable[[], int]) -> None:
        self.quota = quota
        self._limiter: TokenBucket | FixedWindow = _ALGORITHMS[quota.algorithm](quota)
        self._clock = clock

    def admit(self, items: int) -> None:
        """Counts an operation; raises ApiError 429 without counting if the quota is used up."""
        cost = items if self.quota.count == "items" else 1
        wait = self._limiter.take(cost, self._clock() / SECOND)
        if wait > 0:
            raise ApiError(THROTTLED, headers=self._retry_after(wait))

    def _retry_after(self, wait: float) -> Mapping[str, str]:
        return {"Retry-After": str(math.ceil(wait))} if self.quota.retryAfter else {}


class TokenBucket:
    """A bucket that starts full and is refilled at a constant rate."""

    def __init__(self, quota: Quota) -> None:
        self._rate = quota.operationsPerMinute / MINUTE
        self._capacity = quota.burst or quota.operationsPerMinute
        self._tokens = self._capacity
        self._refilled_at: float | None = None

    def take(self, cost: float, now: float) -> float:
        """Returns 0 if `cost` was taken, else the seconds until it can be."""
        elapsed = 0.0 if self._refilled_at is None else max(0.0, now - self._refilled_at)
        self._tokens = min(self._capacity, self._tokens + elapsed * self._rate)
        self._refilled_at = now
        # Otherwise a call that costs more than the capacity could never be admitted.
        cost = min(cost, self._capacity)
        if cost > self._tokens:
            return (cost - self._tokens) / self._rate
        self._tokens -= cost
        return 0.0


class FixedWindow:
    """A quota for each window of the clock, in proportion to the window's length."""

    def __init__(self, quota: Quota) -> None:
        self._seconds = quota.windowSeconds
        self._capacity = quota.operationsPerMinute * self._seconds / MINUTE
        self._window = -1.0
        self._used = 0.0

    def take(self, cost: float, now: float) -> float:
        """Returns 0 if `cost` was taken, else the seconds until the next window."""
        window = now // self._seconds
        if window != self._window:
            self._window, self._used = window, 0.0
        cost = min(cost, self._capacity)
        if self._used + cost > self._capacity:
            return (window + 1) * self._seconds - now
        self._used += cost
        return 0.0


_ALGORITHMS: Mapping[str, Callable[[Quota], TokenBucket | FixedWindow]] = {
    "tokenBucket": TokenBucket,
    "fixedWindow": FixedWindow,
}
