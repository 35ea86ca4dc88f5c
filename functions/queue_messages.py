"""Conversion of the Service Bus trigger's messages."""

from datetime import MAXYEAR, UTC, datetime

import azure.functions as func

from shared.messaging.messages import Message


def to_message(message: func.ServiceBusMessage, *, queue: str) -> Message:
    """Returns the message that the trigger received from `queue`."""
    return Message(
        body=message.get_body(),
        queue=queue,
        sequence_number=message.sequence_number or 0,
        delivery_count=message.delivery_count or 1,
        message_id=message.message_id or None,
        content_type=message.content_type or None,
        correlation_id=message.correlation_id or None,
        subject=message.subject or message.label or None,
        reply_to=message.reply_to or None,
        enqueued_time_utc=_aware(message.enqueued_time_utc),
        expires_at_utc=_expiry(message.expires_at_utc),
        application_properties=message.application_properties or {},
    )


def _aware(time: datetime | None) -> datetime | None:
    # Whether the worker's times have a time zone depends on the versions of host and library.
    return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time


def _expiry(time: datetime | None) -> datetime | None:
    """Returns `None` without a time to live: the extension then passes .NET's maximum date."""
    return None if time is None or time.year == MAXYEAR else _aware(time)
