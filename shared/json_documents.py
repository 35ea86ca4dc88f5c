"""JSON documents: strict parsing, JSON Pointers, merge patches and fault messages."""

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic_core import ErrorDetails

from shared.errors import DocumentTooLargeError, InvalidRequestError

T = TypeVar("T")

MAX_DOCUMENT_BYTES = 1024 * 1024
"""The size limit of one document."""
MAX_REQUEST_BYTES = 100 * 1024 * 1024
"""The size limit of one request body, as the Functions host has it."""
_MAX_BLOCKING_BYTES = 64 * 1024
_MAX_VALUES = 1_000_000
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
MAX_DEPTH = 100
"""The nesting limit of a document. A twin in IoT Hub has ten levels at most."""

_Steps = tuple[object, ...]
_TOO_DEEP = f"must not nest deeper than {MAX_DEPTH} levels"


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


def parse_json(body: bytes, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> Any:
    """
    Parses a UTF-8 body as JSON (RFC 8259), strictly.

    Raises the errors of `read_json`, and `InvalidRequestError` for a repeated member name.
    """
    document, faults = read_json(body, max_bytes=max_bytes)
    if faults:
        raise InvalidRequestError(faults)
    return document


def read_json(body: bytes, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> tuple[Any, dict[str, str]]:
    """
    Parses a UTF-8 body as JSON (RFC 8259); returns it with a fault for each repeated member name.

    Raises `DocumentTooLargeError` above `max_bytes`. Raises `InvalidRequestError` for an empty
    body, invalid JSON, a number that no double can hold, or nesting deeper than `MAX_DEPTH`.
    """
    if not body.strip():
        raise InvalidRequestError({"": "is empty, but a JSON document is required"})
    if len(body) > max_bytes:
        raise DocumentTooLargeError({"": f"must not exceed {max_bytes} bytes"})
    repeated: list[tuple[dict[str, Any], str]] = []
    document = _load(body, repeated)
    may_be_deep = body.count(b"{") + body.count(b"[") > MAX_DEPTH
    faults = dict(_structure_faults(document, repeated)) if repeated or may_be_deep else {}
    if _TOO_DEEP in faults.values():  # code behind this may recurse
        raise InvalidRequestError(faults)
    return document, faults


async def parse_in_thread(body: bytes, parse: Callable[[], T]) -> T:
    """
    Returns `parse()`, which parses the body; in a thread if it is large, so that other tasks go on.

    Raises `DocumentTooLargeError` for a large body with more than a million values: small values take
    much more memory than their text.
    """
    if len(body) <= _MAX_BLOCKING_BYTES:
        return parse()
    if sum(map(body.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        raise DocumentTooLargeError({"": f"must not exceed {_MAX_VALUES} values"})
    return await asyncio.to_thread(parse)


def _load(body: bytes, repeated: list[tuple[dict[str, Any], str]]) -> Any:
    def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            names = Counter(name for name, _ in pairs)
            repeated.extend((members, name) for name, count in names.items() if count > 1)
        return members

    try:
        return json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=to_object,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except json.JSONDecodeError as error:
        fault = f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
    except UnicodeDecodeError:
        fault = "is not UTF-8"
    except OverflowError:
        fault = "must not have NaN, Infinity, or a number outside the range of a double"
    except ValueError:  # Python's own limit on the digits of an integer
        fault = "contains a number with too many digits"
    except RecursionError:
        fault = _TOO_DEEP
    raise InvalidRequestError({"": fault})


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # NaN and Infinity are not JSON; 1e999 overflows a double
        raise OverflowError
    return number


def _structure_faults(
    document: Any, repeated: list[tuple[dict[str, Any], str]]
) -> Iterator[tuple[str, str]]:
    names_by_object: dict[int, list[str]] = {}
    for members, name in repeated:
        names_by_object.setdefault(id(members), []).append(name)
    for steps, node in _nodes(document):
        if len(steps) >= MAX_DEPTH and isinstance(node, dict | list):
            yield pointer(*steps[:1]), _TOO_DEEP
        for name in names_by_object.get(id(node), ()):
            yield pointer(*steps, name), "must not appear more than once"


def _nodes(document: Any) -> Iterator[tuple[_Steps, Any]]:
    """Yields every value of a document with its path, down to `MAX_DEPTH`."""
    # A stack of iterators: a list of millions of items must not be copied.
    open_nodes: list[Iterator[tuple[_Steps, Any]]] = [iter([((), document)])]
    while open_nodes:
        node = next(open_nodes[-1], None)
        if node is None:
            open_nodes.pop()
            continue
        yield node
        if len(node[0]) < MAX_DEPTH:
            open_nodes.append(_children(*node))


def _children(steps: _Steps, node: Any) -> Iterator[tuple[_Steps, Any]]:
    items: Iterable[tuple[object, Any]] = enumerate(node) if isinstance(node, list) else ()
    for step, child in node.items() if isinstance(node, dict) else items:
        yield (*steps, step), child


def is_unicode(document: Any) -> bool:
    """Returns whether a document can be encoded in UTF-8, that is, has no unpaired surrogate."""
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
    if similar := get_close_matches(name, members, n=1):
        return f"is not a member here; did you mean '{similar[0]}'?"
    is_short = 0 < len(members) <= _MAX_LISTED_MEMBERS
    return f"is not a member here; use {', '.join(members)}" if is_short else "is not a member here"
