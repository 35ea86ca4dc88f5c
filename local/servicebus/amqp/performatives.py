"""Decodes a client's frames (part 2, 2.3) and their performatives (2.7; part 5, 5.3.3)."""

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from local.servicebus.amqp import decode
from local.servicebus.amqp.decode import Described, Symbol
from local.servicebus.amqp.encode import NULL
from local.servicebus.amqp.errors import AmqpError, Condition

SENDER, RECEIVER = False, True
SASL = 1
_HEADER_SIZE = 8
_STATE = 4  # index of the field in a disposition
_CHANNEL = struct.Struct(">6xH").unpack_from


class SaslInit(NamedTuple):
    mechanism: str


class Open(NamedTuple):
    container_id: str
    hostname: str | None = None
    max_frame_size: int | None = None
    channel_max: int | None = None
    idle_time_out: int | None = None


class Begin(NamedTuple):
    remote_channel: int | None
    next_outgoing_id: int
    incoming_window: int
    outgoing_window: int


class Attach(NamedTuple):
    name: str
    handle: int
    role: bool
    snd_settle_mode: int | None = None
    rcv_settle_mode: int | None = None
    source: Any = None
    target: Any = None
    unsettled: dict[Any, Any] | None = None
    incomplete_unsettled: bool | None = None
    initial_delivery_count: int | None = None
    max_message_size: int | None = None
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: dict[Any, Any] | None = None
    raw: Sequence[bytes] = ()  # encoded fields: settle modes and termini are echoed


class Flow(NamedTuple):
    next_incoming_id: int | None
    incoming_window: int
    next_outgoing_id: int
    outgoing_window: int
    handle: int | None = None
    delivery_count: int | None = None
    link_credit: int | None = None
    available: int | None = None
    drain: bool | None = None
    echo: bool | None = None


class Transfer(NamedTuple):
    handle: int
    delivery_id: int | None = None
    delivery_tag: bytes | None = None
    message_format: int | None = None
    settled: bool | None = None
    more: bool | None = None
    rcv_settle_mode: int | None = None
    state: Any = None
    resume: bool | None = None
    aborted: bool | None = None


class Disposition(NamedTuple):
    role: bool
    first: int
    last: int | None = None
    settled: bool | None = None
    state: Described | None = None
    raw_state: bytes = NULL  # encoded: properties to modify are copied undecoded


class Detach(NamedTuple):
    handle: int
    closed: bool | None = None


class End(NamedTuple):
    error: Any = None


class Close(NamedTuple):
    error: Any = None


Performative = (
    SaslInit | Open | Begin | Attach | Flow | Transfer | Disposition | Detach | End | Close
)

_NUMBER, _FLAG, _TEXT = (int,), (bool,), (str, Symbol)
_NUMBER_OR_NONE, _FLAG_OR_NONE = (int, type(None)), (bool, type(None))
_BYTES_OR_NONE, _MAP_OR_NONE = (bytes, type(None)), (dict, type(None))
_TERMINUS = (Described, type(None))
_ANY = None
_UINT_END = 2**32

# By descriptor: the performative and the allowed types of its first fields; each int is a uint.
_KINDS: dict[int, tuple[Callable[..., Performative], tuple[tuple[type, ...] | None, ...]]] = {
    0x10: (Open, (_TEXT, _ANY, _NUMBER_OR_NONE, _NUMBER_OR_NONE, _NUMBER_OR_NONE)),
    0x11: (Begin, (_NUMBER_OR_NONE, _NUMBER, _NUMBER, _NUMBER)),
    0x12: (
        Attach,
        (
            *(_TEXT, _NUMBER, _FLAG, _NUMBER_OR_NONE, _NUMBER_OR_NONE, _TERMINUS, _TERMINUS),
            *(_ANY, _ANY, _NUMBER_OR_NONE, _ANY, _ANY, _ANY, _MAP_OR_NONE),
        ),
    ),
    0x13: (
        Flow,
        (
            *(_NUMBER_OR_NONE, _NUMBER, _NUMBER, _NUMBER, _NUMBER_OR_NONE, _NUMBER_OR_NONE),
            *(_NUMBER_OR_NONE, _NUMBER_OR_NONE, _FLAG_OR_NONE, _FLAG_OR_NONE),
        ),
    ),
    0x14: (
        Transfer,
        (
            *(_NUMBER, _NUMBER_OR_NONE, _BYTES_OR_NONE, _NUMBER_OR_NONE),
            *(_FLAG_OR_NONE, _FLAG_OR_NONE, _ANY, _ANY, _ANY, _FLAG_OR_NONE),
        ),
    ),
    0x15: (Disposition, (_FLAG, _NUMBER, _NUMBER_OR_NONE, _FLAG_OR_NONE, _TERMINUS)),
    0x16: (Detach, (_NUMBER, _FLAG_OR_NONE)),
    0x17: (End, ()),
    0x18: (Close, ()),
    0x41: (SaslInit, (_TEXT,)),
}


class Frame(NamedTuple):
    """A decoded frame."""

    channel: int
    performative: Performative
    payload: bytes


def read(frame: bytes) -> Frame | None:
    """Returns the decoded frame, or None for an empty one; raises AmqpError if it is malformed."""
    start = frame[4] * 4
    if start < _HEADER_SIZE:
        text = f"The data offset of a frame must be at least {_HEADER_SIZE} bytes."
        raise AmqpError(Condition.FRAMING_ERROR, text)
    if start >= len(frame):
        return None
    code, at = decode.descriptor(frame, start)
    fields, end = decode.value(frame, at)
    if code not in _KINDS or type(fields) is not list:
        text = f"A frame must hold a list with a performative's descriptor, not {code:#x}."
        raise AmqpError(Condition.FRAMING_ERROR, text)
    performative = _performative(code, fields)
    if type(performative) is Attach:
        performative = _with_raw_fields(performative, frame, at)
    elif type(performative) is Disposition and performative.state and performative.state.value:
        performative = performative._replace(raw_state=decode.raw_items(frame, at)[_STATE])
    return Frame(_CHANNEL(frame)[0], performative, frame[end:])


def _performative(code: int, fields: list[Any]) -> Performative:
    kind, types = _KINDS[code]
    for field, allowed in zip(fields, types, strict=False):
        if allowed is None:
            continue
        field_type = type(field)
        if field_type not in allowed or (field_type is int and not 0 <= field < _UINT_END):
            text = f"A field of performative {code:#x} has the wrong type."
            raise AmqpError(Condition.INVALID_FIELD, text)
    try:
        # The broker does not read the fields after these.
        return kind(*fields[: len(types)])
    except TypeError as error:
        raise AmqpError(Condition.INVALID_FIELD, str(error)) from error


def _with_raw_fields(attach: Attach, frame: bytes, at: int) -> Attach:
    raw = decode.raw_items(frame, at)
    return attach._replace(raw=raw + [NULL] * (len(attach) - len(raw)))
