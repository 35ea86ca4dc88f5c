"""
A message's JSON, plain or wrapped in a CloudEvent.

Sources: CloudEvents 1.0.2 (github.com/cloudevents/spec, tag v1.0.2), "Required attributes" of
spec.md, "JSON Event Format", and "AMQP Protocol Binding" for structured and binary mode.
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.documents import MAX_BYTES, parse, pointer
from shared.errors import InvalidRequestError, UnsupportedMediaTypeError
from shared.messaging.messages import Message
from shared.messaging.places import shown

STRUCTURED = "application/cloudevents+json"
REQUIRED_ATTRIBUTES = ("specversion", "id", "source", "type")
PREFIXES = ("cloudEvents:", "cloudEvents_")
"""Of application properties; the second is for JMS, where a name has no colon."""

_ANY_EVENT = "application/cloudevents"  # AMQP binding, 3: how structured mode is known
_VERSION = "1.0"
_REQUIRED, _NO_TEXT = "is required", "must be a string that is not empty"


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """
    What a message holds.

    `at` are the steps to `document` from the beginning of the body: none, unless an event is around
    it. `faults` are those of the event; those of the document are for others to find.
    """

    document: Any = field(repr=False)
    at: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The event's own members; empty if the message is no event."""
    faults: Mapping[str, str] = field(default_factory=dict)


def content(message: Message, *, max_bytes: int = MAX_BYTES) -> Content:
    """
    The JSON of a message: as it is, or the `data` of a CloudEvent in structured or binary mode.

    Raises `UnsupportedMediaTypeError` for a batch of events or an event in another format than
    JSON, `InvalidRequestError` for an event without data, and whatever `parse` raises.
    """
    media_type = (message.content_type or "").partition(";")[0].strip().lower()
    is_event = media_type.startswith(_ANY_EVENT)
    if is_event and media_type != STRUCTURED:
        words = f"must be {STRUCTURED} for an event: one event a message"
        raise UnsupportedMediaTypeError({"content-type": words})
    document = _parsed(message.body, max_bytes)
    if is_event or _looks_structured(document):
        return _structured(document, max_bytes)
    for prefix in PREFIXES:
        attributes = dict(_attributes(message.application_properties, prefix))
        if attributes:
            faults = dict(_faults(attributes, prefix))
            return Content(document=document, attributes=attributes, faults=faults)
    return Content(document=document)


def _parsed(body: bytes, max_bytes: int) -> Any:
    try:
        document = parse(body, max_bytes=max_bytes)
    except InvalidRequestError as error:
        raise type(error)(
            {shown(_readable(place)): words for place, words in error.faults.items()}
        ) from None
    if b"\\u" in body and not _is_text(document):
        raise InvalidRequestError({"": "holds half of a surrogate pair, which is no text"})
    return document


def _is_text(document: Any) -> bool:
    """Whether every string of a JSON document can be written in UTF-8."""
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            waiting += [*node, *node.values()]
        elif isinstance(node, list):
            waiting += node
        elif isinstance(node, str) and not _is_unicode(node):
            return False
    return True


def _is_unicode(text: str) -> bool:
    return _readable(text) == text


def _readable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _looks_structured(document: Any) -> bool:
    """Events that pass through Event Grid or Logic Apps often come as plain JSON."""
    return (
        isinstance(document, dict)
        and "specversion" in document
        and not {"data", "data_base64"}.isdisjoint(document)
        and {"operation", "mode"}.isdisjoint(document)
    )


def _structured(event: Any, max_bytes: int) -> Content:
    if not isinstance(event, dict):
        raise InvalidRequestError({"": "must be an object: one event"})
    attributes = {name: value for name, value in event.items() if name not in _DATA}
    faults = dict(_faults(attributes, "/"))
    # A null is as good as nothing (JSON Event Format, 2.2).
    given = [name for name in _DATA if event.get(name) is not None]
    if len(given) != 1:
        raise InvalidRequestError({"": f"must have exactly one of {', '.join(_DATA)}", **faults})
    (member,) = given
    document = event[member]
    if member == "data_base64":
        try:
            document = _decoded(document, max_bytes)
        except InvalidRequestError as error:
            inner = {pointer(member) + place: words for place, words in error.faults.items()}
            raise type(error)(faults | inner) from None
    return Content(document=document, at=(member,), attributes=attributes, faults=faults)


_DATA = ("data", "data_base64")


def _decoded(value: Any, max_bytes: int) -> Any:
    try:
        body = b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise InvalidRequestError({"": "is not valid base64"}) from None
    return _parsed(body, max_bytes)


def _attributes(properties: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in properties.items():
        if isinstance(name, str) and name.startswith(prefix):
            yield name.removeprefix(prefix), _text(value)


def _text(value: Any) -> Any:
    """The canonical string form of an attribute, which may have come as an AMQP type of its own."""
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


def _faults(attributes: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name in REQUIRED_ATTRIBUTES:
        value = attributes.get(name)
        if value is None:
            yield prefix + name, _REQUIRED
        elif not isinstance(value, str) or not value:
            yield prefix + name, _NO_TEXT
        elif name == "specversion" and value != _VERSION:
            yield prefix + name, f"must be {_VERSION}"
