"""Queries: the query text, pages and continuation tokens."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from local.dps.errors import BAD_REQUEST, INVALID_REQUEST, ApiError
from local.dps.operations import Call, Response
from local.dps.records import Record, sort_by_position
from local.dps.spelling import spell

# Recorded: the default. Assumed: any larger size that is requested is granted.
PAGE_SIZE: Final = 100

# Recorded: the members of a token. The cursor holds a mark of the query and the position of the
# last record of the page.
_CONTINUATION = (
    '[{{"token":"+RID:~{cursor}#RT:1#TRC:1#ISV:2#IEO:65551#QCF:8",'
    '"range":{{"min":"","max":"FF"}}}}]'
)
_CONTINUATION_PATTERN = re.compile(
    re.escape(_CONTINUATION.format(cursor="@")).replace("@", "([A-Za-z0-9+/=]+)")
)


def check_query(call: Call) -> None:
    """
    Raises ApiError 400 if the body holds no query, which is documented as required.

    Reported: any text returns all records (azure-iot-sdk-csharp#794), a WHERE (#2188) and an empty
    text (#3478) too. Assumed: the error without a query, and for one that is not a text.
    """
    document = spell(call.document, {"query": None})
    if not isinstance(document.get("query"), str):
        raise ApiError(INVALID_REQUEST, "The query is required")


def create_page(
    call: Call,
    records: Iterable[Record],
    *,
    query: str,
    item_type: str,
    show: Callable[[Record], dict[str, Any]],
) -> Response:
    """
    Returns one page of `records`; a continuation token is valid only for the same `query`.

    Recorded: the last page has no x-ms-continuation header.
    """
    size = _read_page_size(call.headers.get("x-ms-max-item-count"))
    after = _decode_token(call.headers.get("x-ms-continuation"), query)
    following = sort_by_position(records, after=after, limit=size + 1)
    headers = {"X-Content-Type-Options": "nosniff", "x-ms-item-type": item_type}  # recorded
    if len(following) > size:
        headers["x-ms-continuation"] = _encode_token(following[size - 1].position, query)
    return Response(200, [show(record) for record in following[:size]], headers)


def _read_page_size(header: str | None) -> int:
    if header is None:
        return PAGE_SIZE
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", header):
        raise ApiError(BAD_REQUEST)  # assumed
    return int(header)


def _query_mark(query: str) -> bytes:
    return hashlib.sha256(query.lower().encode()).digest()[:4]


def _encode_token(position: bytes, query: str) -> str:
    cursor = base64.b64encode(_query_mark(query) + position).decode()
    return base64.b64encode(_CONTINUATION.format(cursor=cursor).encode()).decode()


def _decode_token(token: str | None, query: str) -> bytes:
    """
    Returns the position in a continuation token, b"" without one.

    Reported (azure-iot-sdk-node#502): a token of another query is a 400000.
    """
    if token is None:
        return b""
    try:
        text = base64.b64decode(token, validate=True).decode()
        match = _CONTINUATION_PATTERN.fullmatch(text)
        cursor = base64.b64decode(match[1], validate=True) if match else b""
    except (binascii.Error, ValueError) as error:
        raise ApiError(BAD_REQUEST) from error
    if not cursor.startswith(_query_mark(query)):
        raise ApiError(BAD_REQUEST)
    return cursor[len(_query_mark(query)) :]
