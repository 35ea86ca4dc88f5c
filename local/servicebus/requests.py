"""
Requests to $cbs and $management, and the responses to them.

Their format: learn.microsoft.com, "AMQP 1.0 in Azure Service Bus: request-response-based
operations".
"""

from typing import Any, NamedTuple

from local.servicebus.amqp import decode, encode
from local.servicebus.amqp.encode import NULL
from local.servicebus.amqp.errors import AmqpError, DecodeError

_PROPERTIES, _APPLICATION_PROPERTIES, _VALUE = 0x73, 0x74, 0x77  # descriptors of sections
_MESSAGE_ID, _REPLY_TO = 0, 4  # indexes in the properties


class Request(NamedTuple):
    """
    A request. `raw_body` and `message_id` are encoded; the latter is echoed.

    `name` is the address that a put-token is for.
    """

    operation: str
    name: Any
    body: Any
    raw_body: bytes
    message_id: bytes
    reply_to: Any


class Response(NamedTuple):
    """A response, with an encoded body."""

    status: int
    description: str
    body: bytes = NULL
    condition: str | None = None


class StatusNames(NamedTuple):
    """Names of the application properties with a response's status, which differ by node."""

    code: str
    description: str


CBS = StatusNames("status-code", "status-description")
MANAGEMENT = StatusNames("statusCode", "statusDescription")
_CONDITION = "errorCondition"


def error_response(error: AmqpError) -> Response:
    """Returns the response that reports an error."""
    return Response(error.status, error.description, condition=error.condition)


def parse_request(message: bytes) -> Request:
    """Returns the request in `message`; raises DecodeError if it is malformed."""
    starts = {code: at for code, _, at, _ in decode.sections(message)}
    properties = _section(message, starts, _PROPERTIES, decode.raw_items) or []
    properties += [NULL] * (_REPLY_TO + 1 - len(properties))
    application_properties = _section(message, starts, _APPLICATION_PROPERTIES, decode.value)
    names = application_properties[0] if application_properties else {}
    body, end = _section(message, starts, _VALUE, decode.value) or (None, 0)
    return Request(
        operation=_operation(names),
        name=names.get("name"),
        body=body,
        raw_body=message[starts.get(_VALUE, 0) : end],
        message_id=properties[_MESSAGE_ID],
        reply_to=decode.value(properties[_REPLY_TO])[0],
    )


def encode_response(request: Request, response: Response, names: StatusNames) -> bytes:
    """Returns the message with the response to `request`."""
    properties = encode.list_(*[NULL] * 5, request.message_id)  # as correlation-id
    pairs = [
        (encode.string(names.code), encode.int_(response.status)),
        (encode.string(names.description), encode.string(response.description)),
    ]
    if response.condition:
        pairs.append((encode.string(_CONDITION), encode.symbol(response.condition)))
    return (
        encode.described(_PROPERTIES, properties)
        + encode.described(_APPLICATION_PROPERTIES, encode.map_(*pairs))
        + encode.described(_VALUE, response.body)
    )


def _section(message: bytes, starts: dict[int, int], code: int, read: Any) -> Any:
    return read(message, starts[code]) if code in starts else None


def _operation(properties: Any) -> str:
    operation = properties.get("operation") if isinstance(properties, dict) else None
    if isinstance(operation, bytes):
        operation = operation.decode("utf-8", "replace")
    if not isinstance(operation, str):
        raise DecodeError("a request must have the application property 'operation'")
    return operation
