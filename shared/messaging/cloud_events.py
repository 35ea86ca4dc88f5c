"""
The JSON of a message: plain, or the data of a CloudEvent.

Sources: CloudEvents 1.0.2 (github.com/cloudevents/spec, tag v1.0.2), "Required attributes" of
spec.md, "JSON Event Format", and "AMQP Protocol Binding" for structured and binary mode.
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.errors import InvalidRequestError, UnsupportedMediaTypeError
from shared.json_documents import DOCUMENT_LIMITS, Limits, is_unicode, pointer
from shared.messaging.bodies import encode_text, read_body
from shared.messaging.messages import Message

STRUCTURED = "application/cloudevents+json"
REQUIRED_ATTRIBUTES = ("specversion", "id", "source", "type")
PREFIXES = ("cloudEvents:", "cloudEvents_")
"""Of application properties in binary mode; the second is for JMS, where a name has no colon."""

_ANY_EVENT = "application/cloudevents"  # AMQP binding, 3: marks structured mode
_DATA_MEMBERS = ("data", "data_base64")
_VERSION = "1.0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """
    The content of a message.

    `at` is the path from the body to `document`; empty if there is no event around it. `faults` are
    those of the event; the document is not validated.
    """

    document: Any = field(repr=False)
    at: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The event's attributes; empty if the message is not an event."""
    faults: Mapping[str, str] = field(default_factory=dict)


def read_content(message: Message, *, limits: Limits = DOCUMENT_LIMITS) -> Content:
    """
    Returns the JSON of a message: plain, or the `data` of a CloudEvent.

    Raises `UnsupportedMediaTypeError` for a batch of events or an event format other than JSON,
    `InvalidRequestError` for an event without data, and the errors of `read_body`.
    """
    media_type = (message.content_type or "").partition(";")[0].strip().lower()
    is_event = media_type.startswith(_ANY_EVENT)
    if is_event and media_type != STRUCTURED:
        fault = f"must be {STRUCTURED} for an event: one event per message"
        raise UnsupportedMediaTypeError({"content-type": fault})
    document, faults = _parse_text(message.body, limits)
    if is_event or _looks_structured(document):
        content = _structured_content(document, limits)
        return replace(content, faults={**content.faults, **faults})
    for prefix in PREFIXES:
        attributes = dict(_binary_attributes(message.application_properties, prefix))
        if attributes:
            faults |= _attribute_faults(attributes, prefix)
            return Content(document=document, attributes=attributes, faults=faults)
    return Content(document=document, faults=faults)


def _parse_text(body: bytes, limits: Limits) -> tuple[Any, dict[str, str]]:
    """Returns the document with the faults of `read_body`, whose pointers are Unicode."""
    try:
        document, faults = read_body(body, limits=limits)
    except InvalidRequestError as error:
        raise type(error)(_in_unicode(error.faults)) from None
    if b"\\u" in body and not is_unicode(document):
        raise InvalidRequestError(
            _in_unicode(faults) | {"": "must not contain an unpaired surrogate"}
        )
    return document, _in_unicode(faults)


def _in_unicode(faults: Mapping[str, str]) -> dict[str, str]:
    return {at.encode(errors="replace").decode(): fault for at, fault in faults.items()}


def _looks_structured(document: Any) -> bool:
    """Returns whether this is an event sent as plain JSON, as Event Grid and Logic Apps do."""
    return (
        isinstance(document, dict)
        and "specversion" in document
        and not set(_DATA_MEMBERS).isdisjoint(document)
        and {"operation", "mode"}.isdisjoint(document)
    )


def _structured_content(event: Any, limits: Limits) -> Content:
    if not isinstance(event, dict):
        raise InvalidRequestError({"": "must be an object: one event"})
    attributes = {name: value for name, value in event.items() if name not in _DATA_MEMBERS}
    faults = dict(_attribute_faults(attributes, "/"))
    # A null member counts as absent (JSON Event Format, 2.2).
    given = [name for name in _DATA_MEMBERS if event.get(name) is not None]
    if len(given) != 1:
        fault = f"must have exactly one of {', '.join(_DATA_MEMBERS)}"
        raise InvalidRequestError({"": fault, **faults})
    (member,) = given
    document = event[member]
    if member == "data_base64" or isinstance(document, str):
        try:
            body = _decode_base64(document) if member == "data_base64" else encode_text(document)
            document, inner = _parse_text(body, limits)
        except InvalidRequestError as error:
            raise type(error)(faults | _inner(error.faults, member)) from None
        faults |= _inner(inner, member)
    return Content(document=document, at=(member,), attributes=attributes, faults=faults)


def _inner(faults: Mapping[str, str], member: str) -> dict[str, str]:
    return {pointer(member) + at: fault for at, fault in faults.items()}


def _decode_base64(value: Any) -> bytes:
    try:
        return b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise InvalidRequestError({"": "must be base64"}) from None


def _binary_attributes(properties: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in properties.items():
        if isinstance(name, str) and name.startswith(prefix):
            yield name.removeprefix(prefix), _attribute_text(value)


def _attribute_text(value: Any) -> Any:
    """Returns the canonical string of an attribute that has an AMQP type."""
    match value:
        case bytes():
            return value.decode(errors="replace")
        case bool():
            return str(value).lower()
        case int() | float() | UUID():
            return str(value)
        case datetime():
            return value.isoformat()
    return value


def _attribute_faults(attributes: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name in REQUIRED_ATTRIBUTES:
        value = attributes.get(name)
        if value is None:
            yield prefix + name, "is required"
        elif not isinstance(value, str) or not value:
            yield prefix + name, "must be a string that is not empty"
        elif name == "specversion" and value != _VERSION:
            yield prefix + name, f"must be {_VERSION}"
