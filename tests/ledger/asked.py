"""What is asked for, and what should come of it: the vocabulary of plans."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.dps.models import RecordKind

Key = tuple[str, str]
"""A record: its collection, and its id without case, as DPS compares ids."""
Document = Mapping[str, Any]

SINGLE, BULK = "enrollment-requests", "bulk-operations"
SUCCEEDED = "succeeded"

# The first digits of the code that the result of a rejected request has, by the reason it is
# kept with.
STATUS_OF = {
    "InvalidRequest": 400,
    "UnsupportedMediaType": 415,
    "DpsBadRequest": 400,
    "DpsNotFound": 404,
    "DpsConflict": 409,
    "DpsPreconditionFailed": 412,
}


def key_of(kind: RecordKind, id: str) -> Key:
    """What the record is known by."""
    return kind.path, id.casefold()


def etag_of(key: Key) -> str:
    """Stands in a body for the etag that the record has when the message is sent."""
    return f"<etag of {key[0]}/{key[1]}>"


@dataclass(frozen=True, kw_only=True)
class Item:
    """
    One request of a message, and the endings that are right: `SUCCEEDED`, or reasons.

    If the first is `SUCCEEDED`, one of its endings must be that.
    """

    key: Key | None
    """`None` if nobody can tell which record is meant."""
    endings: tuple[str, ...] = (SUCCEEDED,)

    def __str__(self) -> str:
        return "/".join(self.key or ())


@dataclass(frozen=True, kw_only=True)
class Step:
    """One message to send; none of its requests has an ending if `is_dead` is where it ends."""

    id: str
    what: str
    """What is asked, in words."""
    queue: str
    body: bytes
    items: tuple[Item, ...]
    content_type: str | None = "application/json"
    properties: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    """How often the very same message is sent."""
    is_dead: bool = False

    @property
    def etags(self) -> list[Key]:
        """The records whose etags the body needs."""
        keys = [item.key for item in self.items if item.key]
        return [key for key in keys if etag_of(key).encode() in self.body]

    def with_etags(self, etags: Mapping[Key, str]) -> bytes:
        """The body to send."""
        body = self.body
        for key in self.etags:
            body = body.replace(etag_of(key).encode(), etags[key].encode())
        return body


@dataclass(kw_only=True)
class Story:
    """Messages that touch the same records, each sent when what came before has ended."""

    steps: list[Step] = field(default_factory=list)
    before: dict[Key, Document] = field(default_factory=dict)
    """Records that are there when it begins."""
    after: dict[Key, Document | None] = field(default_factory=dict)
    """Records that are there when it has ended, and those that are not."""
    keys: dict[Key, Mapping[str, str]] = field(default_factory=dict)
    """Symmetric keys that records then have, where a request gave them."""
    ever: dict[Key, list[Document | None]] = field(default_factory=dict)
    """Each state that a record can have on the way, whatever order the messages come in."""


def to_json(document: Any) -> bytes:
    """As a sender would write it."""
    return json.dumps(document).encode()
