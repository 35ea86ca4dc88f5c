"""
Reads strict JSON (RFC 8259), in parts.

CPython's parser lets no other thread run before it returns. So a large request is read member by
member and record by record, and the parser never gets more than a part of it.
"""

import json
import math
import re
from codecs import BOM_UTF8, getincrementaldecoder
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from json import JSONDecodeError
from typing import Any, NoReturn

MAX_DEPTH = 100
"""The nesting limit of a document. A twin in IoT Hub has ten levels at most."""

Steps = tuple[object, ...]
"""The path of a value: member names and list positions."""

TOO_DEEP = f"must not nest deeper than {MAX_DEPTH} levels"
"""The fault of a value that nests too deep."""
_OUTER_LEVELS = 2  # the request and its members; deeper values are read at once if they fit
_MAX_LEVELS = 4  # those of a CloudEvent: the event, its data, the list of records, a record
_SPACE = re.compile(r"[ \t\n\r]*")
_LONGEST_TOKEN = 16  # that must not be cut: an escape or a name, such as -Infinity


class JsonError(Exception):
    """The body cannot be read: at `steps` there is a `fault`."""

    def __init__(self, fault: str, steps: Steps = ()) -> None:
        super().__init__(fault)
        self.fault, self.steps = fault, steps


class TooLargeError(JsonError):
    """A list, an object, or one of its items is too large."""


class _PartTooLargeError(Exception):
    """The list or object at the position does not fit into a part."""


