"""
Copies of a message: to be handled later, to be kept with a reason, to be handled once more.

Send the copy, then complete the message: a crash in between repeats the copy, under the same
message id, and loses nothing. The id is never that of the message, which duplicate detection would
drop (docs page "Duplicate detection", learn.microsoft.com/azure/service-bus-messaging).
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.errors import MessageTooLargeError
from shared.messaging.messages import (
    ATTEMPT,
    DESCRIPTION,
    ENQUEUED_TIME_UTC,
    ERROR_CODE,
    REASON,
    SOURCE_MESSAGE_ID,
    SOURCE_QUEUE,
    TRACKING_ID,
    Message,
    OutgoingMessage,
)
from shared.messaging.sending import Sender

DEAD_LETTER_QUEUE = "/$DeadLetterQueue"
"""What a queue's name and this make the path of its dead letters."""
DEAD_LETTER_REASON, DEAD_LETTER_DESCRIPTION = "DeadLetterReason", "DeadLetterErrorDescription"

_LONGEST_ID = 128
# A property may have 32 KB, all of them 64 KB (docs page "Service Bus quotas").
_LONGEST_DESCRIPTION, _SHORTENED = 4096, 200
_SHORTEST_LIFE = timedelta(seconds=1)

_OF_REASON = (REASON, DESCRIPTION, ERROR_CODE, TRACKING_ID)
_OF_ONE_HANDLING = {*_OF_REASON, ATTEMPT, DEAD_LETTER_REASON, DEAD_LETTER_DESCRIPTION}
# In this order they go where there is no room for them all.
_DROPPED = ((DESCRIPTION,), (TRACKING_ID, ERROR_CODE), (ATTEMPT, ENQUEUED_TIME_UTC))


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why a message is parked; what is not known is `None`."""

    reason: str
    description: str | None = None
    error_code: int | str | None = None
    tracking_id: str | None = None


def rescheduled(
    message: Message, *, delay: timedelta, attempt: int, body: bytes | None = None
) -> OutgoingMessage:
    """A copy that comes back after `delay`, as the counted attempt `attempt`."""
    due = datetime.now(UTC) + delay
    return _copied(
        "rescheduled",
        message,
        body=body,
        application_properties={**_kept(message), ATTEMPT: attempt},
        # It counts from the time that the copy is scheduled for.
        time_to_live=_remaining(message, due),
        scheduled_enqueue_time_utc=due,
    )


def parked(message: Message, reason: Reason, *, body: bytes | None = None) -> OutgoingMessage:
    """A copy that is kept for good, with the reason."""
    description = reason.description and reason.description[:_LONGEST_DESCRIPTION]
    reasons = (reason.reason, description, reason.error_code, reason.tracking_id)
    named = {
        name: value for name, value in zip(_OF_REASON, reasons, strict=True) if value is not None
    }
    kept = _kept(message, without=_OF_ONE_HANDLING)
    properties = {**kept, **named, ATTEMPT: message.attempt}
    return _copied("parked", message, body=body, application_properties=properties)


def replayed(message: Message, *, body: bytes | None = None) -> OutgoingMessage:
    """
    A copy to be handled as if it came for the first time, but known as a copy.

    A dead letter keeps what is left of its time to live; one that outlived it, and a parked
    message, has no limit: it is replayed because it is wanted.
    """
    expires = message.expires_at_utc
    is_limited = (
        expires is not None
        and expires > datetime.now(UTC)
        and REASON not in message.application_properties
    )
    return _copied(
        "replayed",
        message,
        body=body,
        application_properties=_kept(
            message,
            without=_OF_ONE_HANDLING,
            # The rejected queue holds copies, or what somebody put there as one.
            is_copy=not message.queue.endswith(DEAD_LETTER_QUEUE),
        ),
        time_to_live=_remaining(message, datetime.now(UTC)) if is_limited else None,
    )


async def park(
    sender: Sender, queue: str, message: Message, reason: Reason, body: bytes | None = None
) -> None:
    """
    Sends a copy with its reason to `queue`, with as much of the reason as there is room for.

    Raises `MessageTooLargeError` if there is room for none, and what `Sender.send` raises.
    """
    copies = list(_ever_smaller(parked(message, reason, body=body)))
    for copy in copies[:-1]:
        try:
            return await sender.send(queue, copy)
        except MessageTooLargeError:
            continue
    return await sender.send(queue, copies[-1])


def _ever_smaller(copy: OutgoingMessage) -> Iterator[OutgoingMessage]:
    yield copy
    properties = dict(copy.application_properties)
    if len(properties.get(DESCRIPTION, "")) > _SHORTENED:
        properties[DESCRIPTION] = properties[DESCRIPTION][:_SHORTENED]
        yield replace(copy, application_properties=dict(properties))
    for names in _DROPPED:
        for name in names:
            properties.pop(name, None)
        yield replace(copy, application_properties=dict(properties))


def _copied(kind: str, message: Message, *, body: bytes | None, **options: Any) -> OutgoingMessage:
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
    part = ""
    if body is not None and body != message.body:
        # A second run may make other parts of the same message.
        part = "-" + hashlib.sha256(body).hexdigest()[:16]
    copied = f"{kind}-{message.queue}-{message.sequence_number}{part}"
    if len(copied) <= _LONGEST_ID:
        return copied
    queue = hashlib.sha256(message.queue.encode()).hexdigest()[:32]
    return f"{kind}-{queue}-{message.sequence_number}{part}"


def _kept(
    message: Message, *, without: Collection[str] = (), is_copy: bool = False
) -> dict[str, Any]:
    """The properties that a copy shares with the message, and who was the first of the chain."""
    found = decoded(message.application_properties)
    first = {SOURCE_QUEUE: message.queue.removesuffix(DEAD_LETTER_QUEUE)}
    if message.enqueued_time_utc and SOURCE_MESSAGE_ID not in found:
        first[ENQUEUED_TIME_UTC] = message.enqueued_time_utc.isoformat()
    others = {name: found[name] for name in found if name not in without}
    # Properties of a sender's own may have the same names.
    is_copy = is_copy or SOURCE_MESSAGE_ID in found
    kept = {**first, **others} if is_copy else {**others, **first}
    return {**kept, SOURCE_MESSAGE_ID: message.original_id}


def decoded(properties: Mapping[Any, Any]) -> dict[str, Any]:
    """Application properties as the SDK gives them, with texts for the bytes that are text."""
    return {str(_text(name)): _text(value) for name, value in properties.items()}


def _text(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _remaining(message: Message, since: datetime) -> timedelta | None:
    if message.expires_at_utc is None:
        return None
    return max(message.expires_at_utc - since, _SHORTEST_LIFE)
