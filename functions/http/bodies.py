"""Bodies of HTTP requests."""

import azure.functions as func

from shared.errors import InvalidRequestError

_NO_CHUNKED_BODY = (
    "is empty: the Functions host passes on no body that is sent with `Transfer-Encoding: chunked`; "
    "send it with `Content-Length`"
)


def read_body(req: func.HttpRequest) -> bytes:
    """Returns the body; raises `InvalidRequestError` if the host did not pass it on."""
    body: bytes = req.get_body()
    if not body and "chunked" in req.headers.get("transfer-encoding", "").lower():
        raise InvalidRequestError({"": _NO_CHUNKED_BODY})
    return body
