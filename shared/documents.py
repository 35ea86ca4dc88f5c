"""Bytes to JSON, strictly: what two readers could take differently is refused."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shared.errors import DocumentTooLargeError, InvalidRequestError

MAX_BYTES = 1024 * 1024
"""What one document may have."""
MAX_BYTES_OF_REQUEST = 100 * 1024 * 1024
"""What the Functions host takes as one request body."""
MAX_DEPTH = 100
"""How deep a document may nest; a twin in IoT Hub ends at ten levels."""


def pointer(*steps: object) -> str:
    """A JSON Pointer (RFC 6901) from member names and list positions."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def size(document: Any) -> int:
    """The bytes of a JSON document, written without spaces."""
    compact = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return len(compact.encode(errors="surrogatepass"))


def merged(target: Any, merge_patch: Any) -> Any:
    """The document with a JSON Merge Patch (RFC 7396) laid on it; `target` stays as it is."""
    if not isinstance(merge_patch, Mapping):
        return merge_patch
    found = dict(target) if isinstance(target, Mapping) else {}
    for name, value in merge_patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


def parse(body: bytes, *, max_bytes: int = MAX_BYTES) -> Any:
    """
    The JSON (RFC 8259) of a body in UTF-8.

    Raises `DocumentTooLargeError` past `max_bytes`, and `InvalidRequestError` for no body, no JSON,
    a member that stands twice in an object, a number no double can hold, nesting past `MAX_DEPTH`.
    """
    if not body.strip():
        raise InvalidRequestError({"": "a JSON document is required"})
    if len(body) > max_bytes:
        raise DocumentTooLargeError({"": f"may have {max_bytes} bytes at most"})
    doubled: list[tuple[dict[str, Any], str]] = []
    document = _load(body, doubled)
    faults = dict(_faults_of_shape(document, doubled)) if doubled or _may_be_deep(body) else {}
    if faults:
        raise InvalidRequestError(faults)
    return document


def _load(body: bytes, doubled: list[tuple[dict[str, Any], str]]) -> Any:
    def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = Counter(name for name, _ in pairs)
            doubled.extend((found, name) for name, times in names.items() if times > 1)
        return found

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
        fault = "holds a number that JSON readers cannot hold"
    except ValueError:  # Python's own limit on the digits of a whole number
        fault = "holds a number of too many digits"
    except RecursionError:
        fault = _TOO_DEEP
    raise InvalidRequestError({"": fault})


_Steps = tuple[object, ...]
_TOO_DEEP = f"nests deeper than {MAX_DEPTH} levels"


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # NaN and Infinity are no JSON; 1e999 overflows a double
        raise OverflowError
    return number


def _may_be_deep(body: bytes) -> bool:
    return body.count(b"{") + body.count(b"[") > MAX_DEPTH


def _faults_of_shape(
    document: Any, doubled: list[tuple[dict[str, Any], str]]
) -> Iterator[tuple[str, str]]:
    names_by_object: dict[int, list[str]] = {}
    for found, name in doubled:
        names_by_object.setdefault(id(found), []).append(name)
    for steps, node in _nodes(document):
        if len(steps) >= MAX_DEPTH and isinstance(node, dict | list):
            yield pointer(*steps[:1]), _TOO_DEEP
        for name in names_by_object.get(id(node), ()):
            yield pointer(*steps, name), "stands there more than once"


def _nodes(document: Any) -> Iterator[tuple[_Steps, Any]]:
    """Every value of a document with the steps to it; nothing below `MAX_DEPTH`."""
    # Iterators, as a list of millions must not be held twice.
    open_nodes: list[Iterator[tuple[_Steps, Any]]] = [iter([((), document)])]
    while open_nodes:
        found = next(open_nodes[-1], None)
        if found is None:
            open_nodes.pop()
            continue
        yield found
        if len(found[0]) < MAX_DEPTH:
            open_nodes.append(_children(*found))


def _children(steps: _Steps, node: Any) -> Iterator[tuple[_Steps, Any]]:
    members: Iterable[tuple[object, Any]] = enumerate(node) if isinstance(node, list) else ()
    for step, child in node.items() if isinstance(node, dict) else members:
        yield (*steps, step), child
