"""
Columns: the members of a record by path, with the types of the models.

A column is named by a path (`initialTwin.tags.plant`) or, where a name has a dot or is not in the
models, by a JSON Pointer (`/initialTwin/tags/building.floor`). A suffix sets the type of its cells:
`initialTwin.tags.floor:number`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

from shared.dps.models import Document, RecordKind, TwinCollection
from shared.dps.responses import READ_ONLY_MEMBERS
from shared.errors import InvalidRequestError
from shared.json_documents import parse_json, pointer
from shared.redaction import MASK

MemberPath = tuple[str, ...]

ABSENT = object()
"""What an empty cell stands for; a cell `null` of JSON is a value."""

NOT_A_MEMBER = "is not a member of a record"

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_SEPARATORS = re.compile(r"[\s,;|]+")


def _boolean(cell: str) -> bool:
    value = _BOOLEANS.get(cell.lower())
    if value is None:
        raise ValueError("must be true or false, yes or no, 1 or 0")
    return value


def _number(cell: str) -> float:
    try:
        value: float = parse_json(cell.encode())
    except InvalidRequestError:
        value = True
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number, with a point as decimal separator")  # noqa: TRY004  of a text
    return value


def _json(cell: str) -> Any:
    try:
        return parse_json(cell.encode())
    except InvalidRequestError as error:
        raise ValueError("; ".join(error.faults.values())) from None


def _list(cell: str) -> list[str]:
    return [name for name in _SEPARATORS.split(cell) if name]


Parse = Callable[[str], Any]
_PARSERS: Mapping[str, Parse] = {
    "text": str,
    "number": _number,
    "boolean": _boolean,
    "json": _json,
}
"""The types of cells, by the suffix of a column's name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A member of a record that is not an object; `description` says what a cell may hold."""

    path: MemberPath
    parse: Parse
    description: str
    is_required: bool

    @property
    def name(self) -> str:
        """The path as the name of a column."""
        return ".".join(self.path)

    @property
    def is_read_only(self) -> bool:
        """Whether DPS writes it itself."""
        return self.path[0] in READ_ONLY_MEMBERS or "info" in self.path


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """The members of a kind of records: leaves, free-form objects and other objects."""

    leaves: Mapping[MemberPath, Member]
    free_form: frozenset[MemberPath]
    objects: frozenset[MemberPath]


@cache
def schema(kind: RecordKind) -> Schema:
    """Returns the members of the kind's model."""
    leaves: dict[MemberPath, Member] = {}
    free_form: set[MemberPath] = set()
    objects: set[MemberPath] = set()

    def add(model: type[Document], at: MemberPath) -> None:
        for field in model.model_fields.values():
            path = (*at, str(field.alias))
            kind_of_value = _without_none(field.annotation)
            if not (isinstance(kind_of_value, type) and issubclass(kind_of_value, Document)):
                leaves[path] = _member(path, kind_of_value, is_required=field.is_required())
            elif issubclass(kind_of_value, TwinCollection):
                free_form.add(path)
            else:
                objects.add(path)
                add(kind_of_value, path)

    add(kind.record, ())
    return Schema(leaves=leaves, free_form=frozenset(free_form), objects=frozenset(objects))


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        return next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def _member(path: MemberPath, value_type: Any, *, is_required: bool) -> Member:
    parse, description = _types(value_type)
    if path[-1] == "certificate":
        description = "PEM, in quotes as it has several lines, or base64 of DER"
    return Member(path=path, parse=parse, description=description, is_required=is_required)


def _types(value_type: Any) -> tuple[Parse, str]:
    """Returns how a cell of the model's type is parsed, and what it may hold."""
    if isinstance(value_type, type) and issubclass(value_type, StrEnum):
        values = {str(value).casefold(): str(value) for value in value_type}
        # Another text is passed on: the model lists what is allowed.
        return lambda cell: values.get(cell.casefold(), cell), f"one of {', '.join(value_type)}"
    if value_type is bool:
        return _boolean, "yes or no, true or false"
    if value_type is int:
        return _number, "a whole number"
    if get_origin(value_type) is list:
        return _list, "host names, separated by spaces"
    return str, "text"


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """
    A column of a table and the member that it sets.

    `index` is its position in a row; `None` for a constant, which has a `value` instead.
    """

    header: str
    path: MemberPath
    parse: Parse
    index: int | None = None
    value: Any = None

    def read(self, row: Sequence[str]) -> Any:
        """Returns the value for a row, `ABSENT` if its cell is empty; raises ValueError."""
        if self.index is None:
            return deepcopy(self.value)  # other columns, and keys, may be added to it
        cell = row[self.index].strip() if self.index < len(row) else ""
        return self.parse(unescaped(cell)) if cell else ABSENT


