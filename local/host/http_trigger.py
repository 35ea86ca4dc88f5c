"""
HTTP triggers: pass requests to functions, and send what the functions return as responses.

Requests are converted as azure-functions-host does (GrpcMessageConversionExtensions.cs), responses
as azure.functions does (HttpResponseConverter).
"""

import hmac
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import parse_qsl, unquote

import azure.functions as func
from aiohttp import web
from multidict import CIMultiDict

from local.host.invocations import Context, Invocations, InvocationTimeoutError, TraceContext
from local.host.routes import HttpFunction, RouteMatch, find_route

# azure-functions-host, ScriptConstants.DefaultMaxRequestBodySize
MAX_BODY = 104_857_600

_ENCODED_SLASH = re.compile(r"%(?=2f)", re.IGNORECASE)
# Kestrel allows visible ASCII, spaces and tabs in a response header.
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
# Headers that the server computes from the body.
_FRAMING_HEADERS = {"content-length", "transfer-encoding"}
_STATUSES = range(200, 600)

logger = logging.getLogger("local.host")


class HttpTriggerHandler:
    """The handler of HTTP requests; the functions' routes are tried in the given order."""

    def __init__(
        self,
        functions: Sequence[HttpFunction],
        invocations: Invocations,
        *,
        disabled: frozenset[str],
        key: str | None,
        response_timeout: float,
    ) -> None:
        self._functions = functions
        self._invocations = invocations
        self._disabled = disabled
        self._key = key
        self._response_timeout = response_timeout

    async def handle(self, request: web.Request) -> web.Response:
        """Returns the response to `request`; error responses of the host have no body."""
        response = await self._handle(request)
        # The query is not logged: it may hold the function key.
        logger.info("%s %s -> %d", request.method, request.rel_url.raw_path, response.status)
        return response

    async def _handle(self, request: web.Request) -> web.Response:
        match = find_route(self._functions, request.method, _decode_path(request))
        if match is None or match.target.function.name in self._disabled:
            return web.Response(status=404)
        if not _is_authorized(request, match.target.auth_level, self._key):
            return web.Response(status=401)
        if (request.content_length or 0) > MAX_BODY:
            response = web.Response(status=413)
            response.force_close()
            return response
        return await self._invoke(request, match)

    async def _invoke(self, request: web.Request, match: RouteMatch) -> web.Response:
        function = match.target.function
        try:
            body = await _read_body(request)
        except (ConnectionError, web.RequestPayloadError):
            # The client disconnected or sent an invalid body, so the function is not invoked.
            return web.Response(status=400)
        http_request = _to_http_request(request, route_values=match.route_values, body=body)
        trace = TraceContext(
            request.headers.get("traceparent", ""), request.headers.get("tracestate", "")
        )
        context = Context(function.name, str(function.script_dir), trace)
        try:
            result = await self._invocations.run(
                function, http_request, context, within=self._response_timeout
            )
            return _to_web_response(result)
        except InvocationTimeoutError as exc:
            logger.warning("%s: %s", function.name, exc)
            return web.Response(status=504)
        except Exception:
            logger.exception("%s failed (invocation %s)", function.name, context.invocation_id)
            return web.Response(status=500)


def _is_authorized(request: web.Request, auth_level: str, key: str | None) -> bool:
    """
    Returns whether `request` may call a function of `auth_level`; without a `key` every one may.

    One key serves as function, host and master key. The header takes precedence over the query,
    even if it is wrong (azure-functions-host, AuthenticationLevelHandler.cs).
    """
    if key is None or auth_level == "ANONYMOUS":
        return True
    given = request.headers.get("x-functions-key")
    if given is None:
        query = _parse_query(request).items()
        given = next((values[0] for name, values in query if name.lower() == "code"), "")
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), key.encode())


async def _read_body(request: web.Request) -> bytes:
    """
    Returns the body, which is empty for a request without Content-Length.

    azure-functions-host, GrpcMessageConversionExtensions.cs, requires ContentLength > 0.
    """
    if request.content_length:
        return await request.read()
    if request.can_read_body:
        logger.warning("chunked body without Content-Length: the function receives an empty body")
    return b""


def _decode_path(request: web.Request) -> str:
    """Returns the path that routes match: percent-decoded, except for encoded slashes."""
    return unquote(_ENCODED_SLASH.sub("%25", request.rel_url.raw_path))


def _parse_query(request: web.Request) -> dict[str, list[str]]:
    """Returns the values of each query key, ignoring case; the first spelling of a key is kept."""
    spellings: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for key, value in parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True):
        values.setdefault(spellings.setdefault(key.lower(), key), []).append(value)
    return values


def _to_http_request(
    request: web.Request, *, route_values: Mapping[str, str], body: bytes
) -> func.HttpRequest:
    """Returns the request as the function receives it."""
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    params = _join_values(_parse_query(request).items())
    return func.HttpRequest(
        method=request.method,
        url=f"{request.scheme}://{request.headers.get('Host', '')}{request.rel_url}",
        headers=_join_values(headers.items()),
        params={key: value for key, value in params.items() if value},
        route_params=route_values,
        body=body,
    )


def _join_values(pairs: Iterable[tuple[str, list[str]]]) -> dict[str, str]:
    """Returns each name's values joined by commas; empty ones are left out, as in .NET."""
    return {name: ",".join(value for value in values if value) for name, values in pairs}


def _to_web_response(result: object) -> web.Response:
    """
    Returns the response for a function's result; raises TypeError or ValueError if it is invalid.

    A str is sent as text. Azure also inspects a str that is JSON; an HttpResponse avoids this
    difference.
    """
    if isinstance(result, str):
        return web.Response(text=result)
    if not isinstance(result, func.HttpResponse):
        raise TypeError(f"the function must return an HttpResponse, not {type(result).__name__}")
    if result.status_code not in _STATUSES:
        raise ValueError(f"the status must be between 200 and 599, not {result.status_code}")
    return web.Response(
        status=result.status_code, headers=_response_headers(result), body=result.get_body()
    )


def _response_headers(response: func.HttpResponse) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in response.headers.items():
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the response header {name!r} holds an invalid character")
        # Azure's worker keeps only the last of several headers with one name, except for cookies.
        set_header = headers.add if name.lower() == "set-cookie" else headers.__setitem__
        set_header(name, value)
    charset = f"; charset={response.charset}" if response.mimetype.startswith("text/") else ""
    headers.setdefault("Content-Type", f"{response.mimetype}{charset}")
    for name in _FRAMING_HEADERS & {name.lower() for name in headers}:
        del headers[name]
    return headers
