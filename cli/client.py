"""The HTTP client of the app's routes."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from cli.errors import CallFailedError, CallRefusedError, CommandError
from shared.dps.models import RecordKind

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "http://127.0.0.1:7071"
"""The app that `make run` starts."""
PATIENCE = 300.0
"""Seconds without any success after which a command gives up."""

_FIRST_PATIENCE, _FIRST_PAUSE = 5.0, 0.5
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# The app answers a bulk request within 200 seconds, and Azure's load balancer gives up after 230.
_TIMEOUTS = {"connect": 10.0, "read": 240.0, "write": 60.0, "pool": 60.0}
_MAX_DELAY = 15.0
_RETRIED = {408, 429, 500, 502, 503, 504}
# With these the app, or something in front of it, may have carried out the call.
_IN_DOUBT = {408, 500, 502, 504}
_UNKNOWN_OUTCOME, _NO_ROUTE = 503004, 404003
_ADVICE = {
    401: "the function key is missing or wrong: set ENROLLMENT_KEY",
    403: "access is refused, by the function key or by the network",
    404: "this address has no enrollment functions: check the URL",
}


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where the app is, and the function key, which is never shown."""

    url: str
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Raises `CommandError` for a URL that is none, or with which the key could be read."""
        try:
            parts = urlsplit(self.url)
            is_url = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # of the host or the port
            is_url = False
        if not is_url:
            raise CommandError("The URL of the app must be like https://my-app.azurewebsites.net.")
        if parts.query or parts.username or parts.password:
            raise CommandError("The URL of the app must have no query and no password: use --key.")
        if self.key and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise CommandError("The URL must begin with https://, or others could read the key.")
        if self.key and not (self.key.isascii() and self.key.isprintable()):
            raise CommandError("The function key has characters that no key has: copy it again.")


class AppClient:
    """
    Calls of the app's routes.

    `send` repeats a call that failed until `patience` seconds have passed; `send_once` does not.
    Both raise `CallFailedError` and `CallRefusedError`.
    """

    def __init__(self, http: "httpx.AsyncClient", *, patience: float = PATIENCE) -> None:
        self._http = http
        self.patience = patience

    async def send(
        self,
        method: str,
        path: str,
        *,
        document: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> "httpx.Response":
        """Sends a request that may be sent again, and returns its successful response."""
        started, attempt = time.monotonic(), 0
        content = None if document is None else json.dumps(document).encode()
        while True:
            try:
                return await self.send_once(method, path, content=content, headers=headers)
            except CallFailedError as error:
                pause = retry_delay(error, attempt)
                if time.monotonic() + pause - started > self.patience:
                    raise
            await asyncio.sleep(pause)
            attempt += 1

    async def send_once(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> "httpx.Response":
        """Sends a request, and returns its successful response."""
        import httpx

        types = {} if content is None else {"content-type": "application/json"}
        try:
            response = await self._http.request(
                method, path, content=content, headers={**types, **(headers or {})}
            )
        except httpx.TransportError as error:
            is_unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            message = f"The app does not respond ({type(error).__name__})."
            raise CallFailedError(message, in_doubt=not is_unsent) from None
        if not response.is_success:
            raise _error(response)
        return response

    async def check_reachable(self) -> None:
        """Raises `CallFailedError` soon, rather than after all the patience, if the app is not there."""
        started = time.monotonic()
        while True:
            try:
                await self.send_once("GET", "/health/live")
            except CallFailedError:
                if time.monotonic() - started > _FIRST_PATIENCE:
                    raise
                await asyncio.sleep(_FIRST_PAUSE)
            except CallRefusedError:
                return  # the first request says why
            else:
                return

    async def find(self, kind: RecordKind, id: str) -> dict[str, Any] | None:
        """Returns a record, `None` if DPS has none with this id."""
        return await self.read(f"/{kind.path}/{quote(id, safe='')}")

    async def read(self, path: str) -> dict[str, Any] | None:
        """Returns the document at a path, `None` if DPS has none."""
        try:
            document: dict[str, Any] = _json(await self.send("GET", path))
        except CallRefusedError as error:
            # Without a code the 404 is from the host or from something in front of it.
            if error.status == HTTPStatus.NOT_FOUND and error.code not in (0, _NO_ROUTE):
                return None
            raise
        return document

    async def attestation(self, kind: RecordKind, id: str) -> dict[str, Any]:
        """Returns the attestation of a record, with its keys."""
        path = f"/{kind.path}/{quote(id, safe='')}/attestationmechanism"
        document: dict[str, Any] = _json(await self.send("POST", path))
        return document

    async def pages(self, path: str) -> AsyncIterator[list[dict[str, Any]]]:
        """Yields every page of a query."""
        continuation: str | None = None
        while True:
            headers = {"x-ms-continuation": continuation} if continuation else {}
            response = await self.send(
                "POST", path, document={"query": "SELECT *"}, headers=headers
            )
            yield _json(response)
            continuation = response.headers.get("x-ms-continuation")
            if not continuation:
                return


@asynccontextmanager
async def open_client(connection: Connection) -> AsyncIterator[AppClient]:
    """Opens connections to the app while the context is open."""
    import httpx

    headers = {"x-functions-key": connection.key} if connection.key else {}
    async with httpx.AsyncClient(
        base_url=connection.url,
        headers=headers,
        timeout=httpx.Timeout(None, **_TIMEOUTS),
        limits=httpx.Limits(max_connections=32),
    ) as http:
        yield AppClient(http)


def retry_delay(error: CallFailedError, attempt: int) -> float:
    """Returns the seconds before the next attempt: the app's wish, else more each time."""
    if error.retry_after:
        return error.retry_after
    delay: float = min(_MAX_DELAY, 0.25 * 2 ** min(attempt, 10))
    return delay * random.uniform(0.5, 1.0)  # noqa: S311  jitter


def _json(response: "httpx.Response") -> Any:
    try:
        return response.json()
    except ValueError:
        raise CallRefusedError(
            "The response is not from the enrollment functions: check the URL.",
            status=response.status_code,
            code=0,
        ) from None


def parse_result(response: "httpx.Response") -> list[dict[str, Any]]:
    """Returns the errors in the result of a bulk operation."""
    document = _json(response)
    errors = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(errors, list) or not isinstance(document.get("isSuccessful"), bool):
        # Something else may have carried out the call.
        raise CallFailedError("The response is not a result of a bulk operation.", in_doubt=True)
    return errors


def _error(response: "httpx.Response") -> CallFailedError | CallRefusedError:
    status = response.status_code
    try:
        body = response.json()
    except ValueError:
        body = None
    known = body if isinstance(body, dict) else {}
    code = known.get("errorCode")
    code = code if isinstance(code, int) else 0
    faults = "; ".join(f"{at} {text}" for at, text in (known.get("info") or {}).items())
    text = known.get("message") or _ADVICE.get(status) or response.reason_phrase
    message = f"The app answered {code or status}: {text} {faults}".strip()
    # It is from something in front of the app, as when the app restarts.
    is_foreign = status == HTTPStatus.SERVICE_UNAVAILABLE and not code
    if status in _RETRIED:
        return CallFailedError(
            message,
            in_doubt=status in _IN_DOUBT or code == _UNKNOWN_OUTCOME or is_foreign,
            retry_after=_seconds(response.headers.get("retry-after")),
            status=status,
        )
    return CallRefusedError(message, status=status, code=code)


def _seconds(text: str | None) -> float | None:
    return min(60.0, float(text)) if text and text.isdecimal() else None
