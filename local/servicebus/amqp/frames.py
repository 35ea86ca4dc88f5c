"""Encodes frames and delivery states that a broker writes (part 2, 2.3 and 2.7; part 3, 3.4)."""

import struct

from local.servicebus.amqp import encode
from local.servicebus.amqp.encode import NULL
from local.servicebus.amqp.errors import AmqpError
from local.servicebus.amqp.performatives import RECEIVER, SASL, Attach

HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
EMPTY = b"\x00\x00\x00\x08\x02\x00\x00\x00"

SESSION_WINDOW = 5000  # transfer frames that a client may send before the next flow
TRANSFER_OVERHEAD = 64  # bytes; upper bound for a transfer frame without its payload

# Delivery states without fields (part 3, 3.4).
ACCEPTED = b"\x00\x53\x24\x45"
RELEASED = b"\x00\x53\x26\x45"
MODIFIED = b"\x00\x53\x27\x45"
REJECTED = b"\x00\x53\x25\x45"

_PREFIX = struct.Struct(">IBBH").pack
_MESSAGE_FORMAT = b"\x43"  # uint 0: an AMQP message


def frame(channel: int, performative: bytes, payload: bytes = b"", kind: int = 0) -> bytes:
    """Returns the frame with an encoded performative and its payload."""
    size = 8 + len(performative) + len(payload)
    return _PREFIX(size, 2, kind, channel) + performative + payload


def sasl_mechanisms(*names: str) -> bytes:
    return frame(0, encode.described(0x40, encode.list_(encode.symbols(names))), kind=SASL)


def sasl_ok() -> bytes:
    return frame(0, encode.described(0x44, encode.list_(encode.ubyte(0))), kind=SASL)


def open_(container: str, max_frame_size: int, channel_max: int, idle_time_out: int) -> bytes:
    fields = encode.list_(
        encode.string(container),
        NULL,
        encode.uint(max_frame_size),
        encode.ushort(channel_max),
        encode.uint(idle_time_out),
    )
    return frame(0, encode.described(0x10, fields))


def close(error: AmqpError | None) -> bytes:
    return frame(0, encode.described(0x18, encode.list_(*_error(error))))


def begin(channel: int, handle_max: int) -> bytes:
    window = encode.uint(SESSION_WINDOW)
    fields = encode.list_(
        encode.ushort(channel), encode.uint(1), window, window, encode.uint(handle_max)
    )
    return frame(channel, encode.described(0x11, fields))


def end(channel: int) -> bytes:
    return frame(channel, encode.described(0x17, encode.list_()))


def attach(
    channel: int,
    request: Attach,
    *,
    max_message_size: int,
    source: bytes | None = None,
    properties: bytes = NULL,
) -> bytes:
    """Returns the attach that accepts `request`: the same link, with the opposite role."""
    settle_modes, termini = request.raw[3:5], request.raw[5:7]
    fields = encode.list_(
        encode.string(request.name),
        encode.uint(request.handle),
        encode.boolean(not request.role),
        *settle_modes,
        source or termini[0],
        termini[1],
        NULL,
        NULL,
        encode.uint(0) if request.role is RECEIVER else NULL,
        encode.ulong(max_message_size),
        NULL,
        NULL,
        properties,
    )
    return frame(channel, encode.described(0x12, fields))


def refused_attach(channel: int, request: Attach, error: AmqpError) -> bytes:
    """Returns an attach without a terminus and a detach with the error (2.6.3)."""
    count = encode.uint(0) if request.role is RECEIVER else NULL
    fields = encode.list_(
        encode.string(request.name),
        encode.uint(request.handle),
        encode.boolean(not request.role),
        *[NULL] * 6,
        count,
    )
    return frame(channel, encode.described(0x12, fields)) + detach(channel, request.handle, error)


def detach(
    channel: int, handle: int, error: AmqpError | None = None, *, closed: bool = True
) -> bytes:
    fields = encode.list_(encode.uint(handle), encode.boolean(closed), *_error(error))
    return frame(channel, encode.described(0x16, fields))


def flow(
    channel: int,
    windows: tuple[int, int],
    link: tuple[int, int, int] | None = None,
    *,
    drain: bool = False,
) -> bytes:
    """
    Returns a flow frame.

    `windows`: next incoming and next outgoing transfer id.
    `link`: handle, delivery count and link credit; without it, the flow is of the session only.
    """
    incoming, outgoing = windows
    fields = [
        encode.uint(number) for number in (incoming, SESSION_WINDOW, outgoing, SESSION_WINDOW)
    ]
    if link:
        fields += [*map(encode.uint, link), encode.uint(0), encode.boolean(drain)]
    return frame(channel, encode.described(0x13, encode.list_(*fields)))


def transfer(handle: int, delivery: int, tag: bytes, *, settled: bool, more: bool) -> bytes:
    """Returns a transfer performative, without frame and payload."""
    fields = encode.list_(
        encode.uint(handle),
        encode.uint(delivery),
        encode.binary(tag),
        _MESSAGE_FORMAT,
        encode.boolean(settled),
        encode.boolean(more),
    )
    return encode.described(0x14, fields)


def disposition(channel: int, role: bool, delivery: int, state: bytes) -> bytes:
    """Returns a disposition that settles one delivery."""
    fields = encode.list_(encode.boolean(role), encode.uint(delivery), NULL, encode.TRUE, state)
    return frame(channel, encode.described(0x15, fields))


def rejected(error: AmqpError) -> bytes:
    """Returns the delivery state `rejected` with an error."""
    return encode.described(0x25, encode.list_(*_error(error)))


def _error(error: AmqpError | None) -> tuple[bytes, ...]:
    if error is None:
        return ()
    # The info field is optional, but azure-servicebus 7.15.0 hangs if it is left out.
    fields = encode.symbol(error.condition), encode.string(error.description), NULL
    return (encode.described(0x1D, encode.list_(*fields)),)
