"""Sample messages, records and requests, and types of fixtures."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from shared.dps.batching.items import ItemResult, RequestItem
from shared.errors import (
    AppError,
    DpsConflictError,
    DpsNotFoundError,
    DpsRefusedError,
    InvalidRequestError,
)
from shared.messaging.copies import RejectionReason
from shared.messaging.messages import Message, OutgoingMessage
from shared.messaging.requests import BulkRequest, read_bulk_request
from shared.messaging.results import result_message, result_of
from shared.settings import ServiceBusSettings

EXAMPLES = Path(__file__).parents[3] / "examples" / "messages"
BULK_QUEUE = "bulk-operations"
RECORD = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}}
GROUP = {"enrollmentGroupId": "group-1", "attestation": {"type": "symmetricKey"}}
EVENT = {"specversion": "1.0", "id": "e-1", "source": "/erp", "type": "shipped"}
"""The required attributes of a CloudEvent."""


def message(body: Any, **members: Any) -> Message:
    """Returns a message with this body, a document or bytes, from `enrollment-requests`."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    defaults = {"queue": "enrollment-requests", "sequence_number": 7, "message_id": "m-1"}
    return Message(body=raw, **{**defaults, **members})


def create_request(**members: Any) -> dict[str, Any]:
    """Returns a valid create request with these members added or replaced."""
    return {"operation": "create", "enrollment": RECORD, **members}


def delete_request(id: str = "dev-1") -> bytes:
    """Returns the body of a delete request."""
    return json.dumps({"operation": "delete", "registrationId": id}).encode()


def example_file(name: str) -> bytes:
    """Returns a file of `examples/messages`."""
    return (EXAMPLES / f"{name}.json").read_bytes()


def outgoing(text: str = "x", **options: Any) -> OutgoingMessage:
    """Returns a message to send whose id is its text."""
    return OutgoingMessage(body=text.encode(), message_id=options.pop("id", text[:50]), **options)


# A message to be copied, and what its copies have.

MINUTE = timedelta(minutes=1)
ENQUEUED = datetime(2026, 11, 1, 12, tzinfo=UTC)
REASON = RejectionReason(
    reason="Invalid", description="Wrong.", error_code=400004, tracking_id="track"
)
# The Functions host passes some properties as bytes, contrary to their type.
_PROPERTIES: dict[Any, Any] = {"tenant": "a", b"bytes": b"\xc3\xa9", b"binary": b"\xff"}
MESSAGE = Message(
    body=b'{"registrationId": "dev-1"}',
    queue="requests",
    sequence_number=7,
    message_id="first",
    content_type="application/json",
    correlation_id="correlation",
    subject="subject",
    reply_to="replies",
    enqueued_time_utc=ENQUEUED,
    application_properties=_PROPERTIES,
)
SENDER_PROPERTIES = {"tenant": "a", "bytes": "é", "binary": b"\xff"}
ORIGIN_PROPERTIES = {
    "sourceMessageId": "first",
    "sourceQueue": "requests",
    "enqueuedTimeUtc": ENQUEUED.isoformat(),
}


# Types of fixtures.

CreateQueues = Callable[..., ServiceBusSettings]
Put = Callable[..., Awaitable[None]]


class Peek(Protocol):
    """
    Returns the messages of a queue, or of its dead-letter queue, in order.

    They are the SDK's messages, of which every member may be `None`.
    """

    async def __call__(self, queue: str, sub_queue: str | None = None) -> list[Any]: ...


def read_bulk(message: Message) -> BulkRequest:
    """Returns the bulk request of a message; raises its `InvalidRequestError`."""
    return asyncio.run(read_bulk_request(message))


def outcome_message(
    message: Message,
    item: RequestItem | None,
    *,
    etag: str | None = None,
    error_code: int | None = None,
    text: str = "",
    tracking_id: str | None = None,
    faults: Mapping[str, str] | None = None,
) -> OutgoingMessage:
    """Returns the result of an item that was applied, or failed with this error code."""
    error: AppError | None = None
    if error_code == 400004:
        error = InvalidRequestError(faults or {}, text)
    elif error_code:
        status = error_code // 1000
        error_class = {404: DpsNotFoundError, 409: DpsConflictError}.get(status, DpsRefusedError)
        error = error_class(text, status=status, error_code=error_code, tracking_id=tracking_id)
    result = result_of(message, ItemResult(item=item, etag=etag, error=error))
    return result_message(message, result)
