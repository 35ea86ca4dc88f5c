"""Messages as those at the ends of the queues write and read them."""

import json
from collections.abc import Iterable
from typing import Any

from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage

Document = dict[str, Any]


def message(body: Any, **properties: Any) -> ServiceBusMessage:
    """A message with this body: bytes, or a document."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ServiceBusMessage(raw, **properties)


def read(found: ServiceBusReceivedMessage) -> Document:
    """A message in plain types: `body` as bytes, `event` if that is JSON, `properties`."""
    body = b"".join(found.body)
    properties = found.application_properties or {}
    return {
        "body": body,
        "event": _json(body),
        "properties": {_text(name): _text(value) for name, value in properties.items()},
        "message_id": found.message_id,
        "content_type": found.content_type,
        "correlation_id": found.correlation_id,
        "subject": found.subject,
        "reply_to": found.reply_to,
        "delivery_count": found.delivery_count,
    }


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def data(results: Iterable[Document]) -> list[Document]:
    """What the results say."""
    return [result["event"]["data"] for result in results]
