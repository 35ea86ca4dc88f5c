"""
Decodes values, or finds where they end so that they can be copied undecoded (part 1: Types).

Every function raises DecodeError for bytes that are not valid AMQP.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from local.servicebus.amqp.errors import DecodeError

T = TypeVar("T")
Decoder = Callable[[bytes, int], tuple[Any, int]]

# What Python raises while it decodes bytes that are truncated or have an unknown constructor.
_MALFORMED = (LookupError, ValueError, TypeError, OverflowError, RecursionError, struct.error)

_UINT = struct.Struct(">I").unpack_from
_UINT_PAIR = struct.Struct(">II").unpack_from
_DESCRIBED, _NULL, _SMALL_ULONG = 0x00, 0x40, 0x53

# Width of a fixed-width value by the high half of its constructor (part 1, figure 1.3).
_WIDTHS = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}

# Bytes of constructor, size and count before the first item of a null, list or map.
_COMPOUND_PREFIXES = {_NULL: 1, 0x45: 1, 0xC0: 3, 0xC1: 3, 0xD0: 9, 0xD1: 9}
COMPOUND_CONSTRUCTORS = frozenset({0x45, 0xC0, 0xC1, 0xD0, 0xD1, 0xE0, 0xF0})
"""Constructors of lists, maps and arrays."""


class Symbol(str):
    """A string of AMQP's type symbol."""

    __slots__ = ()


class Described(NamedTuple):
    """A described value: the descriptor names its type (part 1, 1.1.2)."""

    descriptor: Any
    value: Any


def value(data: bytes, at: int = 0) -> tuple[Any, int]:
    """Returns the value that starts at `at`, and where it ends."""
    try:
        return _DECODERS[data[at]](data, at + 1)
    except _MALFORMED as error:
        raise DecodeError(f"invalid AMQP value at byte {at}: {error!r}") from error


def skip(data: bytes, at: int) -> int:
    """Returns where the value that starts at `at` ends, without decoding it."""
    try:
        end = _end(data, at)
    except _MALFORMED as error:
        raise DecodeError(f"invalid AMQP value at byte {at}: {error!r}") from error
    if end > len(data):
        raise DecodeError(f"truncated value at byte {at}")
    return end


def sections(message: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yields code, start, start of the value, and end of each message section (part 3, 3.2)."""
    start, length = 0, len(message)
    while start < length:
        code, at = descriptor(message, start)
        end = skip(message, at)
        yield code, start, at, end
        start = end


def descriptor(data: bytes, at: int) -> tuple[int, int]:
    """Returns the numeric descriptor of the described value at `at`, and where its value starts."""
    try:
        if data[at] == _DESCRIBED and data[at + 1] == _SMALL_ULONG:
            return data[at + 2], at + 3
    except IndexError as error:
        raise DecodeError(f"truncated value at byte {at}") from error
    code, start = value(data, at + 1)
    if data[at] != _DESCRIBED or not isinstance(code, int):
        raise DecodeError(f"a described value with a numeric descriptor is expected at byte {at}")
    return code, start


def raw_items(data: bytes, at: int) -> list[bytes]:
    """Returns the encoded items of the list or map that starts at `at`."""
    end = skip(data, at)
    if data[at] not in _COMPOUND_PREFIXES:
        raise DecodeError(f"a list or map is expected at byte {at}")
    start, items = at + _COMPOUND_PREFIXES[data[at]], []
    try:
        while start < end:
            item_end = _end(data, start)
            items.append(data[start:item_end])
            start = item_end
    except _MALFORMED as error:
        raise DecodeError(f"invalid AMQP value at byte {start}: {error!r}") from error
    if start != end:
        raise DecodeError(f"truncated items in the list or map at byte {at}")
    return items


def raw_pairs(data: bytes, at: int) -> dict[Any, bytes]:
    """Returns, by decoded key, each encoded key-value pair of the map that starts at `at`."""
    items = raw_items(data, at)
    if len(items) % 2:
        raise DecodeError("a map must have a value for each key")
    try:
        return {
            value(key)[0]: key + item for key, item in zip(items[::2], items[1::2], strict=True)
        }
    except TypeError as error:
        raise DecodeError("a map key must not be a list or map") from error


def raw_value(pair: bytes) -> bytes:
    """Returns the encoded value of an encoded pair from `raw_pairs`."""
    return pair[skip(pair, 0) :]


def _end(data: bytes, at: int) -> int:
    code = data[at]
    while code == _DESCRIBED:
        at = _end(data, at + 1)
        code = data[at]
    at += 1
    # The high half of a constructor gives the layout of the value (part 1, figure 1.3).
    layout = code >> 4
    if layout in (0xA, 0xC, 0xE):
        return at + 1 + data[at]
    if layout in (0xB, 0xD, 0xF):
        return at + 4 + int(_UINT(data, at)[0])
    return at + _WIDTHS[layout]


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
        raise ValueError("truncated value")
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
    # Array items may have a width of 0, so a short array could claim four billion items.
    if count > len(data):
        raise ValueError("count exceeds the number of bytes")
    result, ended = read(data, at, count)
    if ended != end:
        raise ValueError("size does not match the items")
    return result, end


def _items(data: bytes, at: int, count: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    for _ in range(count):
        code = data[at]
        at += 1
        if code == _NULL:  # the most frequent item: no call for it
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
    if code == _DESCRIBED:
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


# Decoders by constructor (part 1, 1.6). Decimals stay bytes: nothing here computes with them.
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
