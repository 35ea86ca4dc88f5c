"""The quota of operations a minute, in the two ways a service may count it.

D: 1,000 a minute and instance. ?: the algorithm, whether a bulk call counts as one operation or
as its items, and whether Retry-After is sent: so each can be chosen.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from local.dps.errors import Refused
from local.dps.rules import THROTTLED
from local.dps.timestamps import SECOND

MINUTE = 60.0


@dataclass(frozen=True, kw_only=True)
class Quota:
    """The settings of a throttle, named as on the wire."""

    enabled: bool = True
    operationsPerMinute: float = 1000  # noqa: N815
    algorithm: Literal["tokenBucket", "fixedWindow"] = "tokenBucket"
    count: Literal["calls", "items"] = "calls"
    burst: float | None = None  # what a full bucket holds; None: a minute's operations
    windowSeconds: float = MINUTE  # noqa: N815  a test may want to see several in a minute
    retryAfter: bool = True  # noqa: N815

    def as_json(self) -> dict[str, Any]:
        """The settings as the control endpoint takes them."""
        return asdict(self)


class Throttle:
    """Admits operations until the quota is used up."""

    def __init__(self, quota: Quota, clock: Callable[[], int]) -> None:
        self.quota = quota
        self._limit: TokenBucket | FixedWindow = _ALGORITHMS[quota.algorithm](quota)
        self._clock = clock

    def admit(self, items: int) -> None:
        """429 if the quota is used up; what is refused costs nothing."""
        if not self.quota.enabled:
            return
        cost = items if self.quota.count == "items" else 1
        wait = self._limit.take(cost, self._clock() / SECOND)
        if wait > 0:
            raise Refused(THROTTLED, headers=self._retry_after(wait))

    def _retry_after(self, wait: float) -> Mapping[str, str]:
        return {"Retry-After": str(math.ceil(wait))} if self.quota.retryAfter else {}


class TokenBucket:
    """Full at first, refilled evenly."""

    def __init__(self, quota: Quota) -> None:
        self._rate = quota.operationsPerMinute / MINUTE
        self._capacity = quota.burst or quota.operationsPerMinute
        self._tokens = self._capacity
        self._filled: float | None = None

    def take(self, cost: float, now: float) -> float:
        """0 if admitted, else the seconds until it would be."""
        since = 0.0 if self._filled is None else max(0.0, now - self._filled)
        self._tokens = min(self._capacity, self._tokens + since * self._rate)
        self._filled = now
        # A call dearer than a full bucket would wait for ever.
        cost = min(cost, self._capacity)
        if cost > self._tokens:
            return (cost - self._tokens) / self._rate
        self._tokens -= cost
        return 0.0


class FixedWindow:
    """The whole quota anew with each minute of the clock, or its part with each shorter window."""

    def __init__(self, quota: Quota) -> None:
        self._seconds = quota.windowSeconds
        self._capacity = quota.operationsPerMinute * self._seconds / MINUTE
        self._window = -1.0
        self._used = 0.0

    def take(self, cost: float, now: float) -> float:
        """0 if admitted, else the seconds until it would be."""
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
