"""HTTP responses: JSON, records and pages, and errors in DPS's shape."""

import functools
import json
import logging
import math
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import azure.functions as func
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from functions.http.headers import client_request_id
from shared.error_catalog import ErrorEntry, code_for, entry_for
from shared.errors import (
    AppError,
    DpsAnswerError,
    DpsError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotConfiguredError,
)

if TYPE_CHECKING:
    from shared.dps.responses import Page, Record

Trigger = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]

_LOG = logging.getLogger(__name__)
_JSON = "application/json"
_PROBLEM = "application/problem+json"  # RFC 9457


def with_error_responses(
    trigger: Trigger, *, authorize: Callable[[func.HttpRequest], None] | None = None
) -> Trigger:
    """
    Decorates a trigger: its exceptions become error responses of DPS's shape.

    Every response has `x-ms-request-id`, and the caller's `x-ms-client-request-id`. `authorize` is
    called before the trigger, and raises the error of a request that is not allowed.
    """

    @functools.wraps(trigger)
    async def respond(req: func.HttpRequest) -> func.HttpResponse:
        request_id = str(uuid4())
        try:
            if authorize:
                authorize(req)
            response = await trigger(req)
        except Exception as error:  # noqa: BLE001  an exception that escapes is an empty 500
            response = _error_response(error, req, request_id)
        response.headers["x-ms-request-id"] = request_id
        if client_id := client_request_id(req):
            response.headers["x-ms-client-request-id"] = client_id
        return response

    return respond


def json_response(
    body: Any,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str | None] | None = None,
) -> func.HttpResponse:
    """Returns a JSON response; headers that are `None` are omitted."""
    merged = {"content-type": f"{_JSON}; charset=utf-8", **(headers or {})}
    return func.HttpResponse(
        # ASCII: JSON may have a lone surrogate, which no text encoding allows.
        json.dumps(body, separators=(",", ":")),
        status_code=status,
        headers={name: value for name, value in merged.items() if value is not None},
    )


def record_response(record: "Record") -> func.HttpResponse:
    """
    Returns a record, with its etag as the header `ETag` (RFC 9110), which DPS does not send.

    The key in its webhook URL is masked: the app may have filled it in.
    """
    from shared.dps.webhook_urls import mask_document

    return json_response(
        mask_document(record), headers={"ETag": record.etag and f'"{record.etag}"'}
    )


def written_record_response(
    record: "Record", *, lost: Collection[str], version: str
) -> func.HttpResponse:
    """
    Returns a written record, with a `Warning` (RFC 7234, 5.5) for each of two things.

    These are certificates that no device can use, and members that are `lost` because the API version
    of the write does not have them.
    """
    from shared.dps.certificate_names import misnamed_certificates

    response = record_response(record)
    texts = []
    if names := misnamed_certificates(record):
        texts.append(
            f"The common name of certificate {', '.join(names)} is not the registrationId."
        )
    if lost:
        texts.append(f"Written at API version {version}, which does not store {', '.join(lost)}.")
    if texts:
        response.headers["Warning"] = ", ".join(map(_warning, texts))
    return response


def secret_response(record: "Record") -> func.HttpResponse:
    """Returns a record that must not be cached."""
    return json_response(record, headers={"Cache-Control": "no-store"})


# What asks for less than everything: a condition, a limit, or columns.
_RESTRICTION = re.compile(
    r"\b(?:where|top|limit|offset|group\s+by|having)\b|\bselect\b(?!\s*\*)", re.IGNORECASE
)


def page_response(page: "Page", *, query_text: str) -> func.HttpResponse:
    """
    Returns the records of a page, masked, with the token of the next page as a header.

    It has a `Warning` if the query asks for less than everything: DPS takes any text and returns
    every record (github.com/Azure/azure-iot-sdk-csharp/issues/794).
    """
    from shared.dps.webhook_urls import mask_document

    text = "DPS ignores conditions, limits and columns of a query: all records are returned."
    return json_response(
        [mask_document(record) for record in page.records],
        headers={
            "x-ms-continuation": page.continuation,
            "x-ms-item-type": page.item_type,
            "Warning": _warning(text) if _RESTRICTION.search(query_text) else None,
        },
    )


def validation_response(result: Mapping[str, Any]) -> func.HttpResponse:
    """Returns the result of a validation, with a `Warning` that says what it does not cover."""
    text = "Validated only: nothing was sent to DPS, whose records and limits were not checked."
    return json_response(result, headers={"Warning": _warning(text)})


def _warning(text: str) -> str:
    """Returns the value of a `Warning` header (RFC 7234, 5.5) with a text that has no quotes."""
    return f'299 - "{text}"'


def no_content() -> func.HttpResponse:
    """Returns 204."""
    return func.HttpResponse(status_code=HTTPStatus.NO_CONTENT)


def _error_response(error: Exception, req: func.HttpRequest, request_id: str) -> func.HttpResponse:
    entry = entry_for(error)
    body = _error_body(error, entry, request_id)
    is_expected = isinstance(error, AppError)
    is_server_error = entry.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    level = logging.WARNING if is_server_error else logging.INFO
    _LOG.log(
        level if is_expected else logging.ERROR,
        "%s failed with %s, trackingId %s, request %s",
        req.method,
        body["errorCode"],
        body["trackingId"],
        request_id,
        exc_info=None if is_expected else error,
    )
    headers = {
        "x-ms-error-code": str(body["errorCode"]),
        "Retry-After": _retry_after(error, entry),
        "Allow": ", ".join(error.allowed) if isinstance(error, MethodNotAllowedError) else None,
    }
    if _prefers_problem(req.headers.get("accept")):
        headers["content-type"] = _PROBLEM
        return json_response(_problem(body, entry), status=entry.status, headers=headers)
    return json_response(body, status=entry.status, headers=headers)


def _prefers_problem(header: str | None) -> bool:
    """Returns whether `Accept` (RFC 9110, 12.5.1) prefers the problem format, or names it too."""
    ranges = parse_accept_header((header or "").lower())
    # Without parameters such as a charset.
    accept = MIMEAccept((name.partition(";")[0], quality) for name, quality in ranges)
    problem, json_ = accept.quality(_PROBLEM), accept.quality(_JSON)
    return problem > json_ or (0 < problem == json_ and _PROBLEM in accept.values())


def _error_body(error: Exception, entry: ErrorEntry, request_id: str) -> dict[str, Any]:
    tracking_id = error.tracking_id if isinstance(error, DpsError) else None
    body: dict[str, Any] = {
        "errorCode": code_for(error),
        "trackingId": tracking_id or request_id,
        "message": str(error) if isinstance(error, AppError) else entry.meaning,
        "timestampUtc": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    info = _info(error)
    return body | {"info": info} if info else body


def _info(error: Exception) -> Mapping[str, str]:
    if isinstance(error, InvalidRequestError):
        return error.list_faults()
    if isinstance(error, NotConfiguredError):
        return error.faults
    return error.details if isinstance(error, DpsAnswerError) else {}


def _problem(body: Mapping[str, Any], entry: ErrorEntry) -> dict[str, Any]:
    problem = {"title": entry.status.phrase, "status": entry.status, "detail": body["message"]}
    return problem | {name: value for name, value in body.items() if name != "message"}


def _retry_after(error: Exception, entry: ErrorEntry) -> str | None:
    """Returns whole seconds, rounded up."""
    seconds = error.retry_after if isinstance(error, DpsError) else None
    seconds = entry.retry_after if seconds is None else seconds
    return None if seconds is None else str(math.ceil(seconds))
