"""
Decoding of received messages that the Service Bus SDK cannot decode as a whole.

The SDK (7.15) fails for decimals, even those that it wrote (Azure/azure-sdk-for-python#38717), and for
types that it does not know, such as the `char` of Java clients. Its link then closes without an
error, and one such message hides all messages behind it.
"""

from collections.abc import Iterator
from typing import Any

UNDECODABLE = b"x-opt-undecodable"
"""The delivery annotation with the names of the parts that are missing; Service Bus sends none."""

# Sections of a message (AMQP 1.0, part 3, 3.2); those with a map are decoded entry by entry.
_SECTIONS = {
    0x70: "header",
    0x71: "delivery annotation",
    0x72: "annotation",
    0x73: "properties",
    0x74: "application property",
    0x75: "body",
    0x76: "body",
    0x77: "body",
    0x78: "footer entry",
}
_MAPS = {0x71, 0x72, 0x74, 0x78}
_MAP32 = 0xD1
# The width of a value by the first digit of its constructor (part 1, 1.2), or of its size.
_FIXED_WIDTHS = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}
_SIZE_WIDTHS = {0xA: 1, 0xB: 4, 0xC: 1, 0xD: 4, 0xE: 1, 0xF: 4}


def receive_undecodable_messages() -> None:
    """Makes the SDK return messages without the parts that it cannot decode."""
    from azure.servicebus._pyamqp.aio import _receiver_async
    from azure.servicebus._transport import _pyamqp_transport

    # The SDK has no hook: these are the functions that receive, and peek or receive deferred ones.
    for module in (_receiver_async, _pyamqp_transport):
        setattr(module, "decode_payload", _decode_payload)  # noqa: B010  typed as constant


def _decode_payload(payload: memoryview) -> Any:
    from azure.servicebus._pyamqp._decode import decode_payload

    try:
        return decode_payload(payload)
    except Exception:  # noqa: BLE001  the SDK raises many kinds of errors
        missing: list[str] = []
        kept = b"".join(_decodable_sections(bytes(payload), missing))
        message = decode_payload(memoryview(kept))
        annotations = {**(message.delivery_annotations or {}), UNDECODABLE: missing}
        return message._replace(delivery_annotations=annotations)


def _decodable_sections(payload: bytes, missing: list[str]) -> Iterator[bytes]:
    """Yields the sections without what cannot be decoded, and appends its names to `missing`."""
    while payload:
        code = payload[2]  # after the constructors of a described value and of its descriptor
        end = 3 + _width(payload[3:])
        descriptor, value, payload = payload[:3], payload[3:end], payload[end:]
        name = _SECTIONS.get(code, "section")
        if _is_decodable(value):
            yield descriptor + value
        elif code in _MAPS:
            yield descriptor + _decodable_map(value, name, missing)
        else:
            missing.append(name)


def _decodable_map(value: bytes, name: str, missing: list[str]) -> bytes:
    size_width = _SIZE_WIDTHS[value[0] >> 4]
    rest = value[1 + 2 * size_width :]  # after the size and the count
    entries: list[bytes] = []
    while rest:
        key_end = _width(rest)
        end = key_end + _width(rest[key_end:])
        entry, rest = (rest[:key_end], rest[key_end:end]), rest[end:]
        if all(map(_is_decodable, entry)):
            entries += entry
        else:
            missing.append(f"{name} {_decode_name(entry[0])}".rstrip())
    content = len(entries).to_bytes(4) + b"".join(entries)
    return bytes([_MAP32]) + len(content).to_bytes(4) + content


def _width(value: bytes) -> int:
    """Returns the number of bytes of an encoded value, with its constructor."""
    digit = value[0] >> 4
    if digit in _FIXED_WIDTHS:
        return 1 + _FIXED_WIDTHS[digit]
    if digit in _SIZE_WIDTHS:
        width = _SIZE_WIDTHS[digit]
        return 1 + width + int.from_bytes(value[1 : 1 + width])
    # A described value: its descriptor, then its value.
    descriptor = 1 + _width(value[1:])
    return descriptor + _width(value[descriptor:])


def _is_decodable(value: bytes) -> bool:
    from azure.servicebus._pyamqp._decode import _DECODE_BY_CONSTRUCTOR

    try:
        _DECODE_BY_CONSTRUCTOR[value[0]](memoryview(value)[1:])
    except Exception:  # noqa: BLE001  as above
        return False
    return True


def _decode_name(key: bytes) -> str:
    """Returns the name of an entry; empty if it is not a short text."""
    return key[2:].decode(errors="replace") if key[0] in {0xA1, 0xA3} else ""
