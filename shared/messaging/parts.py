"""Parts of a bulk request, as bodies that say nothing of the rest."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shared.documents import MAX_BYTES_OF_REQUEST
from shared.messaging.cloud_events import content
from shared.messaging.envelopes import KIND_OF_RECORDS, given
from shared.messaging.messages import Message

Part = Callable[[Iterable[int]], bytes]
"""A body with just the records at these positions."""


def parts_of(message: Message) -> Part:
    """
    Makes bodies of parts of a bulk request, in the form it came in; the records are as they were sent.

    The message is one that `read_bulk_request` takes, and is read once for all its parts.
    """
    found = content(message, max_bytes=MAX_BYTES_OF_REQUEST)
    asked = given(found.document)
    (member,) = KIND_OF_RECORDS.keys() & asked.keys()

    def part(positions: Iterable[int]) -> bytes:
        request = asked | {member: [asked[member][position] for position in positions]}
        body = _wrapped(request, found.at, found.attributes)
        # No longer than it came: a message may be as large as its queue takes.
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    return part


def _wrapped(request: Any, at: tuple[str, ...], attributes: Mapping[str, Any]) -> Any:
    # In binary mode the event is in the properties, which every copy keeps.
    return {**attributes, "data": request} if at else request
