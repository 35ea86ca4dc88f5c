"""Whether the app can do its work now."""

import asyncio
import time
from collections.abc import Callable

from shared.dps import CallContext, DpsClient
from shared.dps.pacing import Pacing
from shared.errors import DpsError, DpsThrottledError, PacedOutError

SECONDS_KEPT = 30.0
"""How long an answer is good: each look spends one operation of DPS's quota."""

_LOOK_SECONDS = 5.0
_CHEAPEST_QUERY = {"query": "SELECT *"}


class Readiness:
    """Whether DPS answers the app, looked at when asked and at most every half minute."""

    def __init__(self, dps: DpsClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._dps = dps
        self._clock = clock
        self._looking = asyncio.Lock()
        self._good_until = float("-inf")
        self._fault: DpsError | None = None

    @property
    def pacing(self) -> Pacing:
        """How this process stands to DPS's quota; looking at it costs nothing."""
        return self._dps.pacing

    async def fault(self) -> DpsError | None:
        """What DPS, or the way to it, had to say against the app; `None` if all is well."""
        async with self._looking:
            if self._clock() >= self._good_until:
                self._fault = await self._look()
                self._good_until = self._clock() + SECONDS_KEPT
        return self._fault

    async def _look(self) -> DpsError | None:
        soon = CallContext(deadline=asyncio.get_running_loop().time() + _LOOK_SECONDS)
        try:
            await self._dps.enrollments.query(_CHEAPEST_QUERY, top=1, context=soon).page()
        except DpsThrottledError:
            return None  # DPS is there and takes the credential
        except PacedOutError:
            return self._fault  # nothing was asked, so nothing is news
        except DpsError as error:
            return error
        return None
