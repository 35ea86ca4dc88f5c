"""The HTTP client of the app's routes."""

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from cli.errors import AppError, CallFailedError, CallRefusedError, CommandError
from shared.dps.models import RecordKind

if TYPE_CHECKING:
    import httpx

_Json = TypeVar("_Json", dict[str, Any], list[Any])

DEFAULT_URL = "http://127.0.0.1:7071"
"""The app that `make run` starts."""
RETRY_TIMEOUT = 300.0
"""Seconds without any success after which a command gives up."""

_CONNECT_TIMEOUT, _CONNECT_PAUSE = 5.0, 0.5
# An app that was scaled to zero takes up to a minute for its first response.
_START_TIMEOUT = 60.0
# The app answers a bulk request within 200 seconds, and Azure's load balancer gives up after 230.
_TIMEOUTS = {"connect": 10.0, "read": 240.0, "write": 60.0, "pool": 60.0}
_MAX_DELAY = 15.0
_RETRIED = {408, 429}  # and all from 500
# With these the app may have carried out the call.
_IN_DOUBT = {500, 502, 504}
# What the Functions host, or a server in front of it, refuses without the app.
_REFUSED = {401, 403, 404, 405, 413, 429}
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
        """Raises `CommandError` for a URL that is none, or with which keys could be read."""
        import httpx

        try:
            url = httpx.URL(self.url)
            is_url = url.scheme in ("http", "https") and bool(url.host) and url.port != 0
        except (httpx.InvalidURL, ValueError):  # IDNA raises UnicodeError
            is_url = False
        if not is_url:
            raise CommandError("The URL of the app must be like https://my-app.azurewebsites.net.")
        if url.query or url.userinfo or url.fragment:
            raise CommandError("The URL of the app must have no query and no password: use --key.")
        if url.scheme == "http" and not self.is_local:
            raise CommandError(
                "The URL must begin with https://, unless the app is on this machine: others could"
                " read the keys of devices and of the app."
            )
        if self.key and not re.fullmatch(r"[!-~]+", self.key):
            raise CommandError("The function key has characters that no key has: copy it again.")

    @property
    def is_local(self) -> bool:
        """Whether the app is on this machine."""
        import httpx

        host = httpx.URL(self.url).host
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


class AppClient:
    """
    Calls of the app's routes.

    `send` retries a call that failed until `retry_timeout` seconds have passed; `send_once` does
    not. Both raise `CallFailedError` and `CallRefusedError`.
    """

    def __init__(self, http: "httpx.AsyncClient", *, retry_timeout: float = RETRY_TIMEOUT) -> None:
        self._http = http
        self.retry_timeout = retry_timeout
        self.stopping = asyncio.Event()
        """Once it is set, no call is sent again."""

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
                is_over = time.monotonic() + pause - started > self.retry_timeout
                if is_over or self.stopping.is_set():
                    raise
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), pause)
            attempt += 1

    async def send_once(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  of httpx
    ) -> "httpx.Response":
        """Sends a request, and returns its successful response; `timeout` is in seconds."""
        import httpx

        types = {} if content is None else {"content-type": "application/json"}
        try:
            response = await self._http.request(
                method,
                path,
                content=content,
                headers={**types, **(headers or {})},
                timeout=timeout or httpx.USE_CLIENT_DEFAULT,
            )
        except httpx.RequestError as error:
            is_unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise CallFailedError(self._describe(error), in_doubt=not is_unsent) from None
        if not response.is_success:
            raise _error(response)
        return response

    def _describe(self, error: "httpx.RequestError") -> str:
        url = str(self._http.base_url).rstrip("/")
        advice = ": start it with `make run`, or set ENROLLMENT_URL" if url == DEFAULT_URL else ""
        reason = ": ".join(filter(None, (type(error).__name__, str(error))))
        return f"The app at {url} does not respond ({reason}){advice}."

    async def check_reachable(self) -> None:
        """
        Raises `CallFailedError` if there is no app.

        That is known within seconds, or after a minute if its address does not respond.
        """
        started = time.monotonic()
        while True:
            try:
                await self.send_once("GET", "/health/live", timeout=_START_TIMEOUT)
            except CallFailedError:
                if time.monotonic() - started > _CONNECT_TIMEOUT:
                    raise
                await asyncio.sleep(_CONNECT_PAUSE)
            except CallRefusedError:
                return  # the first request says why
            else:
                return

    async def find(self, kind: RecordKind, id: str) -> dict[str, Any] | None:
        """Returns a record, `None` if DPS has none with this id."""
        return await self.read(f"/{kind.path}/{quote(id, safe='')}")

    async def read(self, path: str, *, method: str = "GET") -> dict[str, Any] | None:
        """Returns the document at a path, `None` if DPS has none."""
        try:
            return parse_object(await self.send(method, path))
        except CallRefusedError as error:
            # Without a code the 404 is from the host or from something in front of it.
            if error.status == HTTPStatus.NOT_FOUND and error.code not in (0, _NO_ROUTE):
                return None
            raise

    async def attestation(self, kind: RecordKind, id: str) -> dict[str, Any] | None:
        """Returns the attestation of a record, with its keys; `None` if DPS has no such record."""
        path = f"/{kind.path}/{quote(id, safe='')}/attestationmechanism"
        return await self.read(path, method="POST")

    async def pages(self, path: str) -> AsyncIterator[list[dict[str, Any]]]:
        """Yields every page of a query."""
        continuation: str | None = None
        seen: set[str] = set()
        while True:
            headers = {"x-ms-continuation": continuation} if continuation else {}
            response = await self.send(
                "POST", path, document={"query": "SELECT *"}, headers=headers
            )
            page = _parse(response, list)
            if not all(isinstance(record, dict) for record in page):
                raise CallRefusedError(_NOT_THE_APP, status=response.status_code)
            yield page
            continuation = response.headers.get("x-ms-continuation")
            if not continuation:
                return
            if continuation in seen:
                raise AppError("The pages of the query do not end: a token was returned twice.")
            seen.add(continuation)


