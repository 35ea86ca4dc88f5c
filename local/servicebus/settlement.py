"""
Settlement of messages, and the delivery states that request it (part 3, 3.4).

How Service Bus uses the states: learn.microsoft.com, "AMQP 1.0 protocol guide".
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, NamedTuple

from local.servicebus.amqp import decode, encode, frames
from local.servicebus.amqp.decode import Described
from local.servicebus.amqp.errors import DecodeError
from local.servicebus.amqp.performatives import Disposition

# Indexes of fields.
_ERROR, _INFO = 0, 2  # in rejected, and in an error
_UNDELIVERABLE_HERE, _ANNOTATIONS = 1, 2  # in modified


Properties = Mapping[str, bytes]
"""Encoded application properties, by name."""

NO_PROPERTIES: Properties = {}


class Settlement(Enum):
    """Ways to settle a locked message."""

    COMPLETE = auto()
    ABANDON = auto()  # counts as a delivery
    RELEASE = auto()  # does not count as a delivery
    DEFER = auto()
    DEAD_LETTER = auto()


class Outcome(NamedTuple):
    """A requested settlement: the state that confirms it, and the properties that it sets."""

    settlement: Settlement
    confirmation: bytes
    properties: Properties = NO_PROPERTIES


def parse_outcome(disposition: Disposition) -> Outcome | None:
    """Returns the requested settlement, or None if the delivery state is not an outcome."""
    state = disposition.state
    if state is None:
        return _COMPLETED
    fields = state.value if isinstance(state.value, list) else []
    parse = _PARSERS.get(state.descriptor) if isinstance(state.descriptor, int) else None
    return parse(fields, disposition.raw_state) if parse else None


def dead_letter_properties(reason: str, description: str) -> Properties:
    """Returns the application properties that say why a message was dead-lettered."""
    return {
        "DeadLetterReason": encode.string(reason),
        "DeadLetterErrorDescription": encode.string(description),
    }


def encoded_members(data: bytes) -> dict[str, bytes]:
    """Returns the encoded values of a map by name, without nulls; raises DecodeError."""
    pairs = decode.raw_pairs(data, 0)
    if not all(isinstance(name, str) for name in pairs):
        raise DecodeError("a key of the map must be a string or symbol")
    values = {str(name): decode.raw_value(pair) for name, pair in pairs.items()}
    return {name: value for name, value in values.items() if value != encode.NULL}


def _field(described: bytes, index: int) -> bytes:
    """Returns an encoded field of an encoded described list; null if the list is shorter."""
    fields = decode.raw_items(described, decode.skip(described, 1))
    return fields[index] if len(fields) > index else encode.NULL


_COMPLETED = Outcome(Settlement.COMPLETE, frames.ACCEPTED)


def _parse_rejected(fields: list[Any], raw: bytes) -> Outcome:
    has_error = fields and isinstance(fields[_ERROR], Described)
    properties = encoded_members(_field(_field(raw, _ERROR), _INFO)) if has_error else {}
    return Outcome(Settlement.DEAD_LETTER, frames.REJECTED, properties)


def _parse_modified(fields: list[Any], raw: bytes) -> Outcome:
    is_deferred = len(fields) > _UNDELIVERABLE_HERE and fields[_UNDELIVERABLE_HERE]
    settlement = Settlement.DEFER if is_deferred else Settlement.ABANDON
    properties = encoded_members(_field(raw, _ANNOTATIONS)) if fields else {}
    return Outcome(settlement, frames.MODIFIED, properties)


# By the descriptor of the delivery state.
_PARSERS: Mapping[int, Callable[[list[Any], bytes], Outcome]] = {
    0x24: lambda _, __: _COMPLETED,
    0x25: _parse_rejected,
    0x26: lambda _, __: Outcome(Settlement.RELEASE, frames.RELEASED),
    0x27: _parse_modified,
}
