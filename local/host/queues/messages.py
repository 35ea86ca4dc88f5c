"""A message as the SDK receives it, turned into what the function gets.

In Azure the Service Bus extension describes the message (ServiceBusTriggerBindingStrategy.cs in
Azure/azure-sdk-for-net), the host puts that on the wire (ScriptInvocationContextExtensions.cs and
GrpcMessageConversionExtensions.cs in Azure/azure-functions-host: nothing for null, text as it is,
all else as JSON), and the library makes a func.ServiceBusMessage of it. So does this.
"""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import azure.functions as func
from azure.functions.meta import Datum

if TYPE_CHECKING:  # costly: only an app with a Service Bus trigger pays for it
    from azure.servicebus import ServiceBusReceivedMessage

# .NET's DateTimeOffset.MaxValue as far as Python can tell it: a message that never expires.
_NEVER = datetime.max.replace(tzinfo=UTC)

_TEXTS: Mapping[str, str] = {
    "ContentType": "content_type",
    "CorrelationId": "correlation_id",
    "DeadLetterSource": "dead_letter_source",
    "Label": "subject",
    "LockToken": "lock_token",
    "MessageId": "message_id",
    "PartitionKey": "partition_key",
    "ReplyTo": "reply_to",
    "ReplyToSessionId": "reply_to_session_id",
    "SessionId": "session_id",
    "Subject": "subject",
    "To": "to",
}


def to_function(message: "ServiceBusReceivedMessage", *, is_binary: bool) -> func.ServiceBusMessage:
    """What the function gets for `message`; ValueError if Azure could not hand it over either."""
    metadata = _metadata(message)
    body = _body(message)
    data = Datum(body, "bytes")
    if not is_binary:
        text = body.decode("utf-8", "replace")
        data = Datum(text, "string")
        _overwrite(metadata, text)
    # The converter that Azure's worker takes, from the place where it takes it.
    converter = func.get_binding_registry().get("serviceBusTrigger")
    decoded: func.ServiceBusMessage = converter.decode(data, trigger_metadata=metadata)
    return decoded


def delivery_count(message: "ServiceBusReceivedMessage") -> int:
    """Which delivery of `message` this is: the Functions host counts from 1, the SDK from 0."""
    return (message.delivery_count or 0) + 1


def traceparent(message: "ServiceBusReceivedMessage") -> str:
    """The trace that the sender put into the message, as Azure's SDKs do; "" if there is none."""
    return str(_properties(message).get("Diagnostic-Id", ""))


def _metadata(message: "ServiceBusReceivedMessage") -> dict[str, Datum]:
    enqueued = message.enqueued_time_utc or datetime.now(UTC)
    properties = _properties(message)
    values = {
        "ApplicationProperties": properties,
        "DeliveryCount": delivery_count(message),
        "EnqueuedTime": _time(enqueued),
        "EnqueuedTimeUtc": _time(enqueued),
        "ExpiresAt": _time(_expiry(message)),
        "ExpiresAtUtc": _time(_expiry(message)),
        "LockedUntil": _time(message.locked_until_utc or enqueued),
        "SequenceNumber": message.sequence_number,
        "UserProperties": properties,
    }
    metadata = {name: _json(value) for name, value in values.items()}
    for name, attribute in _TEXTS.items():
        value = getattr(message, attribute)
        if value is not None:
            metadata[name] = Datum(str(_plain(value)), "string")
    return metadata


def _body(message: "ServiceBusReceivedMessage") -> bytes:
    if message.body_type.name != "DATA":
        # .NET's ServiceBusReceivedMessage.Body throws for it, so that the delivery fails.
        raise ValueError(f"its body is an AMQP {message.body_type.name.lower()}, not binary data")
    return b"".join(message.body)


def _expiry(message: "ServiceBusReceivedMessage") -> datetime:
    try:
        return message.expires_at_utc or _NEVER
    except OverflowError:
        return _NEVER


def _properties(message: "ServiceBusReceivedMessage") -> dict[str, Any]:
    given = message.application_properties or {}
    return {str(_plain(name)): _plain(value) for name, value in given.items()}


def _plain(value: Any) -> Any:
    """`value` as JSON can hold it, in the way of Json.NET."""
    match value:
        case bytes():
            return _text(value)
        case Decimal():
            return float(value)
        case UUID():
            return str(value)
    return value


def _text(value: bytes) -> str:
    # The SDK has bytes for AMQP's strings and for its binaries: what is no text must be the latter.
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def _time(value: datetime) -> str:
    # Of the forms that azure.functions knows this is one of the first that it tries, each at a cost.
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")


def _json(value: Any) -> Datum:
    return Datum(json.dumps(value, ensure_ascii=False, default=str), "json")


def _overwrite(metadata: dict[str, Datum], text: str) -> None:
    """Lets the members of a JSON body overwrite metadata of their names, as Azure's host does.

    Utility.ApplyBindingData in Azure/azure-functions-host: a trigger with data_type BINARY is safe.
    """
    try:
        members = json.loads(text)
    except ValueError:
        return
    names = {name.lower(): name for name in metadata}
    for name, value in members.items() if isinstance(members, dict) else ():
        if value is not None and not isinstance(value, list):
            metadata[names.get(str(name).lower(), str(name))] = _overwriting(value)


def _overwriting(value: Any) -> Datum:
    if isinstance(value, dict):
        return _json(value)
    return Datum(value if isinstance(value, str) else json.dumps(value), "string")
