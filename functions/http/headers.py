"""Request headers for correlation: client request id and trace context."""

import re

import azure.functions as func

_PRINTABLE = re.compile(r"[\x20-\x7e]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context


def client_request_id(req: func.HttpRequest) -> str | None:
    """Returns the caller's `x-ms-client-request-id`; `None` if it is missing or not printable."""
    id = req.headers.get("x-ms-client-request-id", "")
    return id if _PRINTABLE.fullmatch(id) else None


def traceparent(req: func.HttpRequest) -> str | None:
    """Returns the caller's `traceparent`; `None` if it is missing or invalid."""
    value = req.headers.get("traceparent", "")
    return value if _TRACEPARENT.fullmatch(value) else None
