"""Raw AMQP for tests: frames to send over a socket, valid or not, and a reader of frames."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from local.servicebus import Broker
from local.servicebus.amqp import decode, encode, frames

NULL = encode.NULL
OPEN, BEGIN, ATTACH, FLOW, TRANSFER = 0x10, 0x11, 0x12, 0x13, 0x14
DISPOSITION, DETACH, END, CLOSE = 0x15, 0x16, 0x17, 0x18


@contextmanager
def connected(broker: Broker) -> Iterator[socket.socket]:
    """Yields a socket with a time-out of five seconds."""
    with socket.create_connection(("127.0.0.1", broker.port), timeout=5) as client:
        yield client


def performative(code: int, *fields: bytes, payload: bytes = b"") -> bytes:
    """Returns a frame on channel 0."""
    return frames.frame(0, encode.described(code, encode.list_(*fields)), payload)


def opening(*, idle_time_out: bytes = NULL) -> bytes:
    """Returns protocol header, open and begin."""
    number = encode.uint(5000)
    return (
        frames.HEADER
        + performative(OPEN, encode.string("test"), NULL, NULL, NULL, idle_time_out)
        + performative(BEGIN, NULL, encode.uint(0), number, number)
    )


def attach(address: str, *, handle: int = 0, receives: bool = False) -> bytes:
    """Returns an attach to a node."""
    source, target = (
        encode.described(c, encode.list_(encode.string(address))) for c in (0x28, 0x29)
    )
    return performative(
        *(ATTACH, encode.string(f"link-{handle}"), encode.uint(handle), encode.boolean(receives)),
        *(NULL, NULL, source, target, NULL, NULL, encode.uint(0)),
    )


def credit(number: int, *, handle: int) -> bytes:
    """Returns a flow that grants a link credit for `number` messages."""
    numbers = (1, 5000, 0, 5000, handle, 0, number)
    return performative(FLOW, *map(encode.uint, numbers))


def transfer(message: bytes, *, handle: int = 0, delivery: int = 0, more: bool = False) -> bytes:
    """Returns a transfer of a message or of a part of it."""
    return performative(
        *(TRANSFER, encode.uint(handle), encode.uint(delivery), encode.binary(b"tag")),
        *(encode.uint(0), encode.FALSE, encode.boolean(more)),
        payload=message,
    )


def message(data: bytes) -> bytes:
    """Returns a message with one data section."""
    return encode.described(0x75, encode.binary(data))


def request(operation: str, body: bytes, *, reply_to: str) -> bytes:
    """Returns a request to a management node."""
    properties = encode.list_(encode.ulong(1), *[NULL] * 3, encode.string(reply_to))
    name = encode.map_((encode.string("operation"), encode.string(operation)))
    sections = ((0x73, properties), (0x74, name), (0x77, body))
    return b"".join(encode.described(code, section) for code, section in sections)


def read(client: socket.socket, until: int | None = None) -> list[tuple[int, list[Any]]]:
    """Returns code and fields of each frame up to the first with code `until`, or to the end."""
    frames: list[tuple[int, list[Any]]] = []
    data = b""
    while until is None or until not in [code for code, _ in frames]:
        more = client.recv(65536)
        data += more
        if data.startswith(b"AMQP"):
            data = data[8:]
        while len(data) >= 8 and len(data) >= (size := int.from_bytes(data[:4], "big")):
            if size > 8:
                code, at = decode.descriptor(data, 8)
                frames.append((code, decode.value(data, at)[0]))
            else:
                frames.append((0, []))
            data = data[size:]
        if not more:
            break
    return frames


def condition(fields: list[Any]) -> str:
    """Returns the error condition of the last error among the fields."""
    errors = [field.value for field in fields if isinstance(field, decode.Described)]
    return str(errors[-1][0])
