"""Parsing of HTTP requests: into a call, or an error with every fault."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

import azure.functions as func

from functions.http.bodies import read_body
from functions.http.headers import client_request_id, traceparent
from functions.runtime import services
from shared.dps import CallContext
from shared.dps.batching.items import BULK_REQUEST_LIMITS
from shared.dps.models import IF_MATCH, Document, find_faults, find_id_faults, respelled
from shared.errors import InvalidRequestError, UnsupportedMediaTypeError
from shared.json_documents import DOCUMENT_LIMITS, Limits, parse_in_thread, read_json

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"  # RFC 7396
BULK_OPERATION_LIMITS = replace(BULK_REQUEST_LIMITS, max_bytes=32 * 1024 * 1024)
"""The limits of the body of a bulk operation."""

Check = Callable[[Any, bool], Mapping[str, str]]
"""Returns the faults of a document by JSON Pointer; the flag says if the request has others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A parsed request; what it does not have is empty or `None`."""

    id: str
    document: Any
    if_match: str | None
    top: int | None
    continuation: str | None
    validate_only: bool
    context: CallContext


async def parse_call(
    req: func.HttpRequest,
    model: type[Document] | None = None,
    *,
    check: Check | None = None,
    media_types: Collection[str] = (JSON,),
    limits: Limits = DOCUMENT_LIMITS,
    accepts_validate_only: bool = False,
) -> Call:
    """
    Returns the call of a request; without the `model` of its body, the body is not read.

    Raises `InvalidRequestError`, or a subclass, with every fault of path, query, headers and body.
    """
    faults = dict(_head_faults(req))
    if _validate_only(req) is not None and not accepts_validate_only:
        faults["validateOnly"] = "is only for bulk operations"
    document: Any = None
    if model:
        document = await parse_body(
            req,
            model,
            faults=faults,
            check=check,
            media_types=media_types,
            limits=limits,
        )
    elif faults:
        raise InvalidRequestError(faults)
    top = req.headers.get("x-ms-max-item-count")
    return Call(
        id=req.route_params.get("id", ""),
        document=document,
        if_match=req.headers.get("if-match"),
        top=None if top is None else int(top),
        continuation=req.headers.get("x-ms-continuation") or None,
        validate_only=_validate_only(req) == "true",
        context=_context(req),
    )


def _validate_only(req: func.HttpRequest) -> str | None:
    """
    Returns the parameter in any case and with any separators.

    A misspelled one must not lead to a write, nor one without a value, which `params` does not have.
    """
    query = dict(parse_qsl(req.url.partition("?")[2], keep_blank_values=True))
    params = {
        re.sub(r"[\W_]", "", name).lower(): value.lower()
        for name, value in {**query, **req.params}.items()
    }
    return params.get("validateonly")


def _context(req: func.HttpRequest) -> CallContext:
    return CallContext(
        api_version=req.params.get("api-version"),
        client_request_id=client_request_id(req),
        traceparent=traceparent(req),
    )


_HEADERS = {
    "If-Match": (IF_MATCH, "must be one etag, with or without quotes, or *"),
    "x-ms-max-item-count": (re.compile(r"[0-9]{1,9}"), "must be a whole number"),
    "x-ms-continuation": (re.compile(r"[\x21-\x7e]*"), "must be the token of a previous page"),
}


def _head_faults(req: func.HttpRequest) -> Iterator[tuple[str, str]]:
    if "id" in req.route_params:
        yield from find_id_faults(req.route_params["id"]).items()
    versions = services().settings.api_versions
    if req.params.get("api-version") not in (None, *versions):
        yield "api-version", f"must be one of {', '.join(versions)}"
    if _validate_only(req) not in ("true", "false", None):
        yield "validateOnly", "must be true or false"
    for header, (form, fault) in _HEADERS.items():
        if header in req.headers and not form.fullmatch(req.headers[header]):
            yield header, fault


async def parse_body(
    req: func.HttpRequest,
    *models: type[Document],
    faults: Mapping[str, str] = MappingProxyType({}),
    check: Check | None = None,
    media_types: Collection[str] = (JSON,),
    limits: Limits = DOCUMENT_LIMITS,
) -> Any:
    """
    Returns the JSON body, with the members and enum values of the models in their spelling.

    Raises `InvalidRequestError`, or a subclass, with every fault: `faults`, those of the content
    type, and those that `check` finds in the document, by default those of the first model.
    """
    found = dict(faults)
    error_class = InvalidRequestError
    media_type = req.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if media_type not in media_types:
        found["Content-Type"] = f"must be {' or '.join(media_types)}"
        error_class = UnsupportedMediaTypeError

    def parse() -> tuple[Any, dict[str, str]]:
        document, repeated = read_json(text, limits=limits)
        document = respelled(document, *models)
        if check:
            return document, {**check(document, bool(found or repeated)), **repeated}
        return document, find_faults(document, models[0]) | repeated

    try:
        text = read_body(req)
        document, body_faults = await parse_in_thread(text, parse)
    except InvalidRequestError as error:
        is_json = error_class is InvalidRequestError
        raise (type(error) if is_json else error_class)(found | error.faults) from error
    found |= body_faults
    if found:
        raise error_class(found)
    return document
