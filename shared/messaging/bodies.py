"""
The JSON of a message body, without what the libraries of some senders put around it.

Old .NET SDKs serialize a string or byte array as an element of binary XML (azure-webjobs-sdk#550,
azure-sdk-for-go#18547): the records are those of [MC-NBFX], .NET Binary Format: XML Data Structure.
Other senders serialize the JSON twice, so that it is a JSON string (azure-sdk-for-js#7253).
"""

from typing import Any

from shared.errors import InvalidRequestError
from shared.json_documents import DOCUMENT_LIMITS, Limits, read_json

_NAMESPACE = b"\x083http://schemas.microsoft.com/2003/10/Serialization/"
_ELEMENTS = (b"@\x06string" + _NAMESPACE, b"@\x0cbase64Binary" + _NAMESPACE)
_UTF_16 = "utf-16-le"
# By record type: the bytes of the length, and the encoding if it is not UTF-8. The next odd type is
# the same record at the end of its element.
_RECORDS = {
    0x00: (0, ""),  # 0x01 is EndElement
    0x98: (1, ""),  # Chars8Text
    0x9A: (2, ""),
    0x9C: (4, ""),
    0x9E: (1, ""),  # Bytes8Text
    0xA0: (2, ""),
    0xA2: (4, ""),
    0xA8: (0, ""),  # EmptyText
    0xB6: (1, _UTF_16),  # UnicodeChars8Text
    0xB8: (2, _UTF_16),
    0xBA: (4, _UTF_16),
}
# .NET writes a few records. Millions of empty ones would take seconds.
_MAX_RECORDS = 1000

_NOT_A_TEXT = (
    "is binary XML of .NET's DataContractSerializer without a text in it; send the JSON as a stream "
    "or as bytes"
)
# By what the body starts with.
_OTHER_FORMATS = {
    b"@": _NOT_A_TEXT,
    b"\xff\xfe": "is UTF-16; send it in UTF-8",
    b"\xfe\xff": "is UTF-16; send it in UTF-8",
    b"\x00": "is UTF-16; send it in UTF-8",
    b"{\x00": "is UTF-16; send it in UTF-8",
    b"\x1f\x8b": "is compressed; send the JSON as it is",
    b"<": "is XML; send JSON",
}


def parse_body(body: bytes) -> Any:
    """Returns the JSON of a body; raises `InvalidRequestError`, also for a repeated member name."""
    document, faults = read_body(body)
    if faults:
        raise InvalidRequestError(faults)
    return document


def read_body(body: bytes, *, limits: Limits = DOCUMENT_LIMITS) -> tuple[Any, dict[str, str]]:
    """
    Returns the JSON of a body: plain, in a JSON string, or in binary XML of .NET.

    With it a fault for each repeated member name. Raises `InvalidRequestError` for another format,
    which it names, and the errors of `read_json`.
    """
    text = body if len(body) > limits.max_bytes else _unwrapped(body)
    document, faults = read_json(text, limits=limits)
    return _read_nested(document, limits) if isinstance(document, str) else (document, faults)


def _read_nested(text: str, limits: Limits) -> tuple[Any, dict[str, str]]:
    try:
        return read_json(encode_text(text), limits=limits)
    except InvalidRequestError as error:
        faults = {
            at: fault if at else f"is a string, and its text {fault}"
            for at, fault in error.faults.items()
        }
        raise type(error)(faults) from None


def encode_text(text: str) -> bytes:
    """Returns a text to be read as JSON: an unpaired surrogate is not UTF-8 then, and refused."""
    return text.encode(errors="surrogatepass")


def _unwrapped(body: bytes) -> bytes:
    """Returns the text in binary XML, or the body; raises `InvalidRequestError` for other formats."""
    for element in _ELEMENTS:
        if body.startswith(element):
            return _element_text(body, len(element))
    for start, fault in _OTHER_FORMATS.items():
        if body.startswith(start):
            raise InvalidRequestError({"": fault})
    return body


def _element_text(body: bytes, at: int) -> bytes:
    """Returns the content, in UTF-8, of the element whose first record after the name is at `at`."""
    parts: list[bytes] = []
    try:
        for _ in range(_MAX_RECORDS):
            length_size, encoding = _RECORDS[body[at] & ~1]
            start = at + 1 + length_size
            end = start + int.from_bytes(body[at + 1 : start], "little")
            part = body[start:end]
            parts.append(part.decode(encoding).encode() if encoding else part)
            if body[at] & 1 and end <= len(body):
                return b"".join(parts)
            at = end
    except (LookupError, ValueError):
        pass
    raise InvalidRequestError({"": _NOT_A_TEXT})
