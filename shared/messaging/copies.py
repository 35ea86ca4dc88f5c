"""
Copies of a message: scheduled for later, rejected with a reason, or replayed; and its results.

The copy is sent before the message is completed: a crash in between repeats the copy with the same
message id and loses nothing. The id always differs from the message's, because duplicate detection
would drop the copy (docs page "Duplicate detection",
learn.microsoft.com/azure/service-bus-messaging).
"""

import hashlib
import random
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from shared.error_catalog import code_for, entry_for
from shared.errors import MessageTooLargeError
from shared.messaging.messages import (
    OWN_PROPERTIES,
    Message,
    OutgoingMessage,
    Property,
    decode_properties,
)
from shared.messaging.positions import format_positions
from shared.messaging.sender import MessageSender

DEAD_LETTER_QUEUE = "/$DeadLetterQueue"
"""The suffix of the path of a queue's dead-letter queue."""
DEAD_LETTER_REASON, DEAD_LETTER_DESCRIPTION = "DeadLetterReason", "DeadLetterErrorDescription"

# CloudEvents 1.0.2, "JSON Batch Format".
_BATCH_CONTENT_TYPE = "application/cloudevents-batch+json; charset=utf-8"
_MAX_ID_LENGTH = 128
# A property may have 32 KB, all of them 64 KB (docs page "Service Bus quotas").
_MAX_DESCRIPTION, _SHORT_DESCRIPTION = 4096, 200
_MAX_POSITIONS = 32_000
_MIN_TIME_TO_LIVE = timedelta(seconds=1)
# Seconds before the next counted attempt, doubled each time.
_FIRST_DELAY, MAX_DELAY = 30.0, 3600.0

# What Azure's SDKs write on a message to correlate traces; W3C Trace Context, or the hierarchical
# ids of .NET before it. No key has this form.
TRACE_PROPERTIES = ("traceparent", "Diagnostic-Id")
_TRACE_ID = re.compile(r"\|?[\w.-]{1,128}", re.ASCII)

_ORIGIN_PROPERTIES = (
    Property.SOURCE_MESSAGE_ID,
    Property.SOURCE_QUEUE,
    Property.ENQUEUED_TIME_UTC,
)
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
    # A copy without it is still known by the form of its message id.
    (Property.COPY_ID, Property.POSITIONS),
    (Property.ATTEMPT, Property.ENQUEUED_TIME_UTC),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectionReason:
    """The reason of a rejection; an unknown member is `None`."""

    reason: str
    description: str | None = None
    error_code: int | str | None = None
    tracking_id: str | None = None

    @classmethod
    def of(
        cls, error: Exception, *, description: str | None = None, tracking_id: str | None = None
    ) -> Self:
        """Returns the reason that the error catalogue has for an error."""
        return cls(
            reason=entry_for(error).reason,
            description=description or str(error),
            error_code=code_for(error),
            tracking_id=tracking_id,
        )


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bulk message: its body, and the positions of its records in the sender's."""

    body: bytes
    positions: Sequence[int] = ()

    @property
    def properties(self) -> dict[str, Any]:
        """The application property with the positions, unless it would be too long."""
        text = format_positions(self.positions)
        return {Property.POSITIONS: text} if 0 < len(text) <= _MAX_POSITIONS else {}


def delay_after(attempt: int) -> timedelta:
    """Returns the time between this counted attempt and the next."""
    return jittered(min(_FIRST_DELAY * 2 ** min(attempt - 1, 20), MAX_DELAY))


def jittered(seconds: float) -> timedelta:
    """Returns a longer time: messages that failed together must not return together."""
    return timedelta(seconds=seconds * random.uniform(1.0, 1.5))  # noqa: S311  not a secret


def scheduled_copy(
    message: Message, *, delay: timedelta, attempt: int, part: Part | None = None
) -> OutgoingMessage:
    """Returns a copy that is enqueued after `delay`, as the counted attempt `attempt`."""
    due = datetime.now(UTC) + delay
    return _copy(
        "rescheduled",
        message,
        part,
        application_properties={
            **_kept_properties(message, message.own_properties),
            Property.ATTEMPT: attempt,
        },
        # Service Bus counts it from the scheduled time.
        time_to_live=_remaining_time(message, due),
        scheduled_enqueue_time_utc=due,
    )


def postponed_results(
    message: Message, results: Mapping[str, bytes], *, delay: timedelta, attempt: int
) -> OutgoingMessage:
    """
    Returns a message with results of `message`, events in JSON by their ids, for the same queue.

    Their ids make its message id, which is the same in every delivery. It has no time to live: a
    request may expire, its result may not. Of the sender's properties only the trace is kept.
    """
    properties = _kept_properties(message, message.own_properties)
    kept = {name: value for name, value in properties.items() if name in _ORIGIN_PROPERTIES}
    count = {Property.POSTPONED_RESULTS: len(results), Property.ATTEMPT: attempt}
    return _marked(
        OutgoingMessage(
            body=b"[%s]" % b",".join(results.values()),
            message_id=_copy_id("results", message, "".join(results).encode()),
            content_type=_BATCH_CONTENT_TYPE,
            correlation_id=message.correlation_id,
            reply_to=message.reply_to,
            application_properties={**kept, **trace_properties(message), **count},
            scheduled_enqueue_time_utc=datetime.now(UTC) + delay,
        )
    )


