"""The transport: signs, rate-limits, sends and retries one call, and translates its errors."""

import asyncio
import json
import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import httpx

from shared import errors
from shared.dps.api_versions import ApiVersions, is_unknown_version
from shared.dps.auth import Credential, create_credential
from shared.dps.context import Attempts, CallContext
from shared.dps.http_transport import HEADERS, HostError, create_transport
from shared.dps.rate_limiter import Permit, RateLimiter
from shared.dps.responses import Answer, parse_response
from shared.dps.server_clock import ServerClock
from shared.settings import Settings

_LOG = logging.getLogger(__name__)

_FIRST_DELAY, _MAX_DELAY = 0.5, 16.0  # seconds
# A permit must leave this many seconds for the call, or this share of the remaining time.
_CALL_SECONDS, _CALL_SHARE = 3.0, 0.25

_RETRYABLE = (
    errors.DpsFaultError,
    errors.DpsHostError,
    errors.DpsReplyLostError,
    errors.DpsThrottledError,
    errors.DpsTimeoutError,
    errors.DpsUnreachableError,
)

_UNKNOWN_DEFAULT = {"DPS_DEFAULT_API_VERSION": "names an API version that this DPS does not know"}


class Transport:
    """The sender of calls to one DPS instance; belongs to the event loop that created it."""

    def __init__(self, settings: Settings, *, http: httpx.AsyncBaseTransport | None = None) -> None:
        """Creates a transport; `http` sends each request exactly once, by default over aiohttp."""
        self._url = settings.dps_url
        self._timeout = settings.dps_timeout_seconds
        self._max_attempts = settings.dps_max_attempts
        self._credential: Credential = create_credential(settings)
        self._http = http or create_transport(settings)
        self._extensions = {
            "timeout": httpx.Timeout(settings.dps_attempt_timeout_seconds).as_dict()
        }
        self.api_versions = ApiVersions(settings.dps_default_api_version)
        self.clock = ServerClock()
        self.rate_limiter = RateLimiter(
            start=settings.initial_operations_per_minute, quota=settings.dps_operations_per_minute
        )

    def with_deadline(self, context: CallContext) -> CallContext:
        """Returns the context with its deadline set, so that follow-up calls share it."""
        return replace(context, deadline=self._deadline(context))

    def _deadline(self, context: CallContext) -> float:
        if context.deadline is not None:
            return context.deadline
        return asyncio.get_running_loop().time() + self._timeout

    async def acquire_permit(self, context: CallContext) -> CallContext:
        """Waits for a permit; returns the context with its deadline and the permit."""
        started = self.with_deadline(context)
        start_time = await self.rate_limiter.acquire(self._deadline(started))
        return replace(started, permit=Permit(start_time))

    async def send(
        self,
        method: str,
        path: str,
        *,
        context: CallContext,
        document: Any = None,
        headers: Mapping[str, str | None] | None = None,
        writes: Attempts | None = None,
    ) -> Answer:
        """
        Sends a request, with retries, and returns the response; raises the last error, or
        `NotConfiguredError` if DPS does not know the API version of the settings.

        `path` is percent-encoded; headers that are `None` are not sent. If the request `writes`,
        the response or error is `in_doubt` when an attempt may have been applied without a
        response. If these attempts must not be repeated in doubt, the error is raised once the
        repeat would be due.
        """
        request = self._request(method, path, context, document, headers or {})
        context = self.with_deadline(context)
        deadline, attempts = self._deadline(context), writes or Attempts()
        last: errors.DpsError | None = None
        while last is None or attempts.repeats_in_doubt or not attempts.in_doubt:
            attempts.count += 1
            try:
                await self._sign(request, deadline)
                start_time = await self._acquire(context.permit, deadline)
                attempts.started = self.clock.now()
                with _translated_errors():
                    async with (
                        asyncio.timeout_at(deadline),
                        aclosing(await self._http.handle_async_request(request)) as response,
                    ):
                        await response.aread()
                return replace(self._parse(response, start_time), in_doubt=attempts.in_doubt)
            except errors.DpsError as error:
                if writes and error.in_doubt:
                    writes.mark_in_doubt()
                error.in_doubt = attempts.in_doubt
                delay = self._delay(error, attempts, context)
                if delay is None:
                    raise _final_error(error, last, context)  # noqa: B904  it has its own cause
                last = error
            await asyncio.sleep(delay)
        raise last

    async def _acquire(self, permit: Permit | None, deadline: float) -> float:
        if permit and permit.use():
            return permit.start_time
        # Under load a permit comes as late as allowed: without time for the call it is wasted.
        remaining = deadline - asyncio.get_running_loop().time()
        latest = deadline - min(_CALL_SECONDS, remaining * _CALL_SHARE)
        return await self.rate_limiter.acquire(latest)

    def _parse(self, response: httpx.Response, start_time: float) -> Answer:
        """Returns the response or raises its error; informs the rate limiter and the clock."""
        request = response.request
        _LOG.debug("%s %s: %s", request.method, request.url.path, response.status_code)
        try:
            answer = parse_response(response.status_code, response.headers, response.content)
        except errors.DpsThrottledError as error:
            self.rate_limiter.on_throttled(error.retry_after, start_time=start_time)
            raise
        except errors.DpsError:
            self.rate_limiter.on_response()
            raise
        self.rate_limiter.on_response()
        # Not of an error: it may come from a proxy, with a clock of its own.
        self.clock.observe(response.headers.get("Date", ""), answer.document)
        return answer

    async def _sign(self, request: httpx.Request, deadline: float) -> None:
        """Sets the `Authorization` header; raises `DpsTimeoutError` after the deadline."""
        if asyncio.get_running_loop().time() >= deadline:
            late = errors.DpsTimeoutError("The deadline of the call has passed.")
            late.in_doubt = False
            raise late
        try:
            async with asyncio.timeout_at(deadline):
                request.headers["Authorization"] = await self._credential.authorization()
        except TimeoutError as error:
            raise errors.DpsCredentialError("No token for DPS was acquired in time.") from error

    def _request(
        self,
        method: str,
        path: str,
        context: CallContext,
        document: Any,
        headers: Mapping[str, str | None],
    ) -> httpx.Request:
        content = None if document is None else json.dumps(document, allow_nan=False).encode()
        media_type = None if content is None else "application/json"
        merged = {
            **HEADERS,
            "Content-Type": media_type,
            "x-ms-client-request-id": context.client_request_id,
            "traceparent": context.traceparent,
            **headers,
        }
        version = context.api_version or self.api_versions.default
        return httpx.Request(
            method,
            f"{self._url}/{path}?{urlencode({'api-version': version})}",
            content=content,
            headers={name: value for name, value in merged.items() if value is not None},
            extensions=self._extensions,
        )

    def may_repeat(self, error: errors.DpsError, attempts: Attempts, context: CallContext) -> bool:
        """Returns whether a call that failed like this may be retried."""
        max_attempts = context.max_attempts or self._max_attempts
        return isinstance(error, _RETRYABLE) and attempts.count < max_attempts

    def _delay(
        self, error: errors.DpsError, attempts: Attempts, context: CallContext
    ) -> float | None:
        """Returns the seconds until the next attempt; `None` if there is none."""
        if not self.may_repeat(error, attempts, context):
            return None
        if isinstance(error, errors.DpsThrottledError):
            return 0  # the rate limiter waits
        # "Full jitter": callers that failed together must not retry together.
        delay = random.uniform(0, min(_MAX_DELAY, _FIRST_DELAY * 2 ** (attempts.count - 1)))  # noqa: S311
        delay = max(delay, error.retry_after or 0)
        is_in_time = asyncio.get_running_loop().time() + delay < self._deadline(context)
        return delay if is_in_time else None

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._http.aclose()
        await self._credential.aclose()


_UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


def _final_error(
    error: errors.DpsError, last: errors.DpsError | None, context: CallContext
) -> errors.AppError:
    """Returns the error of the last attempt that was sent: it says more than a missing permit."""
    if context.api_version is None and is_unknown_version(error):
        return errors.NotConfiguredError(_UNKNOWN_DEFAULT)
    if last is None or not isinstance(error, errors.NoPermitError):
        return error
    if last.retry_after is None:
        last.retry_after = error.retry_after
    return last


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except HostError as error:
        raise errors.DpsHostError(
            "The DPS host name cannot be resolved, or its TLS certificate is not trusted."
        ) from error
    except _UNREACHABLE as error:
        raise errors.DpsUnreachableError("DPS cannot be reached.") from error
    except (httpx.TimeoutException, TimeoutError) as error:
        raise errors.DpsTimeoutError("DPS did not respond in time.") from error
    except httpx.RequestError as error:
        raise errors.DpsReplyLostError(
            "The connection to DPS broke before the response."
        ) from error
