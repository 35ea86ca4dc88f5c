"""Decoding of values (part 1: Types); DecodeError for whatever is not one."""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from local.servicebus.amqp.errors import DecodeError

T = TypeVar("T")
Decoder = Callable[[bytes, int], tuple[Any, int]]

# What Python raises when bytes are too few, too many or of a kind that is not known.
MALFORMED = (LookupError, ValueError, TypeError, OverflowError, RecursionError, struct.error)

_UINT = struct.Struct(">I").unpack_from
_UINT_PAIR = struct.Struct(">II").unpack_from
DESCRIBED = 0x00
NULL = 0x40


class Symbol(str):
    """A text of AMQP's type symbol."""

    __slots__ = ()


class Described(NamedTuple):
    """A value with what describes its type (part 1, 1.1.2)."""

    descriptor: Any
    value: Any


def value(data: bytes, at: int = 0) -> tuple[Any, int]:
    """The value that starts at `at`, and where the next one starts."""
    try:
        return _DECODERS[data[at]](data, at + 1)
    except MALFORMED as error:
        raise DecodeError(f"no AMQP value at {at}: {error!r}") from error


def _fixed(layout: str) -> Decoder:
    form = struct.Struct(layout)
    unpack, size = form.unpack_from, form.size
    return lambda data, at: (unpack(data, at)[0], at + size)


def _constant(constant: Any) -> Decoder:
    return lambda _, at: (constant, at)


def _octet(data: bytes, at: int) -> tuple[int, int]:
    return data[at], at + 1


def _variable8(convert: Callable[[bytes], Any]) -> Decoder:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        end = at + 1 + data[at]
        return convert(_cut(data, at + 1, end)), end

    return read


def _variable32(convert: Callable[[bytes], Any]) -> Decoder:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        end = at + 4 + _UINT(data, at)[0]
        return convert(_cut(data, at + 4, end)), end

    return read


def _cut(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        raise ValueError("it is cut off")
    return data[start:end]


def _compound8(read: Callable[[bytes, int, int], tuple[T, int]]) -> Decoder:
    return lambda data, at: _within(read, data, at + 2, data[at + 1], at + 1 + data[at])


def _compound32(read: Callable[[bytes, int, int], tuple[T, int]]) -> Decoder:
    def start(data: bytes, at: int) -> tuple[T, int]:
        size, count = _UINT_PAIR(data, at)
        return _within(read, data, at + 8, count, at + 4 + size)

    return start


def _within(
    read: Callable[[bytes, int, int], tuple[T, int]], data: bytes, at: int, count: int, end: int
) -> tuple[T, int]:
    # An item may take no byte at all, so that a short array could claim four billion of them.
    if count > len(data):
        raise ValueError("it counts more items than there are bytes")
    result, ended = read(data, at, count)
    if ended != end:
        raise ValueError("its size is not that of its items")
    return result, end


def _items(data: bytes, at: int, count: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    for _ in range(count):
        code = data[at]
        at += 1
        if code == NULL:  # most are, and a call for each of them would cost the most
            items.append(None)
        else:
            item, at = _DECODERS[code](data, at)
            items.append(item)
    return items, at


def _pairs(data: bytes, at: int, count: int) -> tuple[dict[Any, Any], int]:
    items, at = _items(data, at, count)
    return dict(zip(items[::2], items[1::2], strict=True)), at


def _array(data: bytes, at: int, count: int) -> tuple[list[Any], int]:
    code, at = data[at], at + 1
    if code == DESCRIBED:
        _, at = _DECODERS[data[at]](data, at + 1)
        code, at = data[at], at + 1
    read, items = _DECODERS[code], []
    for _ in range(count):
        item, at = read(data, at)
        items.append(item)
    return items, at


def _described(data: bytes, at: int) -> tuple[Described, int]:
    code, at = _DECODERS[data[at]](data, at + 1)
    described, at = _DECODERS[data[at]](data, at + 1)
    return Described(code, described), at


def _uuid(data: bytes, at: int) -> tuple[UUID, int]:
    return UUID(bytes=data[at : at + 16]), at + 16


def _text(data: bytes) -> str:
    return data.decode("utf-8")


def _symbol(data: bytes) -> Symbol:
    return Symbol(data.decode("ascii"))


# Part 1, 1.6, by constructor. Decimals stay bytes: nobody here counts with them.
_DECODERS: dict[int, Decoder] = {
    0x00: _described,
    0x40: _constant(None),
    0x41: _constant(True),
    0x42: _constant(False),
    0x43: _constant(0),
    0x44: _constant(0),
    0x45: lambda _, at: ([], at),
    0x56: lambda data, at: (data[at] != 0, at + 1),
    0x50: _octet,
    0x51: _fixed(">b"),
    0x52: _octet,
    0x53: _octet,
    0x54: _fixed(">b"),
    0x55: _fixed(">b"),
    0x60: _fixed(">H"),
    0x61: _fixed(">h"),
    0x70: _fixed(">I"),
    0x71: _fixed(">i"),
    0x72: _fixed(">f"),
    0x73: _fixed(">I"),
    0x80: _fixed(">Q"),
    0x81: _fixed(">q"),
    0x82: _fixed(">d"),
    0x83: _fixed(">q"),
    0x74: _fixed("4s"),
    0x84: _fixed("8s"),
    0x94: _fixed("16s"),
    0x98: _uuid,
    0xA0: _variable8(bytes),
    0xA1: _variable8(_text),
    0xA3: _variable8(_symbol),
    0xB0: _variable32(bytes),
    0xB1: _variable32(_text),
    0xB3: _variable32(_symbol),
    0xC0: _compound8(_items),
    0xC1: _compound8(_pairs),
    0xE0: _compound8(_array),
    0xD0: _compound32(_items),
    0xD1: _compound32(_pairs),
    0xF0: _compound32(_array),
}