class JsonReader:
    """
    Reads one body.

    With `max_items` the body is a request for many records, and is read in parts of `part_bytes`:
    the lists and objects down to the records have at most `max_items`, and those in a record fit
    into a part. Otherwise the body is read at once.
    """

    def __init__(
        self, body: bytes, *, part_bytes: int, max_faults: int, max_items: int | None = None
    ) -> None:
        self._body = body
        self._max_faults = max_faults
        self._max_items = max_items
        self._part_bytes = part_bytes if max_items else len(body)
        self._decoder = getincrementaldecoder("utf-8")()
        self._text = ""  # what has been decoded, without what has been read long ago
        self._at = 0  # position in the text
        self._decoded = len(BOM_UTF8) if body.startswith(BOM_UTF8) else 0  # bytes of the body
        self._lines, self._characters = 0, 0  # before the text: lines, and in the same line
        self._names: dict[str, str] = {}
        self._repeated: list[tuple[dict[str, Any], str]] = []
        self._parse = json.JSONDecoder(
            object_pairs_hook=self._to_object, parse_float=_finite, parse_constant=_finite
        ).raw_decode
        self.faults: list[tuple[Steps, str]] = []
        """The faults of what has been read: repeated names, values that nest too deep."""

    def read(self) -> Any:
        """Returns the document; raises `JsonError`."""
        try:
            document = self._value(())
            if self._peek():
                self._fail("Extra data")
        except JSONDecodeError as error:
            fault = f"is not JSON: {error.msg} ({self._describe_position(error)})"
        except UnicodeDecodeError:
            fault = "is not UTF-8"
        except OverflowError:
            fault = "must not have NaN, Infinity, or a number outside the range of a double"
        except ValueError:  # Python's own limit on the digits of an integer
            fault = "contains a number with too many digits"
        except RecursionError:
            fault = TOO_DEEP
        else:
            return document
        raise JsonError(fault)

    def _fail(self, message: str) -> NoReturn:
        raise JSONDecodeError(message, self._text, self._at)

    def _describe_position(self, error: JSONDecodeError) -> str:
        column = error.colno + (self._characters if error.lineno == 1 else 0)
        return f"line {self._lines + error.lineno}, column {column}"

    # The text, which is decoded as it is needed.

    @property
    def _is_complete(self) -> bool:
        return self._decoded == len(self._body)

    def _fill(self) -> None:
        """Drops the text before the position and decodes a part, or as much as there is already."""
        before, self._text, self._at = self._text[: self._at], self._text[self._at :], 0
        if newlines := before.count("\n"):
            self._lines, self._characters = self._lines + newlines, -before.rfind("\n") - 1
        self._characters += len(before)
        start = self._decoded
        self._decoded = min(len(self._body), start + max(self._part_bytes, len(self._text)))
        self._text += self._decoder.decode(self._body[start : self._decoded], self._is_complete)

    def _put_back(self) -> None:
        """Drops the text beyond a part, which is decoded again later, if a long string was read."""
        end = self._at + self._part_bytes
        if len(self._text) - end > self._part_bytes:
            incomplete, _ = self._decoder.getstate()
            self._decoder.reset()
            self._decoded -= len(self._text[end:].encode()) + len(incomplete)
            self._text = self._text[:end]

    def _peek(self) -> str:
        """Moves to the next character that is not a space and returns it; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text) or self._is_complete:
                return self._text[self._at : self._at + 1]
            self._fill()

    # Values, in parts

    def _value(self, path: Steps) -> Any:
        is_container = self._peek() in ("{", "[")
        if is_container and self._max_items and len(path) < _OUTER_LEVELS:
            return self._container(path)
        try:
            return self._part(path)
        except _PartTooLargeError:
            if len(path) == _MAX_LEVELS or isinstance(path[-2], int):
                raise TooLargeError(f"must not exceed {self._part_bytes} bytes", path) from None
            return self._container(path)

    def _container(self, path: Steps) -> Any:
        """Returns a list or an object, whose items are read one by one."""
        is_object = self._peek() == "{"
        members: dict[Any, Any] = {}
        for step in self._steps(is_object=is_object):
            if len(members) == self._max_items:
                kind = "members" if is_object else "records"
                raise TooLargeError(f"must not exceed {self._max_items} {kind}", path)
            if step in members:
                self._add_faults([((*path, step), "must not appear more than once")])
            members[step] = self._value((*path, step))
        return members if is_object else list(members.values())

    def _steps(self, *, is_object: bool) -> Iterator[Any]:
        """Yields the name or the index of each item, with the position before its value."""
        closing = "}" if is_object else "]"
        self._at += 1
        index = 0
        while index or self._peek() != closing:
            yield self._name() if is_object else index
            index += 1
            symbol = self._peek()
            if symbol not in (",", closing):
                self._fail("Expecting ',' delimiter")
            if symbol == closing:
                break
            self._at += 1
        self._at += 1

    def _name(self) -> str:
        if self._peek() != '"':
            self._fail("Expecting property name enclosed in double quotes")
        name = str(self._parse_part()[0])
        if self._peek() != ":":
            self._fail("Expecting ':' delimiter")
        self._at += 1
        return name

    # Values that are parsed at once

    def _part(self, path: Steps) -> Any:
        value, length = self._parse_part()
        start = self._at - length
        brackets = sum(self._text.count(bracket, start, self._at) for bracket in "{[")
        if self._repeated or brackets + len(path) > MAX_DEPTH:
            self._add_faults(_structure_faults(value, path, self._repeated))
        return value

    def _parse_part(self) -> tuple[Any, int]:
        """Parses the value here; returns it with its length, before the position."""
        while True:
            self._repeated.clear()
            try:
                value, end = self._parse(self._text, self._at)
            except JSONDecodeError as error:
                if self._is_complete or not self._is_cut(error):
                    raise
                is_container = self._text[self._at] in "{["
                if is_container and len(self._text) - self._at > self._part_bytes:
                    raise _PartTooLargeError from None
            else:
                # A number may be cut within ".5" or "e+5".
                if self._is_complete or end + _LONGEST_TOKEN < len(self._text):
                    length, self._at = end - self._at, end
                    self._put_back()
                    return value, length
            self._fill()

    def _is_cut(self, error: JSONDecodeError) -> bool:
        """Returns whether the text may be valid, but for its end."""
        is_at_end = error.pos >= len(self._text) - _LONGEST_TOKEN
        return is_at_end or error.msg.startswith("Unterminated string")

    def _to_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # The parser shares the names of one part only.
        members = {self._names.setdefault(name, name): value for name, value in pairs}
        if len(members) < len(pairs):
            names = Counter(name for name, _ in pairs)
            self._repeated.extend((members, name) for name, count in names.items() if count > 1)
        return members

    def _add_faults(self, faults: Iterable[tuple[Steps, str]]) -> None:
        self.faults.extend(islice(faults, self._max_faults - len(self.faults)))


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # NaN and Infinity are not JSON; 1e999 overflows a double
        raise OverflowError
    return number


def _structure_faults(
    document: Any, path: Steps, repeated: list[tuple[dict[str, Any], str]]
) -> Iterator[tuple[Steps, str]]:
    names_by_object: dict[int, list[str]] = {}
    for members, name in repeated:
        names_by_object.setdefault(id(members), []).append(name)
    for steps, node in _nodes(document, path):
        if len(steps) >= MAX_DEPTH and isinstance(node, dict | list):
            yield steps[:1], TOO_DEEP
        for name in names_by_object.get(id(node), ()):
            yield (*steps, name), "must not appear more than once"


def _nodes(document: Any, path: Steps) -> Iterator[tuple[Steps, Any]]:
    """Yields every value of a document with its path, down to `MAX_DEPTH`."""
    # A stack of iterators: a list of millions of items must not be copied.
    open_nodes: list[Iterator[tuple[Steps, Any]]] = [iter([(path, document)])]
    while open_nodes:
        node = next(open_nodes[-1], None)
        if node is None:
            open_nodes.pop()
            continue
        yield node
        if len(node[0]) < MAX_DEPTH:
            open_nodes.append(_children(*node))


def _children(steps: Steps, node: Any) -> Iterator[tuple[Steps, Any]]:
    items: Iterable[tuple[object, Any]] = enumerate(node) if isinstance(node, list) else ()
    for step, child in node.items() if isinstance(node, dict) else items:
        yield (*steps, step), child
