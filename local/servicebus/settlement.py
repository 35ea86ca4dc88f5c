"""What receivers do with messages, and how they say it by a delivery state (part 3, 3.4).

How Service Bus uses the states: learn.microsoft.com, "AMQP 1.0 protocol guide".
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, NamedTuple

from local.servicebus.amqp import frames
from local.servicebus.amqp.decode import Described

_INFO = 2  # of an error
_UNDELIVERABLE_HERE = 1  # of modified


class Settlement(Enum):
    """What a receiver can do with a message that it has locked."""

    COMPLETE = auto()
    ABANDON = auto()  # it failed: the delivery counts
    RELEASE = auto()  # it was not tried: the delivery does not count
    DEFER = auto()
    DEAD_LETTER = auto()


class Outcome(NamedTuple):
    """What is done, with what words, and what the client is told when it is."""

    settlement: Settlement
    confirmation: bytes
    reasons: Mapping[str, str] = {}


def outcome(state: Described | None) -> Outcome | None:
    """What `state` asks for, None for a state that settles nothing."""
    if state is None:
        return _COMPLETED
    fields = state.value if isinstance(state.value, list) else []
    read = _OUTCOMES.get(state.descriptor) if isinstance(state.descriptor, int) else None
    return read(fields) if read else None


_COMPLETED = Outcome(Settlement.COMPLETE, frames.ACCEPTED)


def _rejected(fields: list[Any]) -> Outcome:
    error = fields[0].value if fields and isinstance(fields[0], Described) else None
    info = error[_INFO] if isinstance(error, list) and len(error) > _INFO else None
    named = info.items() if isinstance(info, dict) else ()
    reasons = {str(name): str(text) for name, text in named if text is not None}
    return Outcome(Settlement.DEAD_LETTER, frames.REJECTED, reasons)


def _modified(fields: list[Any]) -> Outcome:
    is_deferred = len(fields) > _UNDELIVERABLE_HERE and fields[_UNDELIVERABLE_HERE]
    return Outcome(Settlement.DEFER if is_deferred else Settlement.ABANDON, frames.MODIFIED)


_OUTCOMES: Mapping[int, Callable[[list[Any]], Outcome]] = {
    0x24: lambda _: _COMPLETED,
    0x25: _rejected,
    0x26: lambda _: Outcome(Settlement.RELEASE, frames.RELEASED),
    0x27: _modified,
}
