"""
Tables: files with one record per row, as CSV, NDJSON or a JSON array.

Encoding, delimiter and format are found in the content. A file is read as a stream: once for its
digest and encoding, and once for each use of its rows.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from cli.certificates import find_certificate_faults
from cli.columns import ABSENT, NOT_A_MEMBER, Column, find_overlaps, insert, resolve
from cli.errors import CommandError
from cli.file_content import (
    BLOCK,
    COMMENT,
    Format,
    digest_of,
    find_format,
    open_text,
    read_content,
)
from cli.profile import Profile
from shared.dps.models import (
    ENROLLMENT_GROUP,
    INDIVIDUAL_ENROLLMENT,
    BulkMode,
    RecordKind,
    find_faults,
    respelled,
)
from shared.errors import InvalidRequestError
from shared.json_documents import parse_json, pointer


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What is wrong in a row; `column` is a header, or the path of a member without a column."""

    line: int
    column: str
    message: str


class BrokenTableError(CommandError):
    """The rows after a line cannot be separated."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"Line {fault.line}: {fault.message}")
        self.fault = fault


@dataclass(kw_only=True, slots=True)
class Row:
    """
    A row: the record in it, or its faults.

    `number` counts rows from 1; `line` is the line of the file where the row begins. `source` is
    what the file has: cells, or a JSON text.
    """

    number: int
    line: int
    source: Any = field(repr=False)
    document: dict[str, Any] = field(repr=False)
    faults: list[Fault] = field(default_factory=list)
    id: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A file with records. `faults` are those of its header: with them no row can be read."""

    file: Path
    format: Format
    kind: RecordKind
    encoding: str
    is_fallback_encoding: bool
    """Whether the encoding is a guess, because the file is not Unicode."""
    delimiter: str
    digest: str
    mode: BulkMode
    """What is done with the records: a delete needs only ids."""
    header: Sequence[str]
    columns: Sequence[Column]
    faults: Sequence[Fault]

    @property
    def is_unchanged(self) -> bool:
        """Whether the file has the content with which it was opened."""
        return digest_of(self.file, self.encoding)[0] == self.digest

    @classmethod
    def open(
        cls, file: Path, profile: Profile, *, mode: BulkMode, kind: RecordKind | None = None
    ) -> "Table":
        """Returns the table in a file; raises `CommandError` if it cannot be read as one."""
        content = read_content(file, profile.encoding)
        with open_text(file, content.encoding) as text:
            file_format, delimiter = find_format(text, profile.delimiter)
        with open_text(file, content.encoding) as text:
            if file_format is Format.CSV:
                line, header = next(_csv_lines(text, delimiter), (1, []))
                names = [profile.columns.get(name.strip(), name) for name in header]
            else:
                line, header, names = 1, [], _first_members(text, file_format)
        kind = kind or _find_kind((*names, *profile.constants))
        columns, faults = _resolve_columns(header, profile, kind, mode)
        return cls(
            file=file,
            format=file_format,
            kind=kind,
            encoding=content.encoding,
            is_fallback_encoding=content.is_fallback,
            delimiter=delimiter,
            digest=content.digest,
            mode=mode,
            header=header,
            columns=columns,
            faults=[Fault(line=line, column=name, message=text) for name, text in faults],
        )

    def rows(self, *, validate: bool = True) -> Iterator[Row]:
        """
        Yields every row. Without `validate` the faults of its record are left out.

        Raises `BrokenTableError` where a quote is not closed.
        """
        id_member = self.kind.id_member
        headers = {pointer(*column.path): column.header for column in self.columns}
        with open_text(self.file, self.encoding) as text:
            rows = self._csv_rows(text) if self.format is Format.CSV else self._json_rows(text)
            for row in rows:
                id = row.document.get(id_member)
                row.id = id if isinstance(id, str) else ""
                if validate and (row.document or not row.faults):
                    row.faults += [
                        Fault(line=row.line, column=_header(at, headers), message=message)
                        for at, message in self._find_faults(row.document).items()
                    ]
                yield row

    def _find_faults(self, document: Mapping[str, Any]) -> Mapping[str, str]:
        if self.mode == BulkMode.DELETE:
            return find_faults(document, self.kind.key)
        is_new = self.mode == BulkMode.CREATE
        certificates = find_certificate_faults(document, is_required=is_new)
        return find_faults(document, self.kind.record) | dict(certificates)

    def _csv_rows(self, text: TextIO) -> Iterator[Row]:
        lines = _csv_lines(text, self.delimiter)
        next(lines, None)
        for number, (line, cells) in enumerate(lines, 1):
            row = Row(number=number, line=line, source=cells, document={})
            if message := self._find_unnamed(cells):
                row.faults.append(Fault(line=line, column="", message=message))
            for column in self.columns:
                try:
                    value = column.read(cells)
                except ValueError as error:
                    fault = Fault(line=line, column=column.header, message=str(error))
                    row.faults.append(fault)
                else:
                    if value is not ABSENT:
                        insert(row.document, column.path, value)
            yield row

    def _find_unnamed(self, cells: Sequence[str]) -> str | None:
        """Returns the fault of a row with a value in no column, or in one without a name."""
        if any(cell.strip() for cell in cells[len(self.header) :]):
            return f"has {len(cells)} cells, the header has {len(self.header)}"
        for number, (name, cell) in enumerate(zip(self.header, cells, strict=False), 1):
            if cell.strip() and not name.strip():
                return f"has a value in column {number}, which has no name"
        return None

    def _json_rows(self, text: TextIO) -> Iterator[Row]:
        for number, (line, record) in enumerate(_json_records(text, self.format), 1):
            row = Row(number=number, line=line, source=record, document={})
            try:
                document = parse_json(record.encode(errors="surrogatepass"))
            except InvalidRequestError as error:
                document = {}
                row.faults += [
                    Fault(line=line, column=_header(at, {}), message=message)
                    for at, message in error.faults.items()
                ]
            if isinstance(document, dict):
                row.document = self._with_constants(respelled(document, self.kind.record))
            else:
                row.faults.append(Fault(line=line, column="", message="must be an object"))
            yield row

    def _with_constants(self, document: dict[str, Any]) -> dict[str, Any]:
        document = {k: v for k, v in document.items() if not k.startswith(COMMENT)}
        for column in self.columns:
            if not _has_value(document, column.path):
                insert(document, column.path, column.read(()))
        return document


