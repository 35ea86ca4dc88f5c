"""Readiness: whether DPS answers the app."""

import asyncio
import time
from collections.abc import Callable

from shared.dps import CallContext, DpsClient
from shared.errors import DpsError, DpsThrottledError, NoPermitError

_CHECK_TIMEOUT = 5.0
_CHEAPEST_QUERY = {"query": "SELECT *"}


class Readiness:
    """
    The check whether DPS answers the app.

    A result is cached for `cache_seconds`: each check uses one operation of the DPS quota.
    """

    def __init__(
        self,
        dps: DpsClient,
        *,
        cache_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dps = dps
        self._cache_seconds = cache_seconds
        self._clock = clock
        self._check_lock = asyncio.Lock()
        self._valid_until = float("-inf")
        self._error: DpsError | None = None

    async def error(self) -> DpsError | None:
        """Returns the error of the last check; `None` if DPS answered."""
        async with self._check_lock:
            if self._clock() >= self._valid_until:
                self._error = await self._check()
                self._valid_until = self._clock() + self._cache_seconds
        return self._error

    async def _check(self) -> DpsError | None:
        deadline = asyncio.get_running_loop().time() + _CHECK_TIMEOUT
        context = CallContext(deadline=deadline)
        try:
            await self._dps.enrollments.query(_CHEAPEST_QUERY, top=1, context=context).page()
        except DpsThrottledError:
            return None  # DPS accepts the credential
        except NoPermitError:
            return self._error  # nothing was sent: the previous result stands
        except DpsError as error:
            return error
        return None
