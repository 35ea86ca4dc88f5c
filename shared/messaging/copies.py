"""
Copies of a message: scheduled for later, rejected with a reason, or replayed.

The copy is sent before the message is completed: a crash in between repeats the copy with the same
message id and loses nothing. The id always differs from the message's, because duplicate detection
would drop the copy (docs page "Duplicate detection",
learn.microsoft.com/azure/service-bus-messaging).
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.errors import MessageTooLargeError
from shared.messaging.messages import Message, OutgoingMessage, Property, decode_properties
from shared.messaging.sender import MessageSender

DEAD_LETTER_QUEUE = "/$DeadLetterQueue"
"""The suffix of the path of a queue's dead-letter queue."""
DEAD_LETTER_REASON, DEAD_LETTER_DESCRIPTION = "DeadLetterReason", "DeadLetterErrorDescription"

_MAX_ID_LENGTH = 128
# A property may have 32 KB, all of them 64 KB (docs page "Service Bus quotas").
_MAX_DESCRIPTION, _SHORT_DESCRIPTION = 4096, 200
_MIN_TIME_TO_LIVE = timedelta(seconds=1)

_REASON_PROPERTIES = (
    Property.REASON,
    Property.DESCRIPTION,
    Property.ERROR_CODE,
    Property.TRACKING_ID,
)
_PROCESSING_PROPERTIES = {
    *_REASON_PROPERTIES,
    Property.ATTEMPT,
    DEAD_LETTER_REASON,
    DEAD_LETTER_DESCRIPTION,
}
# Dropped in this order from a copy that is too large.
_DROPPABLE = (
    (Property.DESCRIPTION,),
    (Property.TRACKING_ID, Property.ERROR_CODE),
    (Property.ATTEMPT, Property.ENQUEUED_TIME_UTC),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectionReason:
    """The reason of a rejection; an unknown member is `None`."""

    reason: str
    description: str | None = None
    error_code: int | str | None = None
    tracking_id: str | None = None


def scheduled_copy(
    message: Message, *, delay: timedelta, attempt: int, body: bytes | None = None
) -> OutgoingMessage:
    """Returns a copy that is enqueued after `delay`, as the counted attempt `attempt`."""
    due = datetime.now(UTC) + delay
    return _copy(
        "rescheduled",
        message,
        body=body,
        application_properties={**_kept_properties(message), Property.ATTEMPT: attempt},
        # Service Bus counts it from the scheduled time.
        time_to_live=_remaining_time(message, due),
        scheduled_enqueue_time_utc=due,
    )


def rejected_copy(
    message: Message, reason: RejectionReason, *, body: bytes | None = None
) -> OutgoingMessage:
    """Returns a copy with the reason and without a time to live."""
    description = reason.description and reason.description[:_MAX_DESCRIPTION]
    values = (reason.reason, description, reason.error_code, reason.tracking_id)
    reasons = {
        name: value
        for name, value in zip(_REASON_PROPERTIES, values, strict=True)
        if value is not None
    }
    kept = _kept_properties(message, without=_PROCESSING_PROPERTIES)
    properties = {**kept, **reasons, Property.ATTEMPT: message.attempt}
    return _copy("parked", message, body=body, application_properties=properties)


def replayed_copy(message: Message, *, body: bytes | None = None) -> OutgoingMessage:
    """
    Returns a copy to be processed from the first attempt on, marked as a copy.

    A dead-lettered message keeps the rest of its time to live. An expired one, and a rejected one,
    get none: they are replayed on purpose.
    """
    expires = message.expires_at_utc
    is_limited = (
        expires is not None
        and expires > datetime.now(UTC)
        and Property.REASON not in message.application_properties
    )
    return _copy(
        "replayed",
        message,
        body=body,
        application_properties=_kept_properties(
            message,
            without=_PROCESSING_PROPERTIES,
            # Every message in the rejected queue is a copy.
            is_copy=not message.queue.endswith(DEAD_LETTER_QUEUE),
        ),
        time_to_live=_remaining_time(message, datetime.now(UTC)) if is_limited else None,
    )


async def reject(
    sender: MessageSender,
    queue: str,
    message: Message,
    reason: RejectionReason,
    body: bytes | None = None,
) -> None:
    """
    Sends a rejected copy to `queue`, with as much of the reason as the size limit allows.

    Raises `MessageTooLargeError` if it is too large even without, and what `MessageSender.send`
    raises.
    """
    copies = list(_smaller_copies(rejected_copy(message, reason, body=body)))
    for copy in copies[:-1]:
        try:
            return await sender.send(queue, copy)
        except MessageTooLargeError:
            continue
    return await sender.send(queue, copies[-1])


def _smaller_copies(copy: OutgoingMessage) -> Iterator[OutgoingMessage]:
    """Yields the copy, then copies with ever less of the reason."""
    yield copy
    properties = dict(copy.application_properties)
    if len(properties.get(Property.DESCRIPTION, "")) > _SHORT_DESCRIPTION:
        properties[Property.DESCRIPTION] = properties[Property.DESCRIPTION][:_SHORT_DESCRIPTION]
        yield replace(copy, application_properties=dict(properties))
    for names in _DROPPABLE:
        for name in names:
            properties.pop(name, None)
        yield replace(copy, application_properties=dict(properties))


def _copy(kind: str, message: Message, *, body: bytes | None, **options: Any) -> OutgoingMessage:
    return OutgoingMessage(
        body=message.body if body is None else body,
        message_id=_copy_id(kind, message, body),
        content_type=message.content_type,
        correlation_id=message.correlation_id,
        subject=message.subject,
        reply_to=message.reply_to,
        **options,
    )


def _copy_id(kind: str, message: Message, body: bytes | None) -> str:
    suffix = ""
    if body is not None and body != message.body:
        # A redelivery may split the same message differently.
        suffix = "-" + hashlib.sha256(body).hexdigest()[:16]
    copy_id = f"{kind}-{message.queue}-{message.sequence_number}{suffix}"
    if len(copy_id) <= _MAX_ID_LENGTH:
        return copy_id
    queue = hashlib.sha256(message.queue.encode()).hexdigest()[:32]
    return f"{kind}-{queue}-{message.sequence_number}{suffix}"


def _kept_properties(
    message: Message, *, without: Collection[str] = (), is_copy: bool = False
) -> dict[str, Any]:
    """Returns the properties that a copy keeps, and the origin of the first message."""
    properties = decode_properties(message.application_properties)
    origin = {Property.SOURCE_QUEUE: message.queue.removesuffix(DEAD_LETTER_QUEUE)}
    if message.enqueued_time_utc and Property.SOURCE_MESSAGE_ID not in properties:
        origin[Property.ENQUEUED_TIME_UTC] = message.enqueued_time_utc.isoformat()
    others = {name: properties[name] for name in properties if name not in without}
    # A sender's own properties may have the same names: only a copy's are trusted.
    is_copy = is_copy or Property.SOURCE_MESSAGE_ID in properties
    kept = {**origin, **others} if is_copy else {**others, **origin}
    return {**kept, Property.SOURCE_MESSAGE_ID: message.original_id}


def _remaining_time(message: Message, start: datetime) -> timedelta | None:
    if message.expires_at_utc is None:
        return None
    return max(message.expires_at_utc - start, _MIN_TIME_TO_LIVE)
