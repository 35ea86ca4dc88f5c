"""The columns of records that are written as CSV."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cli.columns import MemberPath, escaped, header_for, schema
from shared.dps.models import RecordKind

_JSON = "json"
# Of a terminal, of a row's end, or no character: half of a surrogate pair, which JSON allows.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class CsvColumns:
    """
    The columns of records, with the types of their cells.

    A type is empty where each cell's text is read as the value, else that of all values of a member.
    """

    def __init__(self, kind: RecordKind) -> None:
        self._kind = kind
        self._types: dict[MemberPath, str] = {}

    def add(self, document: Mapping[str, Any]) -> None:
        """Adds the columns for a record."""
        for path, value in self._leaves(document, ()):
            cell_type = self._type(path, value)
            same = self._types.setdefault(path, cell_type) == cell_type
            if not same:
                self._types[path] = _JSON

    def _leaves(self, node: Mapping[str, Any], at: MemberPath) -> Iterator[tuple[MemberPath, Any]]:
        members = schema(self._kind)
        for name, value in node.items():
            path = (*at, name)
            if isinstance(value, Mapping) and (
                value or path in members.objects or path in members.free_form
            ):
                yield from self._leaves(value, path)
            elif value is not None or any(at[: len(top)] == top for top in members.free_form):
                yield path, value  # a null in a free-form object is a value

    def _type(self, path: MemberPath, value: Any) -> str:
        if self._is_plain(path, value):
            return ""
        return {bool: "boolean", int: "number", float: "number"}.get(type(value), _JSON)

    def _is_plain(self, path: MemberPath, value: Any) -> bool:
        """Returns whether a cell with the value's text is read as the value."""
        text = _text(value)
        if not text or text != text.strip() or _CONTROL.search(text):
            return False
        if member := schema(self._kind).leaves.get(path):
            try:
                return bool(member.parse(text) == value)
            except ValueError:
                return False
        return isinstance(value, str)

    def close(self) -> None:
        """Makes a member that is an object in some records one column of JSON."""
        for path in list(self._types):
            for length in range(1, len(path)):
                if path[:length] in self._types:
                    del self._types[path]
                    self._types[path[:length]] = _JSON
                    break
        id = (self._kind.id_member,)
        self._types = dict(sorted(self._types.items(), key=lambda item: item[0] != id))

    def headers(self, *, is_table: bool) -> list[str]:
        """Returns the names of the columns, the id first; those of a table for `apply` have types."""
        if not is_table:
            return [".".join(path) for path in self._types]
        return [header_for(path, self._kind, cell_type) for path, cell_type in self._types.items()]

    def cells(self, document: Mapping[str, Any]) -> list[str]:
        """Returns the cells of a record; none is a formula for a spreadsheet."""
        return [self._cell(document, path, cell_type) for path, cell_type in self._types.items()]

    def _cell(self, document: Any, path: MemberPath, cell_type: str) -> str:
        for step in path:
            if not isinstance(document, Mapping) or step not in document:
                return ""
            document = document[step]
        if document is None and not cell_type:
            return ""
        return escaped(json.dumps(document) if cell_type == _JSON else _text(document))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)