def resolve(name: str, kind: RecordKind) -> tuple[MemberPath, Parse]:
    """Returns the path and the type for the name of a column; raises ValueError with the fault."""
    base, _, suffix = name.strip().rpartition(":")
    explicit = _PARSERS.get(suffix.lower()) if base else None
    path_text = base if explicit else name.strip()
    if path_text.startswith("/"):
        path = tuple(s.replace("~1", "/").replace("~0", "~") for s in path_text[1:].split("/"))
        known = schema(kind).leaves.get(path)
        return path, explicit or (known.parse if known else str)
    path = _spelled(tuple(path_text.split(".")), kind)
    known = schema(kind).leaves.get(path)
    if not known and not explicit and path in schema(kind).objects | schema(kind).free_form:
        raise ValueError(f"is an object; use {path_text}.NAME for a member, or {path_text}:json")
    if not known and not _is_within(path, kind):
        raise ValueError(_unknown(path_text, kind))
    return path, explicit or (known.parse if known else str)


def _spelled(path: MemberPath, kind: RecordKind) -> MemberPath:
    """Returns the path with its known part in DPS's spelling."""
    members = schema(kind)
    known = {tuple(map(str.casefold, p)): p for p in (*members.leaves, *members.objects)}
    known |= {tuple(map(str.casefold, p)): p for p in members.free_form}
    folded = tuple(map(str.casefold, path))
    for length in range(len(path), 0, -1):
        if found := known.get(folded[:length]):
            return (*found, *path[length:])
    return path


def _is_within(path: MemberPath, kind: RecordKind) -> bool:
    """Returns whether the path is an object's, or leads into a free-form one."""
    members = schema(kind)
    if not all(path):
        return False
    return path in members.objects or any(path[: len(at)] == at for at in members.free_form)


def _unknown(name: str, kind: RecordKind) -> str:
    members = schema(kind)
    free = (".".join(path) for path in members.free_form)
    names = {
        n.casefold(): n
        for n in (*(m.name for m in members.leaves.values() if not m.is_read_only), *free)
    }
    # Of a long path people often know only the end. The first member with it is the primary one.
    ends = {n.rpartition(".")[2]: full for n, full in reversed(names.items())}
    end = name.casefold().rpartition(".")[2]
    for text, candidates in ((name.casefold(), names), (name.casefold(), ends), (end, ends)):
        if similar := get_close_matches(text, candidates, n=1, cutoff=0.75):
            return f"{NOT_A_MEMBER}; did you mean '{candidates[similar[0]]}'?"
    return NOT_A_MEMBER


# A file without a header may have keys in its place.
_BASE64 = re.compile(r"[A-Za-z0-9+/]{20,}={0,2}")


def shown(header: str) -> str:
    """Returns the name of a column for a message, without what looks like a key in base64."""
    return _BASE64.sub(lambda match: MASK if _is_key_like(match[0]) else match[0], header)


def _is_key_like(text: str) -> bool:
    return bool(re.search(r"[+/=]", text)) or sum(map(str.isdigit, text)) > 1


def insert(document: dict[str, Any], path: MemberPath, value: Any) -> None:
    """Sets a member of the document, creating the objects that lead to it."""
    node = document
    for step in path[:-1]:
        if not isinstance(node.get(step), dict):
            node[step] = {}
        node = node[step]
    node[path[-1]] = value


def find_overlaps(columns: Iterable[Column]) -> Iterator[tuple[str, str]]:
    """Yields a fault, by header, for each column whose member another column sets too."""
    by_path: dict[MemberPath, str] = {}
    for column in columns:
        for path, header in by_path.items():
            shorter = min(len(path), len(column.path))
            if path[:shorter] == column.path[:shorter]:
                text = f"sets the same member as the column '{shown(header)}'"
                yield column.header, "is a column twice" if header == column.header else text
                break
        by_path[column.path] = column.header


def header_for(path: MemberPath, kind: RecordKind, cell_type: str = "") -> str:
    """Returns the name of the column for a path, with a type; `resolve` returns the path for it."""
    suffix = f":{cell_type}" if cell_type else ""
    dotted = ".".join(path)
    try:
        same = resolve(dotted + suffix, kind)[0] == path
    except ValueError:
        same = False
    if not same or dotted.startswith(("/", "#")):
        return pointer(*path) + (suffix or ":text")
    return dotted + suffix


# A spreadsheet runs a cell that begins like this as a formula.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_ESCAPED = re.compile(r"'+[=+\-@\t\r]")


def escaped(cell: str) -> str:
    """Returns the text for a cell; one that a spreadsheet would run as a formula gets a `'`."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unescaped(cell: str) -> str:
    """Returns the text of a cell that `escaped` returned."""
    return cell[1:] if _ESCAPED.match(cell) else cell