def trace_properties(message: Message) -> dict[str, str]:
    """Returns the properties of a message by which traces are correlated."""
    properties = decode_properties(message.application_properties)
    values = {name: properties.get(name) for name in TRACE_PROPERTIES}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, str) and _TRACE_ID.fullmatch(value)
    }


def rejected_copy(
    message: Message, reason: RejectionReason, *, part: Part | None = None
) -> OutgoingMessage:
    """Returns a copy with the reason and without a time to live."""
    description = reason.description and reason.description[:_MAX_DESCRIPTION]
    values = (reason.reason, description, reason.error_code, reason.tracking_id)
    reasons = {
        name: value
        for name, value in zip(_REASON_PROPERTIES, values, strict=True)
        if value is not None
    }
    kept = _kept_properties(message, message.own_properties, without=_PROCESSING_PROPERTIES)
    properties = {**kept, **reasons, Property.ATTEMPT: message.attempt}
    return _copy("parked", message, part, application_properties=properties)


def replayed_copy(message: Message, *, part: Part | None = None) -> OutgoingMessage:
    """
    Returns a copy to be processed from the first attempt on, marked as a copy.

    A dead-lettered request keeps the rest of its time to live. An expired one, a rejected one and
    results get none: they are replayed on purpose.
    """
    expires, own = message.expires_at_utc, properties_of_rejected(message)
    is_limited = (
        expires is not None
        and expires > datetime.now(UTC)
        and Property.REASON not in own
        and not message.has_results
    )
    return _copy(
        "replayed",
        message,
        part,
        application_properties=_kept_properties(message, own, without=_PROCESSING_PROPERTIES),
        time_to_live=_remaining_time(message, datetime.now(UTC)) if is_limited else None,
    )


def properties_of_rejected(message: Message) -> Mapping[str, Any]:
    """
    Returns the app's properties of a message in the rejected queue or a dead-letter queue.

    In the rejected queue all of these names are the app's, even if somebody else moved the message.
    """
    if message.queue.endswith(DEAD_LETTER_QUEUE):
        return message.own_properties
    properties = message.application_properties
    return {name: properties[name] for name in OWN_PROPERTIES if name in properties}


async def reject(
    sender: MessageSender,
    queue: str,
    message: Message,
    reason: RejectionReason,
    *,
    part: Part | None = None,
) -> None:
    """
    Sends a rejected copy to `queue`, with as much of the reason as the size limit allows.

    Raises `MessageTooLargeError` if it is too large even without, and what `MessageSender.send`
    raises.
    """
    copies = list(_smaller_copies(rejected_copy(message, reason, part=part)))
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


def _copy(
    kind: str,
    message: Message,
    part: Part | None,
    *,
    application_properties: dict[str, Any],
    **options: Any,
) -> OutgoingMessage:
    body, positions = (part.body, part.properties) if part else (message.body, {})
    # A redelivery may split the same message differently, and two of its records may be equal.
    content = body + format_positions(part.positions).encode() if part else b""
    return _marked(
        OutgoingMessage(
            body=body,
            message_id=_copy_id(kind, message, content if body != message.body else b""),
            content_type=message.content_type,
            correlation_id=message.correlation_id,
            subject=message.subject,
            reply_to=message.reply_to,
            application_properties={**application_properties, **positions},
            **options,
        )
    )


def _marked(copy: OutgoingMessage) -> OutgoingMessage:
    properties = {**copy.application_properties, Property.COPY_ID: copy.message_id}
    return replace(copy, application_properties=properties)


def _copy_id(kind: str, message: Message, content: bytes) -> str:
    suffix = "-" + hashlib.sha256(content).hexdigest()[:16] if content else ""
    copy_id = f"{kind}-{message.queue}-{message.sequence_number}{suffix}"
    if len(copy_id) <= _MAX_ID_LENGTH:
        return copy_id
    queue = hashlib.sha256(message.queue.encode()).hexdigest()[:32]
    return f"{kind}-{queue}-{message.sequence_number}{suffix}"


def _kept_properties(
    message: Message, own: Mapping[str, Any], *, without: Collection[str] = ()
) -> dict[str, Any]:
    """Returns the properties that a copy keeps, and the origin of the first message."""
    origin = {Property.SOURCE_QUEUE: message.queue.removesuffix(DEAD_LETTER_QUEUE)}
    if message.enqueued_time_utc and not own:
        origin[Property.ENQUEUED_TIME_UTC] = message.enqueued_time_utc.isoformat()
    properties = decode_properties(message.application_properties)
    others = {name: properties[name] for name in properties if name not in OWN_PROPERTIES}
    kept = {**origin, Property.SOURCE_MESSAGE_ID: message.original_id, **others, **own}
    return {name: value for name, value in kept.items() if name not in without}


def _remaining_time(message: Message, start: datetime) -> timedelta | None:
    if message.expires_at_utc is None:
        return None
    return max(message.expires_at_utc - start, _MIN_TIME_TO_LIVE)