def _has_value(document: Any, path: Iterable[str]) -> bool:
    """Returns whether there is a value at the path, or one on the way that is no object."""
    for step in path:
        if not isinstance(document, dict):
            return True
        document = document.get(step)
        if document is None:
            return False
    return True


def _header(at: str, headers: Mapping[str, str]) -> str:
    """Returns the header of the column at a JSON Pointer or above it, else the dotted path."""
    above = at
    while above:
        if above in headers:
            return headers[above]
        above = above.rpartition("/")[0]
    return at.removeprefix("/").replace("/", ".")


# The columns.


def _find_kind(names: Iterable[str]) -> RecordKind:
    folded = {name.strip().casefold() for name in names}
    is_group = ENROLLMENT_GROUP.id_member.casefold() in folded
    return ENROLLMENT_GROUP if is_group else INDIVIDUAL_ENROLLMENT


def _first_members(text: TextIO, file_format: Format) -> list[str]:
    for _, record in _json_records(text, file_format):
        if record == "{":
            raise CommandError(_ONE_DOCUMENT)
        try:
            document = parse_json(record.encode(errors="surrogatepass"))
        except InvalidRequestError:
            continue
        members = list(document) if isinstance(document, dict) else []
        if _is_bulk_request(members):
            raise CommandError(_ONE_DOCUMENT)
        return members
    return []


def _is_bulk_request(members: Sequence[str]) -> bool:
    return any(kind.path in members for kind in (INDIVIDUAL_ENROLLMENT, ENROLLMENT_GROUP))


_ONE_DOCUMENT = (
    "The file is one JSON object. It must have one record per line, or be an array of records, such"
    " as that in a bulk request."
)


