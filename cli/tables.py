"""
Tables: files with one record per row, as CSV, NDJSON or a JSON array.

Encoding, delimiter and format are found in the content. A file is read as a stream: once for its
digest and encoding, and once for each use of its rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from cli.certificates import find_certificate_faults
from cli.columns import ABSENT, Column, insert
from cli.errors import CommandError
from cli.file_content import (
    COMMENT,
    FileVersion,
    Format,
    find_format,
    open_text,
    read_content,
    version_of,
)
from cli.header import Header, find_kind
from cli.profile import Profile
from cli.records import Fault, csv_rows, json_records
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


class FileChangedError(CommandError):
    """The file was changed after it was opened: its rows may not be those that were checked."""

    def __init__(self, file: Path) -> None:
        super().__init__(f"{file} was changed meanwhile. Its further rows were not used.")


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
    version: FileVersion
    mode: BulkMode
    """What is done with the records: a delete needs only ids."""
    header: Sequence[str]
    columns: Sequence[Column]
    """Constants have no index."""
    faults: Sequence[Fault]

    @property
    def is_unchanged(self) -> bool:
        """Whether the file has not been written to since it was opened."""
        return version_of(self.file) == self.version

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
                line, header = next(csv_rows(text, delimiter), (1, []))
                members = [profile.columns.get(name.strip(), name) for name in header]
            else:
                line, header, members = 1, [], _first_members(text, file_format)
        kind = kind or find_kind((*members, *profile.constants))
        names = [name.strip() for name in header]
        columns, faults = Header(names=names, profile=profile, kind=kind, mode=mode).resolve()
        return cls(
            file=file,
            format=file_format,
            kind=kind,
            encoding=content.encoding,
            is_fallback_encoding=content.is_fallback,
            delimiter=delimiter,
            digest=content.digest,
            version=content.version,
            mode=mode,
            header=header,
            columns=columns,
            faults=[Fault(line=line, column=name, message=text) for name, text in faults],
        )

    def rows(self, *, validate: bool = True) -> Iterator[Row]:
        """
        Yields every row. Without `validate` the faults of its record are left out.

        Raises `BrokenTableError` where rows cannot be separated, and `FileChangedError` before the
        first row that may not have been in the file when it was opened.
        """
        id_member = self.kind.id_member
        headers = {pointer(*column.path): column.header for column in self.columns}
        with open_text(self.file, self.encoding) as text:
            rows = self._csv_rows(text) if self.format is Format.CSV else self._json_rows(text)
            for row in rows:
                if not self.is_unchanged:
                    raise FileChangedError(self.file)
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
        lines = csv_rows(text, self.delimiter)
        next(lines, None)
        for number, (line, cells) in enumerate(lines, 1):
            row = Row(number=number, line=line, source=cells, document={})
            if message := self._find_unnamed(cells):
                row.faults.append(Fault(line=line, column="", message=message))
            for column in self.columns:
                if column.index is None:
                    continue
                try:
                    value = column.read(cells)
                except ValueError as error:
                    fault = Fault(line=line, column=column.header, message=str(error))
                    row.faults.append(fault)
                else:
                    if value is not ABSENT:
                        insert(row.document, column.path, value)
            self._add_constants(row.document)
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
        for number, (line, record) in enumerate(json_records(text, self.format), 1):
            row = Row(number=number, line=line, source=record, document={})
            try:
                document = parse_json(record.encode(errors="surrogatepass"))
            except InvalidRequestError as error:
                document = {}
                row.faults += [
                    Fault(line=line, column=_header(at, {}), message=message)
                    for at, message in error.faults.items()
                ]
            if not isinstance(document, dict):
                row.faults.append(Fault(line=line, column="", message="must be an object"))
            elif not row.faults:
                read = {k: v for k, v in document.items() if not k.startswith(COMMENT)}
                row.document = respelled(read, self.kind.record)
                self._add_constants(row.document)
            yield row

    def _add_constants(self, document: dict[str, Any]) -> None:
        for column in self.columns:
            if column.index is None and not _has_value(document, column.path):
                insert(document, column.path, column.read(()))


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


def _first_members(text: TextIO, file_format: Format) -> list[str]:
    """Returns the members of the first record that can be read."""
    for _, record in json_records(text, file_format):
        try:
            document = parse_json(record.encode(errors="surrogatepass"))
        except InvalidRequestError:
            if record == "{":
                raise CommandError(_ONE_DOCUMENT) from None
            continue
        members = list(document) if isinstance(document, dict) else []
        if any(kind.path in members for kind in (INDIVIDUAL_ENROLLMENT, ENROLLMENT_GROUP)):
            raise CommandError(_ONE_DOCUMENT)
        return members
    return []


_ONE_DOCUMENT = (
    "The file is one JSON object. It must have one record per line, or be an array of records, such"
    " as that in a bulk request."
)
