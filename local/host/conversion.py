"""HTTP on the wire to and from what a function sees and returns.

The rules are those of azure-functions-host, GrpcMessageConversionExtensions.cs (requests) and of
azure.functions, HttpResponseConverter (responses).
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, unquote

import azure.functions as func
from aiohttp import web
from multidict import CIMultiDict

_ENCODED_SLASH = re.compile(r"%(?=2f)", re.IGNORECASE)
# Kestrel lets a response header hold visible ASCII, spaces and tabs.
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
# What the server computes from the body itself.
_FRAMING = {"content-length", "transfer-encoding"}
_STATUSES = range(200, 600)


def decoded_path(request: web.Request) -> str:
    """The path as routes see it: percent-decoded, but an encoded slash stays encoded."""
    return unquote(_ENCODED_SLASH.sub("%25", request.rel_url.raw_path))


def query_values(request: web.Request) -> dict[str, list[str]]:
    """The values of each query key; keys have no case, the first spelling names them."""
    spellings: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for key, value in parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True):
        values.setdefault(spellings.setdefault(key.lower(), key), []).append(value)
    return values


def to_function(
    request: web.Request, *, route_values: Mapping[str, str], body: bytes
) -> func.HttpRequest:
    """The request a function is given."""
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    params = _joined(query_values(request).items())
    return func.HttpRequest(
        method=request.method,
        url=f"{request.scheme}://{request.headers.get('Host', '')}{request.rel_url}",
        headers=_joined(headers.items()),
        params={key: value for key, value in params.items() if value},
        route_params=route_values,
        body=body,
    )


def from_function(result: object) -> web.Response:
    """The answer to send for what a function returned; TypeError or ValueError: there is none.

    A str is sent as text. Azure also looks into a str that is JSON; return an HttpResponse to be
    independent of that.
    """
    if isinstance(result, str):
        return web.Response(text=result)
    if not isinstance(result, func.HttpResponse):
        raise TypeError(f"it returned {type(result).__name__} instead of an HttpResponse")
    if result.status_code not in _STATUSES:
        raise ValueError(f"{result.status_code} is not the status of a response")
    return web.Response(
        status=result.status_code, headers=_response_headers(result), body=result.get_body()
    )


def _response_headers(response: func.HttpResponse) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in response.headers.items():
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"its header {name!r} holds a character that no header can hold")
        # Azure's worker keeps the last of several headers of a name, except for cookies.
        set_header = headers.add if name.lower() == "set-cookie" else headers.__setitem__
        set_header(name, value)
    charset = f"; charset={response.charset}" if response.mimetype.startswith("text/") else ""
    headers.setdefault("Content-Type", f"{response.mimetype}{charset}")
    for name in _FRAMING & {name.lower() for name in headers}:
        del headers[name]
    return headers


def _joined(pairs: Iterable[tuple[str, list[str]]]) -> dict[str, str]:
    """Empty ones among several values leave no comma: .NET's StringValues skips them."""
    return {name: ",".join(value for value in values if value) for name, values in pairs}
