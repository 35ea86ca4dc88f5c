"""What receivers do with messages, and how they say it by a delivery state (part 3, 3.4).

How Service Bus uses the states: learn.microsoft.com, "AMQP 1.0 protocol guide".
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, NamedTuple

from local.servicebus.amqp import encode, frames, spans
from local.servicebus.amqp.decode import Described
from local.servicebus.amqp.errors import DecodeError
from local.servicebus.amqp.performatives import Disposition

_ERROR, _INFO = 0, 2  # of rejected, and of an error
_UNDELIVERABLE_HERE, _ANNOTATIONS = 1, 2  # of modified


Properties = Mapping[str, bytes]
"""Application properties by their names, encoded."""

NOTHING: Properties = {}


class Settlement(Enum):
    """What a receiver can do with a message that it has locked."""

    COMPLETE = auto()
    ABANDON = auto()  # it failed: the delivery counts
    RELEASE = auto()  # it was not tried: the delivery does not count
    DEFER = auto()
    DEAD_LETTER = auto()


class Outcome(NamedTuple):
    """What is done, what the client is told when it is, and what it writes into the message."""

    settlement: Settlement
    confirmation: bytes
    properties: Properties = NOTHING


def outcome(disposition: Disposition) -> Outcome | None:
    """What it asks for, None for a state that settles nothing."""
    state = disposition.state
    if state is None:
        return _COMPLETED
    fields = state.value if isinstance(state.value, list) else []
    read = _OUTCOMES.get(state.descriptor) if isinstance(state.descriptor, int) else None
    return read(fields, disposition.raw_state) if read else None


def because(reason: str, description: str) -> Properties:
    """What a dead-lettered message is told in its application properties."""
    return {
        "DeadLetterReason": encode.string(reason),
        "DeadLetterErrorDescription": encode.string(description),
    }


def encoded_values(data: bytes) -> dict[str, bytes]:
    """Those of a map by their names, without nulls; DecodeError if a name is no text."""
    pairs = spans.raw_pairs(data, 0)
    if not all(isinstance(name, str) for name in pairs):
        raise DecodeError("a map with a name that is no text")
    values = {str(name): spans.value_of(pair) for name, pair in pairs.items()}
    return {name: value for name, value in values.items() if value != encode.NULL}


def _field(described: bytes, index: int) -> bytes:
    """One of a described list's, encoded; null if there are not so many."""
    fields = spans.raw_items(described, spans.skip(described, 1))
    return fields[index] if len(fields) > index else encode.NULL


_COMPLETED = Outcome(Settlement.COMPLETE, frames.ACCEPTED)


def _rejected(fields: list[Any], raw: bytes) -> Outcome:
    has_error = fields and isinstance(fields[_ERROR], Described)
    properties = encoded_values(_field(_field(raw, _ERROR), _INFO)) if has_error else {}
    return Outcome(Settlement.DEAD_LETTER, frames.REJECTED, properties)


def _modified(fields: list[Any], raw: bytes) -> Outcome:
    is_deferred = len(fields) > _UNDELIVERABLE_HERE and fields[_UNDELIVERABLE_HERE]
    settlement = Settlement.DEFER if is_deferred else Settlement.ABANDON
    properties = encoded_values(_field(raw, _ANNOTATIONS)) if fields else {}
    return Outcome(settlement, frames.MODIFIED, properties)


_OUTCOMES: Mapping[int, Callable[[list[Any], bytes], Outcome]] = {
    0x24: lambda _, __: _COMPLETED,
    0x25: _rejected,
    0x26: lambda _, __: Outcome(Settlement.RELEASE, frames.RELEASED),
    0x27: _modified,
}
