"""Part of a bulk request, as a body that says nothing of the rest."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from shared.documents import MAX_BYTES_OF_REQUEST
from shared.messaging.cloud_events import content
from shared.messaging.envelopes import KIND_OF_RECORDS, given
from shared.messaging.messages import Message


def part(message: Message, positions: Iterable[int]) -> bytes:
    """
    The body of a bulk request with just the records at these positions, in the form it came in.

    The message is one that `read_bulk_request` takes. The records are as they were sent.
    """
    found = content(message, max_bytes=MAX_BYTES_OF_REQUEST)
    asked = given(found.document)
    (member,) = KIND_OF_RECORDS.keys() & asked.keys()
    request = asked | {member: [asked[member][position] for position in positions]}
    return json.dumps(_wrapped(request, found.at, found.attributes)).encode()


def _wrapped(request: Any, at: tuple[str, ...], attributes: Mapping[str, Any]) -> Any:
    # In binary mode the event is in the properties, which every copy keeps.
    return {**attributes, "data": request} if at else request