@asynccontextmanager
async def open_client(connection: Connection) -> AsyncIterator[AppClient]:
    """
    Opens connections to the app while the context is open.

    Raises `CallFailedError` as `AppClient.check_reachable` does.
    """
    import httpx

    headers = {"x-functions-key": connection.key} if connection.key else {}
    try:
        client = httpx.AsyncClient(
            base_url=connection.url,
            headers=headers,
            timeout=httpx.Timeout(None, **_TIMEOUTS),
            limits=httpx.Limits(max_connections=32),
            trust_env=not connection.is_local,  # a proxy must not read what is sent without TLS
        )
    except (ImportError, ValueError) as error:
        raise CommandError(
            f"The proxy in HTTPS_PROXY or ALL_PROXY cannot be used: {error}."
        ) from None
    async with client as http:
        app = AppClient(http)
        await app.check_reachable()
        yield app


def retry_delay(error: CallFailedError, attempt: int) -> float:
    """Returns the seconds before the next attempt: `Retry-After`, else exponential backoff."""
    if error.retry_after:
        return error.retry_after
    delay: float = min(_MAX_DELAY, 0.25 * 2 ** min(attempt, 10))
    return delay * random.uniform(0.5, 1.0)  # noqa: S311  jitter


def parse_object(response: "httpx.Response") -> dict[str, Any]:
    """Returns the JSON object in a response; raises `CallRefusedError` if it has none."""
    return _parse(response, dict)


def _parse(response: "httpx.Response", expected: type[_Json]) -> _Json:
    try:
        document = response.json()
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, expected):
        return document
    # Something else may have carried out the call.
    raise CallRefusedError(_NOT_THE_APP, status=response.status_code, in_doubt=True)


_NOT_THE_APP = "The response is not from the enrollment functions: check the URL."


def parse_result(response: "httpx.Response") -> list[dict[str, Any]]:
    """Returns the errors in the result of a bulk operation."""
    document = parse_object(response)
    errors, is_successful = document.get("errors"), document.get("isSuccessful")
    is_list = isinstance(errors, list) and all(isinstance(error, dict) for error in errors)
    if not is_list or is_successful is not (not errors):
        message = "The response is not a result of a bulk operation."
        raise CallFailedError(message, in_doubt=True, status=response.status_code)
    return list(errors or ())


def faults_in(error: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the faults, by JSON Pointer, in an error of the app."""
    info = error.get("info")
    return info if isinstance(info, dict) else {}


def _error(response: "httpx.Response") -> CallFailedError | CallRefusedError:
    status = response.status_code
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = None
    known = body if isinstance(body, dict) else {}
    code = known.get("errorCode")
    code = code if isinstance(code, int) else 0
    faults = "; ".join(f"{at} {text}" for at, text in faults_in(known).items())
    text = known.get("message") or _ADVICE.get(status) or response.reason_phrase
    message = f"The app answered {code or status}: {text} {faults}".strip()
    is_unknown = status in _IN_DOUBT or code == _UNKNOWN_OUTCOME
    in_doubt = is_unknown if code else status not in _REFUSED
    if status in _RETRIED or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return CallFailedError(
            message,
            in_doubt=in_doubt,
            status=status,
            code=code,
            retry_after=_seconds(response.headers.get("retry-after")),
        )
    return CallRefusedError(message, in_doubt=in_doubt, status=status, code=code)


def _seconds(text: str | None) -> float | None:
    return min(60.0, float(text)) if text and text.isdecimal() else None