def _resolve_columns(
    header: Sequence[str], profile: Profile, kind: RecordKind, mode: BulkMode
) -> tuple[list[Column], list[tuple[str, str]]]:
    """Returns the columns, constants first, and the faults of the header by name."""
    columns: list[Column] = []
    faults: list[tuple[str, str]] = []
    for name, value in profile.constants.items():
        try:
            path, parse = resolve(name, kind)
            columns.append(
                Column(header=f"--set {name}", path=path, parse=parse, value=parse(value))
            )
        except ValueError as error:
            faults.append((f"--set {name}", str(error)))
    cells: list[Column] = []
    names = [name.strip() for name in header]
    for index, name in enumerate(names):
        target = profile.columns.get(name, name)
        if not target or target.startswith(COMMENT):
            continue
        try:
            path, parse = resolve(target, kind)
        except ValueError as error:
            faults.append((name, _unresolved(name, target, str(error))))
        else:
            cells.append(Column(header=name, path=path, parse=parse, index=index))
    if mode == BulkMode.DELETE:
        is_id = (kind.id_member,)
        return [c for c in (*columns, *cells) if c.path == is_id], list(
            _missing_columns(names, (*columns, *cells), profile, kind, mode)
        )
    faults += find_overlaps(cells)
    faults += _missing_columns(names, (*columns, *cells), profile, kind, mode)
    return [*columns, *cells], faults


def _unresolved(name: str, target: str, fault: str) -> str:
    """Returns the fault of a column, with what to do about it."""
    if target != name:
        return f"is mapped to '{target}', which {fault}"
    if fault.endswith("?") or not fault.startswith(NOT_A_MEMBER):
        return fault
    return f"{fault}; map it with --column '{name}=PATH', or ignore it with --column '{name}='"


def _missing_columns(
    names: Sequence[str],
    columns: Sequence[Column],
    profile: Profile,
    kind: RecordKind,
    mode: BulkMode,
) -> Iterator[tuple[str, str]]:
    for name in profile.columns if names else ():
        if name not in names:
            yield name, "is mapped, but not a column of the file"
    tops = {column.path[0] for column in columns}
    if names and kind.id_member not in tops:
        groups = " (or enrollmentGroupId, for groups)" if kind is INDIVIDUAL_ENROLLMENT else ""
        advice = f"map one with --column 'NAME={kind.id_member}'{groups}"
        yield kind.id_member, f"has no column; {advice}"
    if names and "attestation" not in tops and mode != BulkMode.DELETE:
        advice = "add it, or set it for all rows with --set attestation.type=symmetricKey"
        yield "attestation.type", f"has no column; {advice}"


# Rows.


def _csv_lines(text: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yields line and cells of the header and of every row that is not empty."""
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    line, in_header = 1, True
    try:
        for cells in reader:
            first = cells[0].lstrip("\ufeff") if cells else ""
            is_comment = in_header and (
                first.startswith(COMMENT) or first.lower().startswith("sep=")
            )
            if not is_comment and any(cell.strip() for cell in cells):
                yield line, [first, *cells[1:]] if in_header else cells
                in_header = False
            line = reader.line_num + 1
    except csv.Error as error:
        message = next(
            (text for part, text in _CSV_FAULTS.items() if part in str(error)), str(error)
        )
        raise BrokenTableError(Fault(line=line, column="", message=message)) from None


_CSV_FAULTS = {
    "end of data": "a quote that begins in this row is not closed",
    "expected after": "a quote within a quoted cell must be doubled",
    "field limit": "a cell has more than 131,072 characters, or a quote is not closed",
}
"""What to say about a `csv.Error`, by a part of its text."""


def _json_records(text: TextIO, file_format: Format) -> Iterator[tuple[int, str]]:
    """Yields line and text of every record."""
    return _array_records(text) if file_format is Format.JSON else _ndjson_records(text)


def _ndjson_records(text: TextIO) -> Iterator[tuple[int, str]]:
    for line, record in enumerate(text, 1):
        content = record.lstrip("\ufeff").strip()
        if content and not content.startswith(COMMENT):
            yield line, content


def _array_records(text: TextIO) -> Iterator[tuple[int, str]]:
    """Yields the items of an array, of which only one is in memory at a time."""
    decoder, line, buffer = json.JSONDecoder(), 1, ""
    for chunk in chain(iter(lambda: text.read(BLOCK), ""), ("",)):
        buffer += chunk
        while True:
            rest = buffer.lstrip("\ufeff[, \t\r\n")
            line += buffer.count("\n", 0, len(buffer) - len(rest))
            buffer = rest
            if not buffer or buffer.startswith("]"):
                break
            try:
                _, end = decoder.raw_decode(buffer)
            except ValueError:
                if chunk:
                    break  # the item goes on in the next chunk
                fault = Fault(line=line, column="", message="is not JSON from here on")
                raise BrokenTableError(fault) from None
            yield line, buffer[:end]
            line += buffer.count("\n", 0, end)
            buffer = buffer[end:]
