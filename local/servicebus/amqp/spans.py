"""Where encoded values lie, so that they can be passed on unread (part 1: Types)."""

import struct
from collections.abc import Iterator
from typing import Any

from local.servicebus.amqp.decode import DESCRIBED, MALFORMED, NULL, value
from local.servicebus.amqp.errors import DecodeError

_UINT = struct.Struct(">I").unpack_from
_SMALL_ULONG = 0x53

_WIDTHS = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}

# Of null, lists and maps: how far it is to the first item, past constructor, size and count.
_HEADERS = {NULL: 1, 0x45: 1, 0xC0: 3, 0xC1: 3, 0xD0: 9, 0xD1: 9}


def skip(data: bytes, at: int) -> int:
    """Where the value that starts at `at` ends."""
    try:
        end = _end(data, at)
    except MALFORMED as error:
        raise DecodeError(f"no AMQP value at {at}: {error!r}") from error
    if end > len(data):
        raise DecodeError(f"the value at {at} is cut off")
    return end


def sections(message: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Code, start, start of the value and end of each section of a message (part 3, 3.2)."""
    start, length = 0, len(message)
    while start < length:
        code, at = descriptor(message, start)
        end = skip(message, at)
        yield code, start, at, end
        start = end


def descriptor(data: bytes, at: int) -> tuple[int, int]:
    """The numeric code of the described value that starts at `at`, and where the value starts."""
    try:
        if data[at] == DESCRIBED and data[at + 1] == _SMALL_ULONG:
            return data[at + 2], at + 3
    except IndexError as error:
        raise DecodeError(f"the value at {at} is cut off") from error
    code, start = value(data, at + 1)
    if data[at] != DESCRIBED or not isinstance(code, int):
        raise DecodeError(f"no described value at {at}")
    return code, start


def raw_items(data: bytes, at: int) -> list[bytes]:
    """The encoded items of the list or map that starts at `at`, so that they can be passed on."""
    end = skip(data, at)
    if data[at] not in _HEADERS:
        raise DecodeError(f"no list or map at {at}")
    start, items = at + _HEADERS[data[at]], []
    try:
        while start < end:
            following = _end(data, start)
            items.append(data[start:following])
            start = following
    except MALFORMED as error:
        raise DecodeError(f"no AMQP value at {start}: {error!r}") from error
    if start != end:
        raise DecodeError(f"the items of the list or map at {at} are cut off")
    return items


def raw_pairs(data: bytes, at: int) -> dict[Any, bytes]:
    """Each key of the map that starts at `at`, with the encoded key and value."""
    items = raw_items(data, at)
    if len(items) % 2:
        raise DecodeError("a map with a key that has no value")
    try:
        return {
            value(key)[0]: key + item for key, item in zip(items[::2], items[1::2], strict=True)
        }
    except TypeError as error:
        raise DecodeError("a map with a key that cannot be one") from error


def value_of(pair: bytes) -> bytes:
    """The encoded value of what `raw_pairs` gives for a key."""
    return pair[skip(pair, 0) :]


def _end(data: bytes, at: int) -> int:
    code = data[at]
    while code == DESCRIBED:
        at = _end(data, at + 1)
        code = data[at]
    at += 1
    # The high half of a constructor says how its value is laid out (part 1, figure 1.3).
    layout = code >> 4
    if layout in (0xA, 0xC, 0xE):
        return at + 1 + data[at]
    if layout in (0xB, 0xD, 0xF):
        return at + 4 + int(_UINT(data, at)[0])
    return at + _WIDTHS[layout]
