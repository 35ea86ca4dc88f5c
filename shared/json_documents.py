"""JSON documents: strict parsing, JSON Pointers, merge patches and fault messages."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic_core import ErrorDetails

from shared.errors import MAX_FAULTS, DocumentTooLargeError, InvalidRequestError
from shared.json_reader import TOO_DEEP, JsonError, JsonReader, TooLargeError

T = TypeVar("T")

MAX_DOCUMENT_BYTES = 1024 * 1024
"""The size limit of one document."""
MAX_REQUEST_BYTES = 100 * 1024 * 1024
"""The size limit of one request body, as the Functions host has it."""
_MAX_BLOCKING_BYTES = 8 * 1024  # thousands of records with faults take a tenth of a second
_VALUES = (b",", b"[", b"{")
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def pointer(*steps: object) -> str:
    """Returns a JSON Pointer (RFC 6901) made of member names and list positions."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def exceeds_size(document: Any, max_bytes: int) -> bool:
    """Returns whether a document has more bytes when written as JSON without spaces."""
    size = 0
    # In small parts, so that no time is spent on the rest of a document that is too large.
    for part in _COMPACT.iterencode(document):
        size += len(part.encode(errors="surrogatepass"))
        if size > max_bytes:
            return True
    return False


def apply_merge_patch(target: Any, merge_patch: Any) -> Any:
    """Returns the document with a JSON Merge Patch (RFC 7396) applied; `target` is not changed."""
    if not isinstance(merge_patch, Mapping):
        return merge_patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in merge_patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply_merge_patch(result.get(name), value)
    return result


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """
    The limits of a body. With `max_items` it is a request for many records, which is read in parts.

    `max_values` counts the characters that begin or separate values, also those in texts: a value can
    take thirty times the memory of its text.
    """

    max_bytes: int
    max_values: int
    max_items: int | None = None


# A device's twin has at most 40 KB of tags and desired properties, and certificates and keys have
# none of these characters.
# https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-device-twins#device-twin-size
DOCUMENT_LIMITS = Limits(max_bytes=MAX_DOCUMENT_BYTES, max_values=100_000)
"""The limits of one document."""


def parse_json(body: bytes, *, limits: Limits = DOCUMENT_LIMITS) -> Any:
    """
    Parses a UTF-8 body as JSON (RFC 8259), strictly.

    Raises the errors of `read_json`, and `InvalidRequestError` for a repeated member name.
    """
    document, faults = read_json(body, limits=limits)
    if faults:
        raise InvalidRequestError(faults)
    return document


def read_json(body: bytes, *, limits: Limits = DOCUMENT_LIMITS) -> tuple[Any, dict[str, str]]:
    """
    Parses a UTF-8 body as JSON (RFC 8259); returns it with a fault for each repeated member name.

    Raises `DocumentTooLargeError` above the limits, before it parses what exceeds them. Raises
    `InvalidRequestError` for an empty body, invalid JSON, a number that no double can hold, or
    nesting deeper than `MAX_DEPTH`.
    """
    _check(body, limits)
    reader = JsonReader(
        body,
        part_bytes=MAX_DOCUMENT_BYTES,
        max_faults=MAX_FAULTS,
        max_items=limits.max_items,
    )
    try:
        document = reader.read()
    except JsonError as error:
        is_too_large = isinstance(error, TooLargeError)
        error_class = DocumentTooLargeError if is_too_large else InvalidRequestError
        raise error_class({pointer(*error.steps): error.fault}) from None
    faults = {pointer(*steps): fault for steps, fault in reader.faults}
    if TOO_DEEP in faults.values():  # code behind this may recurse
        raise InvalidRequestError(faults)
    return document, faults


def _check(body: bytes, limits: Limits) -> None:
    """Raises the error of a body that need not be parsed."""
    if len(body) > limits.max_bytes:
        raise DocumentTooLargeError({"": f"must not exceed {limits.max_bytes} bytes"})
    if not body or body.isspace():
        raise InvalidRequestError({"": "is empty, but a JSON document is required"})
    # In steps, between which other threads can run.
    starts = range(0, len(body), MAX_DOCUMENT_BYTES)
    values = sum(body.count(c, at, at + MAX_DOCUMENT_BYTES) for at in starts for c in _VALUES)
    if values > limits.max_values:
        raise DocumentTooLargeError({"": f"must not exceed {limits.max_values} values"})


async def parse_in_thread(body: bytes, parse: Callable[[], T]) -> T:
    """Returns `parse()`, which parses the body; in a thread if it is large."""
    if len(body) <= _MAX_BLOCKING_BYTES:
        return parse()
    return await asyncio.to_thread(parse)


def is_unicode(document: Any, *, levels: int = 3) -> bool:
    """
    Returns whether a document can be encoded in UTF-8, that is, has no unpaired surrogate.

    Lists and objects of the outer levels are checked item by item, so that other threads can run.
    """
    if levels and isinstance(document, list):
        return all(is_unicode(item, levels=levels - 1) for item in document)
    if levels and isinstance(document, dict):
        return is_unicode(list(document), levels=0) and is_unicode(
            list(document.values()), levels=levels
        )
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


OWN_FAULT = "own"
"""The type of errors that the models raise themselves, with a predicate as their message."""

_FAULT_MESSAGES = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_unicode": "must not contain an unpaired surrogate",
    "string_too_short": "must not be empty",
    "string_too_long": "must not exceed {max_length} characters",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than_equal": "must be {le:g} or less",
    "less_than": "must be less than {lt}",
    "greater_than": "must be greater than {gt}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "too_short": "must not be empty",
    "too_long": "must not exceed {max_length} items",
    "enum": "must be one of {expected}",
}


_MAX_LISTED_MEMBERS = 10
_MAX_NAME = 100  # to compare a name of a megabyte with others takes half a second


def fault_message(error: ErrorDetails, *, members: Iterable[str] = ()) -> str:
    """
    Returns pydantic's error as a predicate for the member's name. It never contains a value sent.

    `members` are the names allowed, or candidates for them, where the document has an unknown one.
    """
    if error["type"] == "extra_forbidden":
        return _unknown_member(str(error["loc"][-1]), list(members))
    if error["type"] == OWN_FAULT:
        return error["msg"]
    text = _FAULT_MESSAGES.get(error["type"])
    return text.format_map(error.get("ctx", {})) if text else f"is not valid ({error['msg']})"


def _unknown_member(name: str, members: list[str]) -> str:
    if len(name) <= _MAX_NAME and (similar := get_close_matches(name, members, n=1)):
        return f"is not a member here; did you mean '{similar[0]}'?"
    is_short = 0 < len(members) <= _MAX_LISTED_MEMBERS
    return f"is not a member here; use {', '.join(members)}" if is_short else "is not a member here"
