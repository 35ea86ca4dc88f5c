"""Requests to $cbs and $management, and the replies to them.

learn.microsoft.com: "AMQP 1.0 in Azure Service Bus: request-response-based operations".
"""

from typing import Any, NamedTuple

from local.servicebus.amqp import decode, encode, spans
from local.servicebus.amqp.encode import NULL
from local.servicebus.amqp.errors import AmqpError, DecodeError

_PROPERTIES, _APPLICATION_PROPERTIES, _VALUE = 0x73, 0x74, 0x77
_MESSAGE_ID, _REPLY_TO = 0, 4  # of the properties


class Request(NamedTuple):
    """What is asked; `message_id` is kept as it came, for the reply's correlation id.

    `raw_body` is the body as it came.
    """

    operation: str
    body: Any
    raw_body: bytes
    message_id: bytes
    reply_to: Any


class Reply(NamedTuple):
    """What is answered."""

    status: int
    description: str
    body: bytes = NULL
    condition: str | None = None


class ReplyNames(NamedTuple):
    """What a node calls the parts of its replies."""

    status: str
    description: str


CBS = ReplyNames("status-code", "status-description")
MANAGEMENT = ReplyNames("statusCode", "statusDescription")
_CONDITION = "errorCondition"


def refused(error: AmqpError) -> Reply:
    """The reply of a request that is refused."""
    return Reply(error.status, error.description, condition=error.condition)


def read(message: bytes) -> Request:
    """The request in `message`; DecodeError if there is none."""
    found = {code: at for code, _, at, _ in spans.sections(message)}
    properties = _section(message, found, _PROPERTIES, spans.raw_items) or []
    properties += [NULL] * (_REPLY_TO + 1 - len(properties))
    application_properties = _section(message, found, _APPLICATION_PROPERTIES, decode.value)
    operation = _operation(application_properties[0] if application_properties else {})
    body, end = _section(message, found, _VALUE, decode.value) or (None, 0)
    return Request(
        operation=operation,
        body=body,
        raw_body=message[found.get(_VALUE, 0) : end],
        message_id=properties[_MESSAGE_ID],
        reply_to=decode.value(properties[_REPLY_TO])[0],
    )


def encoded(request: Request, reply: Reply, names: ReplyNames) -> bytes:
    """The message that answers `request`."""
    properties = encode.list_(*[NULL] * 5, request.message_id)
    pairs = [
        (encode.string(names.status), encode.int_(reply.status)),
        (encode.string(names.description), encode.string(reply.description)),
    ]
    if reply.condition:
        pairs.append((encode.string(_CONDITION), encode.symbol(reply.condition)))
    return (
        encode.described(_PROPERTIES, properties)
        + encode.described(_APPLICATION_PROPERTIES, encode.map_(*pairs))
        + encode.described(_VALUE, reply.body)
    )


def _section(message: bytes, found: dict[int, int], code: int, read_value: Any) -> Any:
    return read_value(message, found[code]) if code in found else None


def _operation(properties: Any) -> str:
    operation = properties.get("operation") if isinstance(properties, dict) else None
    if isinstance(operation, bytes):
        operation = operation.decode("utf-8", "replace")
    if not isinstance(operation, str):
        raise DecodeError("a request without an operation")
    return operation
