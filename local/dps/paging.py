"""Queries, a page at a time."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any

from local.dps.errors import Refused
from local.dps.records import Record, in_order
from local.dps.replies import Call, Reply
from local.dps.rules import BAD_REQUEST, INVALID, PAGE_SIZE

# R: the members of the recorded token. All we need of it is the place where the last page ended.
_CONTINUATION = (
    '[{{"token":"+RID:~{cursor}#RT:1#TRC:1#ISV:2#IEO:65551#QCF:8",'
    '"range":{{"min":"","max":"FF"}}}}]'
)
_CURSOR = re.compile(re.escape(_CONTINUATION.format(cursor="@")).replace("@", "([A-Za-z0-9+/=]+)"))


def check_query(call: Call) -> None:
    """?: whatever begins with SELECT is taken, and `*` (M); a WHERE is not heeded.

    The recordings and tests only ever select all, in several spellings (R, E).
    """
    text = call.document.get("query")
    if not isinstance(text, str):
        raise Refused(INVALID, "The query is required")  # D: its one required member
    if text.strip() != "*" and not text.strip().lower().startswith("select"):
        raise Refused(INVALID, "The query is not valid")


def page(
    call: Call,
    records: Iterable[Record],
    *,
    of: str,
    item_type: str,
    show: Callable[[Record], dict[str, Any]],
) -> Reply:
    """One page of `records`; a continuation is only good for the query named `of`."""
    size = _page_size(call.headers.get("x-ms-max-item-count"))
    after = _decode(call.headers.get("x-ms-continuation"), of)
    found = in_order(records, after=after, limit=size + 1)
    headers = {"X-Content-Type-Options": "nosniff", "x-ms-item-type": item_type}  # R
    if len(found) > size:  # R: no header is the end
        headers["x-ms-continuation"] = _encode(found[size - 1].position, of)
    return Reply(200, [show(record) for record in found[:size]], headers)


def _page_size(header: str | None) -> int:
    if header is None:
        return PAGE_SIZE
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", header):
        raise Refused(BAD_REQUEST)  # ?
    return int(header)


def _query_mark(of: str) -> bytes:
    return hashlib.sha256(of.lower().encode()).digest()[:4]


def _encode(position: bytes, of: str) -> str:
    cursor = base64.b64encode(_query_mark(of) + position).decode()
    return base64.b64encode(_CONTINUATION.format(cursor=cursor).encode()).decode()


def _decode(token: str | None, of: str) -> bytes:
    """The place that `token` stands for; I: node#502, a foreign one is 400000."""
    if token is None:
        return b""
    try:
        text = base64.b64decode(token, validate=True).decode()
        match = _CURSOR.fullmatch(text)
        cursor = base64.b64decode(match[1], validate=True) if match else b""
    except (binascii.Error, ValueError) as error:
        raise Refused(BAD_REQUEST) from error
    if not cursor.startswith(_query_mark(of)):
        raise Refused(BAD_REQUEST)
    return cursor[len(_query_mark(of)) :]
