"""Our messages as the SDK's."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from shared.messaging.messages import OutgoingMessage

if TYPE_CHECKING:  # costly: on first use
    from azure.servicebus import ServiceBusMessage
    from azure.servicebus.aio import ServiceBusSender

_SIMPLE = (str, float, bool, UUID, datetime, Decimal, type(None))
# AMQP's header has 32 bits for milliseconds (part 3, 3.2.1); .NET's SDK knows how to say more.
_LONGEST_LIFE = timedelta(seconds=(2**32 - 1) // 1000)
_OVERHEAD_IN_BATCH = 8  # of a message of more than 255 bytes, as the SDK counts


def encoded(message: OutgoingMessage) -> "ServiceBusMessage":
    """The message; raises `ValueError` for what the SDK refuses."""
    from azure.servicebus import ServiceBusMessage  # noqa: PLC0415  costly: on first use

    life = message.time_to_live
    return ServiceBusMessage(
        message.body,
        application_properties={
            name: _encodable(value) for name, value in message.application_properties.items()
        },
        message_id=message.message_id,
        content_type=message.content_type,
        correlation_id=message.correlation_id,
        subject=message.subject,
        reply_to=message.reply_to,
        time_to_live=None if life is None else min(life, _LONGEST_LIFE),
        scheduled_enqueue_time_utc=message.scheduled_enqueue_time_utc,
    )


def alone(message: OutgoingMessage, sender: "ServiceBusSender") -> "ServiceBusMessage":
    """The message, if the queue takes one so large; the service would end the link over it."""
    from azure.servicebus import ServiceBusMessageBatch  # noqa: PLC0415  costly: on first use
    from azure.servicebus.exceptions import (  # noqa: PLC0415  costly: on first use
        MessageSizeExceededError,
    )

    largest = sender._max_message_size_on_link  # noqa: SLF001  it says so nowhere else
    measured = ServiceBusMessageBatch(max_size_in_bytes=2**62)
    envelope = measured.size_in_bytes
    converted = encoded(message)
    measured.add_message(converted)
    if measured.size_in_bytes - envelope - _OVERHEAD_IN_BATCH > largest:
        raise MessageSizeExceededError
    return converted


def _encodable(value: Any) -> Any:
    """
    A value as the SDK can encode it: what AMQP does not take there is sent as JSON.

    Left to itself it takes whole numbers to have 32 bits, of which a timestamp has more, and bytes
    to be text. The types are named as it names them itself.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return {"TYPE": "LONG", "VALUE": value} if abs(value) < 2**63 else str(value)
    if isinstance(value, bytes):
        return {"TYPE": "BINARY", "VALUE": value}
    if isinstance(value, _SIMPLE):
        return value
    return json.dumps(value, default=str)
