"""Encodes the values that a broker writes (part 1: Types); every function returns bytes."""

import struct
from collections.abc import Iterable, Sequence
from uuid import UUID

NULL, TRUE, FALSE = b"\x40", b"\x41", b"\x42"
_BYTE = 256

_DESCRIPTORS = [bytes((0x00, 0x53, code)) for code in range(_BYTE)]

_octets2 = struct.Struct("BB").pack
_octets3 = struct.Struct("BBB").pack
_ushort = struct.Struct(">H").pack
_uint = struct.Struct(">I").pack
_int = struct.Struct(">i").pack
_ulong = struct.Struct(">Q").pack
_long = struct.Struct(">q").pack


def boolean(value: bool) -> bytes:
    return TRUE if value else FALSE


def ubyte(value: int) -> bytes:
    return bytes((0x50, value))


def ushort(value: int) -> bytes:
    return b"\x60" + _ushort(value)


def uint(value: int) -> bytes:
    if value < _BYTE:
        return _octets2(0x52, value) if value else b"\x43"
    return b"\x70" + _uint(value)


def ulong(value: int) -> bytes:
    return bytes((0x53, value)) if value < _BYTE else b"\x80" + _ulong(value)


def int_(value: int) -> bytes:
    return b"\x71" + _int(value)


def long(value: int) -> bytes:
    return b"\x81" + _long(value)


def timestamp(milliseconds: int) -> bytes:
    return b"\x83" + _long(milliseconds)


def uuid(value: UUID) -> bytes:
    return b"\x98" + value.bytes


def binary(value: bytes) -> bytes:
    return _variable(0xA0, value)


def string(value: str) -> bytes:
    return _variable(0xA1, value.encode())


def symbol(value: str) -> bytes:
    return _variable(0xA3, value.encode())


def list_(*items: bytes) -> bytes:
    return _compound(0xC0, b"".join(items), len(items)) if items else b"\x45"


def map_(*pairs: tuple[bytes, bytes]) -> bytes:
    return raw_map([key + value for key, value in pairs])


def raw_map(pairs: Sequence[bytes]) -> bytes:
    """Returns the map of `pairs`, each an encoded key followed by its encoded value."""
    return _compound(0xC1, b"".join(pairs), 2 * len(pairs))


def symbols(values: Iterable[str]) -> bytes:
    return _array(0xB3, [_uint(len(value)) + value.encode() for value in values])


def strings(values: Iterable[str]) -> bytes:
    return _array(0xB1, [_uint(len(text)) + text for text in map(str.encode, values)])


def longs(values: Iterable[int]) -> bytes:
    return _array(0x81, list(map(_long, values)))


def timestamps(values: Iterable[int]) -> bytes:
    return _array(0x83, list(map(_long, values)))


def described(code: int, value: bytes) -> bytes:
    return _DESCRIPTORS[code] + value


def _variable(code: int, value: bytes) -> bytes:
    size = len(value)
    if size < _BYTE:
        return _octets2(code, size) + value
    return bytes((code + 16,)) + _uint(size) + value


def _compound(code: int, items: bytes, count: int) -> bytes:
    size = len(items) + 1
    if size < _BYTE and count < _BYTE:
        return _octets3(code, size, count) + items
    return bytes((code + 16,)) + _uint(size + 3) + _uint(count) + items


def _array(code: int, items: Sequence[bytes]) -> bytes:
    data = b"".join(items)
    return b"\xf0" + _uint(len(data) + 5) + _uint(len(items)) + bytes((code,)) + data
