"""One call to DPS: signed, within a deadline, repeated where that is safe, errors by name."""

import asyncio
import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from shared.dps.answers import Answer, read_answer
from shared.dps.auth import Credential, credential_of
from shared.dps.connections import http_client
from shared.dps.context import CallContext
from shared.errors import (
    DpsError,
    DpsFaultError,
    DpsReplyLostError,
    DpsThrottledError,
    DpsTimeoutError,
    DpsUnreachableError,
)
from shared.settings import Settings

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 16.0

# DPS did not act: whatever was asked may be asked again.
_NOTHING_DONE = (DpsUnreachableError, DpsThrottledError)
# DPS may have acted: only what changes nothing when done twice is asked again.
_PERHAPS_DONE = (DpsFaultError, DpsReplyLostError, DpsTimeoutError)


class Transport:
    """The way to one DPS instance; belongs to the event loop it was made in."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.dps_url
        self._timeout = settings.dps_timeout_seconds
        self._max_attempts = settings.dps_max_attempts
        self._credential: Credential = credential_of(settings)
        self._client = http_client(settings)

    async def send(
        self,
        method: str,
        path: str,
        *,
        context: CallContext,
        document: Any = None,
        headers: Mapping[str, str | None] | None = None,
        repeatable: bool = False,
    ) -> Answer:
        """
        Asks DPS and gives its answer; `path` is percent-encoded, headers that are `None` are left out.

        `repeatable` says that asking twice changes no more than asking once. Raises the `DpsError`
        of the last attempt.
        """
        request = self._request(method, path, context, document, headers or {})
        deadline = asyncio.get_running_loop().time() + self._timeout
        attempt = 0
        while True:
            attempt += 1
            try:
                with _errors_by_name():
                    async with asyncio.timeout_at(deadline):
                        request.headers["Authorization"] = await self._credential.authorization()
                        response = await self._client.send(request)
                return read_answer(response.status_code, response.headers, response.content)
            except DpsError as error:
                delay = self._delay(error, attempt, repeatable=repeatable)
                if delay is None or asyncio.get_running_loop().time() + delay >= deadline:
                    raise
            await asyncio.sleep(delay)

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
        named = {"Content-Type": media_type, **context.headers, **headers}
        return self._client.build_request(
            method,
            f"{self._url}/{path}",
            params={"api-version": context.api_version},
            content=content,
            headers={name: value for name, value in named.items() if value is not None},
        )

    def _delay(self, error: DpsError, attempt: int, *, repeatable: bool) -> float | None:
        """Seconds until the next attempt; `None` if there is to be none."""
        may_repeat = isinstance(error, _NOTHING_DONE + (_PERHAPS_DONE if repeatable else ()))
        if not may_repeat or attempt >= self._max_attempts:
            return None
        if error.retry_after is not None:
            return error.retry_after
        # "Full jitter": callers that failed together do not come back together.
        return random.uniform(0, min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** (attempt - 1)))  # noqa: S311

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._client.aclose()
        await self._credential.aclose()


_UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@contextmanager
def _errors_by_name() -> Iterator[None]:
    try:
        yield
    except _UNREACHABLE as error:
        raise DpsUnreachableError("DPS cannot be reached.") from error
    except (httpx.TimeoutException, TimeoutError) as error:
        raise DpsTimeoutError("DPS gave no answer in time.") from error
    except httpx.RequestError as error:
        raise DpsReplyLostError("The connection to DPS broke before its answer.") from error
