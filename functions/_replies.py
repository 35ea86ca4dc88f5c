"""HTTP out: documents, and errors in DPS's shape."""

import functools
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import azure.functions as func

from functions._correlation import client_request_id
from functions._outcome import Outcome
from functions._outcomes import code_of, outcome_of
from shared.errors import (
    AppError,
    DpsAnswerError,
    DpsError,
    InvalidRequestError,
    NotConfiguredError,
)

Trigger = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]

_LOG = logging.getLogger(__name__)
_PROBLEM = "application/problem+json"  # RFC 9457


def replies(trigger: Trigger) -> Trigger:
    """
    Makes a trigger answer always: its errors become replies of DPS's shape.

    Every reply carries `x-ms-request-id`, and the caller's `x-ms-client-request-id`.
    """

    @functools.wraps(trigger)
    async def answer(req: func.HttpRequest) -> func.HttpResponse:
        request_id = str(uuid4())
        try:
            reply = await trigger(req)
        except Exception as error:  # noqa: BLE001  one that escapes is an empty 500
            reply = _error(error, req, request_id)
        reply.headers["x-ms-request-id"] = request_id
        if client_id := client_request_id(req):
            reply.headers["x-ms-client-request-id"] = client_id
        return reply

    return answer


def document(
    body: Any,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str | None] | None = None,
) -> func.HttpResponse:
    """JSON; headers that are `None` are left out."""
    named = {"content-type": "application/json; charset=utf-8", **(headers or {})}
    return func.HttpResponse(
        # In ASCII: a lone surrogate is legal in JSON, and in no encoding of text.
        json.dumps(body, separators=(",", ":")),
        status_code=status,
        headers={name: value for name, value in named.items() if value is not None},
    )


def _error(error: Exception, req: func.HttpRequest, request_id: str) -> func.HttpResponse:
    outcome = outcome_of(error)
    body = _error_body(error, outcome, request_id)
    foreseen = isinstance(error, AppError)
    _LOG.log(
        _level(outcome) if foreseen else logging.ERROR,
        "%s answered with %s, trackingId %s, request %s",
        req.method,
        body["errorCode"],
        body["trackingId"],
        request_id,
        exc_info=None if foreseen else error,
    )
    headers = {
        "x-ms-error-code": str(body["errorCode"]),
        "Retry-After": _retry_after(error, outcome),
    }
    if _PROBLEM in req.headers.get("accept", ""):
        return document(
            _problem(body, outcome),
            status=outcome.status,
            headers=headers | {"content-type": _PROBLEM},
        )
    return document(body, status=outcome.status, headers=headers)


def _level(outcome: Outcome) -> int:
    """What is the caller's own fault is nothing to look into."""
    return logging.WARNING if outcome.status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO


def _error_body(error: Exception, outcome: Outcome, request_id: str) -> dict[str, Any]:
    tracking_id = error.tracking_id if isinstance(error, DpsError) else None
    body: dict[str, Any] = {
        "errorCode": code_of(error),
        "trackingId": tracking_id or request_id,
        "message": str(error) if isinstance(error, AppError) else outcome.meaning,
        "timestampUtc": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    info = _info(error)
    return body | {"info": info} if info else body


def _info(error: Exception) -> Mapping[str, str]:
    if isinstance(error, InvalidRequestError | NotConfiguredError):
        return error.faults
    return error.details if isinstance(error, DpsAnswerError) else {}


def _problem(body: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    problem = {"title": outcome.status.phrase, "status": outcome.status, "detail": body["message"]}
    return problem | {name: value for name, value in body.items() if name != "message"}


def _retry_after(error: Exception, outcome: Outcome) -> str | None:
    """Whole seconds, rounded up."""
    seconds = error.retry_after if isinstance(error, DpsError) else None
    seconds = outcome.retry_after if seconds is None else seconds
    return None if seconds is None else str(math.ceil(seconds))
