"""
Converts a message from the Service Bus SDK into the func.ServiceBusMessage that a function receives.

The conversion is Azure's. The Service Bus extension describes the message
(ServiceBusTriggerBindingStrategy.cs in Azure/azure-sdk-for-net), the host serializes that
description (ScriptInvocationContextExtensions.cs and GrpcMessageConversionExtensions.cs in
Azure/azure-functions-host: null is left out, text stays as it is, anything else becomes JSON), and
the azure.functions library creates a func.ServiceBusMessage from it.
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

if TYPE_CHECKING:  # imported only for an app that has a Service Bus trigger: it is slow to load
    from azure.servicebus import ServiceBusReceivedMessage

# A message that never expires has .NET's DateTimeOffset.MaxValue; this is the closest in Python.
_NEVER = datetime.max.replace(tzinfo=UTC)

_TEXT_METADATA: Mapping[str, str] = {
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


def to_trigger_value(
    message: "ServiceBusReceivedMessage", *, is_binary: bool
) -> func.ServiceBusMessage:
    """Returns what the function receives; raises ValueError if Azure could not deliver it."""
    metadata = _metadata(message)
    body = _body(message)
    data = Datum(body, "bytes")
    if not is_binary:
        text = body.decode("utf-8", "replace")
        data = Datum(text, "string")
        _overwrite_metadata(metadata, text)
    # The converter and the registry that Azure's worker uses.
    converter = func.get_binding_registry().get("serviceBusTrigger")
    decoded: func.ServiceBusMessage = converter.decode(data, trigger_metadata=metadata)
    return decoded


def delivery_count(message: "ServiceBusReceivedMessage") -> int:
    """Returns the delivery count as in Azure Functions, counted from 1; the SDK's is from 0."""
    return (message.delivery_count or 0) + 1


def traceparent(message: "ServiceBusReceivedMessage") -> str:
    """Returns the traceparent that the sender's Azure SDK added, or "" without one."""
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
    for name, attribute in _TEXT_METADATA.items():
        value = getattr(message, attribute)
        if value is not None:
            metadata[name] = Datum(str(_plain(value)), "string")
    return metadata


def _body(message: "ServiceBusReceivedMessage") -> bytes:
    if message.body_type.name == "VALUE" and message.body is None:
        # No body section, or a null value: "default to using an empty Data value"
        # (AmqpMessageConverter.cs in Azure/azure-sdk-for-net).
        return b""
    if message.body_type.name != "DATA":
        # The delivery fails in Azure too: .NET's ServiceBusReceivedMessage.Body throws.
        raise ValueError(
            f"the message body must be binary data, not an AMQP {message.body_type.name.lower()}"
        )
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
    """Returns `value` as a JSON value, converted as Json.NET does."""
    match value:
        case bytes():
            return _text(value)
        case Decimal():
            return float(value)
        case UUID():
            return str(value)
    return value


def _text(value: bytes) -> str:
    # The SDK returns bytes for AMQP strings and AMQP binaries; what is not UTF-8 must be a binary.
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def _time(value: datetime) -> str:
    # azure.functions tries several formats one after the other, which is slow; this is one of the first.
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")


def _json(value: Any) -> Datum:
    return Datum(json.dumps(value, ensure_ascii=False, default=str), "json")


def _overwrite_metadata(metadata: dict[str, Datum], text: str) -> None:
    """
    Overwrites metadata with the members of a JSON body that have the same names, as Azure does.

    Utility.ApplyBindingData in Azure/azure-functions-host. It does not apply to data_type BINARY.
    """
    try:
        members = json.loads(text)
    except ValueError:
        return
    names = {name.lower(): name for name in metadata}
    for name, value in members.items() if isinstance(members, dict) else ():
        if value is not None and not isinstance(value, list):
            metadata[names.get(str(name).lower(), str(name))] = _to_datum(value)


def _to_datum(value: Any) -> Datum:
    if isinstance(value, dict):
        return _json(value)
    return Datum(value if isinstance(value, str) else json.dumps(value), "string")
