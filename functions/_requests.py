"""HTTP in: a request becomes a call, or an error that names all its faults."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import azure.functions as func

from functions._correlation import client_request_id
from functions._services import services
from shared.documents import MAX_BYTES, parse
from shared.dps import CallContext
from shared.dps.models import IF_MATCH, faults_in_id
from shared.errors import InvalidRequestError, UnsupportedMediaTypeError
from shared.settings import DEFAULT_API_VERSION

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"  # RFC 7396

Check = Callable[[Any], Mapping[str, str]]
"""Finds the faults of a document, as JSON Pointer to what is wrong there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What an HTTP request asks; what it does not name is empty or `None`."""

    id: str
    document: Any
    if_match: str | None
    top: int | None
    continuation: str | None
    context: CallContext


def read(
    req: func.HttpRequest,
    *,
    check: Check | None = None,
    media_types: Collection[str] = (JSON,),
    max_bytes: int = MAX_BYTES,
) -> Call:
    """
    The call a request stands for; its body is read only where a `check` for it is given.

    Raises `InvalidRequestError`, or a special case of it, with every fault of path, query, headers
    and body.
    """
    faults = dict(_faults_of_head(req))
    document: Any = None
    kind = InvalidRequestError
    if check:
        try:
            document = body(req, check=check, media_types=media_types, max_bytes=max_bytes)
        except InvalidRequestError as error:
            faults, kind = faults | error.faults, type(error)
    if faults:
        raise kind(faults)
    top = req.headers.get("x-ms-max-item-count")
    return Call(
        id=req.route_params.get("id", ""),
        document=document,
        if_match=req.headers.get("if-match"),
        top=None if top is None else int(top),
        continuation=req.headers.get("x-ms-continuation") or None,
        context=_context(req),
    )


_HEADERS = {
    "If-Match": (IF_MATCH, "must be one etag, quoted or not, or *"),
    "x-ms-max-item-count": (re.compile(r"[0-9]{1,9}"), "must be a whole number"),
    "x-ms-continuation": (re.compile(r"[\x21-\x7e]*"), "must be what a page gave, unread"),
}


def _faults_of_head(req: func.HttpRequest) -> Iterator[tuple[str, str]]:
    if "id" in req.route_params:
        yield from faults_in_id(req.route_params["id"]).items()
    versions = services().settings.api_versions
    if req.params.get("api-version", DEFAULT_API_VERSION) not in versions:
        yield "api-version", f"must be one of {', '.join(versions)}"
    for header, (form, words) in _HEADERS.items():
        if header in req.headers and not form.fullmatch(req.headers[header]):
            yield header, words


def body(
    req: func.HttpRequest,
    *,
    check: Check,
    media_types: Collection[str] = (JSON,),
    max_bytes: int = MAX_BYTES,
) -> Any:
    """The JSON of a request; raises `InvalidRequestError`, or a special case, with every fault."""
    given = req.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if given not in media_types:
        raise UnsupportedMediaTypeError({"Content-Type": f"must be {' or '.join(media_types)}"})
    document = parse(req.get_body(), max_bytes=max_bytes)
    if faults := check(document):
        raise InvalidRequestError(faults)
    return document


_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context


def _context(req: func.HttpRequest) -> CallContext:
    traceparent = req.headers.get("traceparent", "")
    return CallContext(
        api_version=req.params.get("api-version", DEFAULT_API_VERSION),
        client_request_id=client_request_id(req),
        traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else None,
    )
