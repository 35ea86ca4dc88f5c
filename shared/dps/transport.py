"""One call to DPS: signed, within a deadline, repeated where that is safe, errors by name."""

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

from shared.dps.answers import Answer, read_answer
from shared.dps.auth import Credential, credential_of
from shared.dps.connections import HEADERS, HostError, http_transport, timeouts
from shared.dps.context import CallContext
from shared.dps.pacing import Pacer, Permit
from shared.errors import (
    DpsCredentialError,
    DpsError,
    DpsFaultError,
    DpsHostError,
    DpsReplyLostError,
    DpsThrottledError,
    DpsTimeoutError,
    DpsUnreachableError,
    PacedOutError,
)
from shared.settings import Settings

_LOG = logging.getLogger(__name__)

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 16.0
# Seconds that a turn must leave, or the part of what is left where that is little.
_FOR_THE_CALL, _OF_SHORT_TIME = 3.0, 0.25

_MAY_PASS = (
    DpsFaultError,
    DpsHostError,
    DpsReplyLostError,
    DpsThrottledError,
    DpsTimeoutError,
    DpsUnreachableError,
)


class Transport:
    """The way to one DPS instance; belongs to the event loop it was made in."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.dps_url
        self._timeout = settings.dps_timeout_seconds
        self._max_attempts = settings.dps_max_attempts
        self._credential: Credential = credential_of(settings)
        self._connections = http_transport(settings)
        self._extensions = {"timeout": timeouts(settings)}
        self.pacer = Pacer(start=settings.pacing_start, quota=settings.dps_operations_per_minute)

    def begin(self, context: CallContext) -> CallContext:
        """The context with a deadline, so that what follows from a call ends with it."""
        return replace(context, deadline=self._deadline(context))

    def _deadline(self, context: CallContext) -> float:
        if context.deadline is not None:
            return context.deadline
        return asyncio.get_running_loop().time() + self._timeout

    async def admitted(self, context: CallContext) -> CallContext:
        """The context with a deadline and, when the turn has come, the permit for one attempt."""
        begun = self.begin(context)
        turn = await self.pacer.wait(self._deadline(begun))
        return replace(begun, permit=Permit(turn))

    async def send(
        self,
        method: str,
        path: str,
        *,
        context: CallContext,
        document: Any = None,
        headers: Mapping[str, str | None] | None = None,
        writes: bool = False,
    ) -> Answer:
        """
        Asks DPS, as often as its troubles call for, and gives its answer or raises its last error.

        `path` is percent-encoded; headers that are `None` are left out. Of a request that `writes`
        the answer or error is `in_doubt` if an attempt may have been done without a word of it.
        """
        request = self._request(method, path, context, document, headers or {})
        context = self.begin(context)
        deadline, attempt, in_doubt = self._deadline(context), 0, False
        last: DpsError | None = None
        while True:
            attempt += 1
            try:
                await self._sign(request, deadline)
                turn = await self._turn(context.permit, deadline)
                with _errors_by_name():
                    async with (
                        asyncio.timeout_at(deadline),
                        aclosing(await self._connections.handle_async_request(request)) as response,
                    ):
                        await response.aread()
                return replace(self._read(response, turn), in_doubt=in_doubt)
            except DpsError as error:
                error.in_doubt = in_doubt = writes and (in_doubt or error.in_doubt)
                delay = self._delay(error, attempt, context)
                if delay is None:
                    raise _told(error, last)  # noqa: B904  it is the cause of nothing
                last = error
            await asyncio.sleep(delay)

    async def _turn(self, permit: Permit | None, deadline: float) -> float:
        if permit and permit.use():
            return permit.turn
        # Where many wait, each turn comes as late as it may: one without time for a call is wasted.
        left = deadline - asyncio.get_running_loop().time()
        return await self.pacer.wait(deadline - min(_FOR_THE_CALL, left * _OF_SHORT_TIME))

    def _read(self, response: httpx.Response, turn: float) -> Answer:
        """The answer, or the error it stands for; the pacer hears which of both it was."""
        asked = response.request
        _LOG.debug("%s %s: %s", asked.method, asked.url.path, response.status_code)
        try:
            answer = read_answer(response.status_code, response.headers, response.content)
        except DpsThrottledError as error:
            self.pacer.throttled(error.retry_after, turn=turn)
            raise
        except DpsError:
            self.pacer.answered()
            raise
        self.pacer.answered()
        return answer

    async def _sign(self, request: httpx.Request, deadline: float) -> None:
        """Fills in the credential; nothing is sent once the deadline is past."""
        if asyncio.get_running_loop().time() >= deadline:
            late = DpsTimeoutError("The time for the call is over.")
            late.in_doubt = False
            raise late
        try:
            async with asyncio.timeout_at(deadline):
                request.headers["Authorization"] = await self._credential.authorization()
        except TimeoutError as error:
            raise DpsCredentialError("No token for DPS was given to the app in time.") from error

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
        named = {**HEADERS, "Content-Type": media_type, **context.headers, **headers}
        return httpx.Request(
            method,
            f"{self._url}/{path}?{urlencode({'api-version': context.api_version})}",
            content=content,
            headers={name: value for name, value in named.items() if value is not None},
            extensions=self._extensions,
        )

    def _delay(self, error: DpsError, attempt: int, context: CallContext) -> float | None:
        """Seconds until the next attempt; `None` if there is to be none."""
        if not isinstance(error, _MAY_PASS) or attempt >= self._attempts(context):
            return None
        if isinstance(error, DpsThrottledError):
            return 0  # the pacer makes it wait
        # "Full jitter": callers that failed together do not come back together.
        delay = random.uniform(0, min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** (attempt - 1)))  # noqa: S311
        delay = max(delay, error.retry_after or 0)
        in_time = asyncio.get_running_loop().time() + delay < self._deadline(context)
        return delay if in_time else None

    def _attempts(self, context: CallContext) -> int:
        return self._max_attempts if context.max_attempts is None else context.max_attempts

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._connections.aclose()
        await self._credential.aclose()


_UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


def _told(error: DpsError, last: DpsError | None) -> DpsError:
    """What an attempt that was made came to says more than that there is no turn for another."""
    if last is None or not isinstance(error, PacedOutError):
        return error
    if last.retry_after is None:
        last.retry_after = error.retry_after
    return last


@contextmanager
def _errors_by_name() -> Iterator[None]:
    try:
        yield
    except HostError as error:
        raise DpsHostError("The host of DPS is not known, or cannot prove who it is.") from error
    except _UNREACHABLE as error:
        raise DpsUnreachableError("DPS cannot be reached.") from error
    except (httpx.TimeoutException, TimeoutError) as error:
        raise DpsTimeoutError("DPS gave no answer in time.") from error
    except httpx.RequestError as error:
        raise DpsReplyLostError("The connection to DPS broke before its answer.") from error
