"""What ties a request to the caller's own logs."""

import re

import azure.functions as func

_PRINTABLE = re.compile(r"[\x20-\x7e]{1,128}")


def client_request_id(req: func.HttpRequest) -> str | None:
    """The caller's own name for the request, if it is fit to be passed on."""
    given = req.headers.get("x-ms-client-request-id", "")
    return given if _PRINTABLE.fullmatch(given) else None
