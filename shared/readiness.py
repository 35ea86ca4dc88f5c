"""Readiness: whether DPS and Service Bus answer the app."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from shared.dps import CallContext, DpsClient
from shared.error_catalog import ERROR_CATALOG
from shared.errors import (
    AppError,
    DpsCredentialError,
    DpsError,
    DpsHostError,
    DpsReplyLostError,
    DpsThrottledError,
    DpsTimeoutError,
    DpsUnreachableError,
    NoPermitError,
    NotConfiguredError,
    with_remedy,
)

_CHECK_TIMEOUT = 5.0
_CHEAPEST_QUERY = {"query": "SELECT *"}
_OBSTACLES = (
    "Check whether a proxy, a firewall, a missing private endpoint or the IP filter of DPS is in the "
    "way."
)
_NETWORK = f"Check the host in `DPS_ENDPOINT` or `DPS_CONNECTION_STRING`. {_OBSTACLES}"
# What is not in the error catalogue, because it is for the app's operator. DPS refuses an address with
# a 401 that does not mention its IP filter (learn.microsoft.com/azure/iot-dps/iot-dps-ip-filtering).
_REMEDIES: Mapping[type[DpsError], str] = {
    DpsUnreachableError: _NETWORK,
    DpsHostError: f"{ERROR_CATALOG[DpsHostError].remedy} {_OBSTACLES}",
    DpsReplyLostError: _NETWORK,
    DpsTimeoutError: _NETWORK,
    DpsCredentialError: f"{ERROR_CATALOG[DpsCredentialError].remedy} DPS also refuses addresses that "
    "its IP filter does not allow in this way.",
}


class Readiness:
    """
    The errors that a check finds, cached for `cache_seconds`: probes are frequent.

    A check that raises `NoPermitError` was not sent: the previous result stands.
    """

    def __init__(
        self,
        check: Callable[[], Awaitable[Sequence[AppError]]],
        *,
        cache_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._check = check
        self._cache_seconds = cache_seconds
        self._clock = clock
        self._check_lock = asyncio.Lock()
        self._valid_until = float("-inf")
        self._errors: Sequence[AppError] = ()

    async def errors(self) -> Sequence[AppError]:
        """Returns the errors of the last check; none if all is well."""
        async with self._check_lock:
            if self._clock() >= self._valid_until:
                with contextlib.suppress(NoPermitError):
                    self._errors = await self._check()
                self._valid_until = self._clock() + self._cache_seconds
        return self._errors


async def find_dps_errors(dps: DpsClient) -> list[AppError]:
    """
    Returns the error if DPS does not answer a query, which uses one operation of its quota.

    Raises `NoPermitError` if the quota does not let the query start.
    """
    deadline = asyncio.get_running_loop().time() + _CHECK_TIMEOUT
    context = CallContext(deadline=deadline)
    try:
        await dps.enrollments.query(_CHEAPEST_QUERY, top=1, context=context).page()
    except DpsThrottledError:
        return []  # DPS accepts the credential
    except NoPermitError:
        raise
    except NotConfiguredError as error:
        return [error]
    except DpsError as error:
        return [with_remedy(error, _REMEDIES.get(type(error)))]
    return []
