"""
Tables: files with one record per row, as CSV, NDJSON or a JSON array.

Encoding, delimiter and format are found in the content. A file is read as a stream: once for its
digest and encoding, and once for each use of its rows.
"""

import codecs
import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from cli.columns import ABSENT, Column, escaped, find_overlaps, insert, resolve
from cli.errors import CommandError
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

COMMENT = "#"
"""Begins a comment line before the header, and the name of a column or member that is not read."""
DELIMITERS = (",", ";", "\t")

_BLOCK = 1 << 20
_FALLBACK = "cp1252"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ZIP = b"PK\x03\x04"  # .xlsx and .ods
_FORMAT_BY_CHARACTER = {"{": "ndjson", "[": "json"}


class Format(StrEnum):
    """The formats of files."""

    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"


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
    what the file has: cells, or a JSON text. `repeats` is the number of an earlier row with this id.
    """

    number: int
    line: int
    source: Any = field(repr=False)
    document: dict[str, Any] = field(repr=False)
    faults: list[Fault] = field(default_factory=list)
    id: str = ""
    repeats: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Content:
    digest: str
    encoding: str
    is_fallback: bool


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
    header: Sequence[str]
    columns: Sequence[Column]
    faults: Sequence[Fault]

    @property
    def is_unchanged(self) -> bool:
        """Whether the file has the content with which it was opened."""
        return _digest(self.file, self.encoding)[0] == self.digest

    @classmethod
    def open(cls, file: Path, profile: Profile, kind: RecordKind | None = None) -> "Table":
        """Returns the table in a file; raises `CommandError` if it cannot be read as one."""
        content = _read_content(file, profile.encoding)
        with _open_text(file, content.encoding) as text:
            file_format, delimiter = _find_format(text, profile.delimiter)
        with _open_text(file, content.encoding) as text:
            if file_format is Format.CSV:
                line, header = next(_csv_lines(text, delimiter), (1, []))
                names = [profile.columns.get(name.strip(), name) for name in header]
            else:
                line, header, names = 1, [], _first_members(text, file_format)
        kind = kind or _find_kind((*names, *profile.constants))
        columns, faults = _resolve_columns(header, profile, kind)
        return cls(
            file=file,
            format=file_format,
            kind=kind,
            encoding=content.encoding,
            is_fallback_encoding=content.is_fallback,
            delimiter=delimiter,
            digest=content.digest,
            header=header,
            columns=columns,
            faults=[Fault(line=line, column=name, message=text) for name, text in faults],
        )

    def rows(self, mode: BulkMode, *, validate: bool = True) -> Iterator[Row]:
        """
        Yields every row. Without `validate` the faults of the model are left out.

        Raises `BrokenTableError` where a quote is not closed.
        """
        id_member = self.kind.id_member
        model = self.kind.key if mode == BulkMode.DELETE else self.kind.record
        headers = {pointer(*column.path): column.header for column in self.columns}
        with _open_text(self.file, self.encoding) as text:
            rows = self._csv_rows(text) if self.format is Format.CSV else self._json_rows(text)
            for row in rows:
                id = row.document.get(id_member)
                row.id = id if isinstance(id, str) else ""
                if validate and (row.document or not row.faults):
                    faults = find_faults(row.document, model)
                    row.faults += [
                        Fault(line=row.line, column=_header(at, headers), message=message)
                        for at, message in faults.items()
                    ]
                yield row

    def _csv_rows(self, text: TextIO) -> Iterator[Row]:
        lines = _csv_lines(text, self.delimiter)
        next(lines, None)
        for number, (line, cells) in enumerate(lines, 1):
            row = Row(number=number, line=line, source=cells, document={})
            if any(cell.strip() for cell in cells[len(self.header) :]):
                message = f"has {len(cells)} cells, the header has {len(self.header)}"
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


# What the file is.


def _read_content(file: Path, encoding: str | None) -> _Content:
    """Returns digest and encoding of a file; raises `CommandError` if it is not text."""
    try:
        with file.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
    if start == _ZIP:
        raise CommandError(f"{file} is a workbook or an archive: save the sheet as CSV (UTF-8).")
    found = encoding or next((name for bom, name in _BOMS if start.startswith(bom)), None)
    found = found or _without_bom(start)
    digest, fault = _digest(file, found)
    if fault is None or encoding or found != "utf-8":
        if fault is not None:
            raise CommandError(f"{file} is not {found}: {fault}.")
        return _Content(digest=digest, encoding=found, is_fallback=False)
    if _digest(file, _FALLBACK)[1] is not None:
        raise CommandError(f"{file} is not UTF-8: {fault}; name its encoding with --encoding.")
    return _Content(digest=digest, encoding=_FALLBACK, is_fallback=True)


def _without_bom(start: bytes) -> str:
    """Returns UTF-16 if every other byte of the start is zero, as in ASCII text, else UTF-8."""
    names = {(False, True): "utf-16-le", (True, False): "utf-16-be"}
    return names.get((start[:1] == b"\0", start[1:2] == b"\0"), "utf-8")


def _digest(file: Path, encoding: str) -> tuple[str, str | None]:
    """Returns the SHA-256 of a file and where it is not in the encoding, if anywhere."""
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
    except LookupError:
        raise CommandError(f"The encoding '{encoding}' is unknown.") from None
    digest, position, fault = hashlib.sha256(), 0, None
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            if fault is None:
                fault = _decode_fault(decoder, block, position)
            position += len(block)
    return digest.hexdigest(), fault or _decode_fault(decoder, b"", position, final=True)


def _decode_fault(
    decoder: codecs.IncrementalDecoder, block: bytes, position: int, *, final: bool = False
) -> str | None:
    try:
        decoder.decode(block, final)
    except UnicodeError:
        decoder.reset()
        return f"within the {_BLOCK >> 20} MB from byte {position}"
    return None


@contextmanager
def _open_text(file: Path, encoding: str) -> Iterator[TextIO]:
    with file.open(encoding=encoding, newline="") as text:
        yield text


def _find_format(text: TextIO, delimiter: str | None) -> tuple[Format, str]:
    """Returns the format and, of CSV, the delimiter of the first line that is no comment."""
    for line in text:
        content = line.lstrip("\ufeff").strip()
        if name := _FORMAT_BY_CHARACTER.get(content[:1]):
            return Format(name), ","
        if content.lower().startswith("sep=") and len(content) > len("sep="):
            delimiter = delimiter or content[len("sep=")]
        elif content and not content.startswith((COMMENT, f'"{COMMENT}')):
            return Format.CSV, delimiter or _find_delimiter(content)
    raise CommandError("The file has no header and no records.")


def _find_delimiter(line: str) -> str:
    """Returns the delimiter that a header has most of, outside quotes."""
    unquoted = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=unquoted.count)


def _find_kind(names: Iterable[str]) -> RecordKind:
    folded = {name.strip().casefold() for name in names}
    is_group = ENROLLMENT_GROUP.id_member.casefold() in folded
    return ENROLLMENT_GROUP if is_group else INDIVIDUAL_ENROLLMENT


def _first_members(text: TextIO, file_format: Format) -> list[str]:
    for _, record in _json_records(text, file_format):
        try:
            document = parse_json(record.encode(errors="surrogatepass"))
        except InvalidRequestError:
            continue
        return list(document) if isinstance(document, dict) else []
    return []


def _resolve_columns(
    header: Sequence[str], profile: Profile, kind: RecordKind
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
        if target and not target.startswith(COMMENT):
            try:
                path, parse = resolve(target, kind)
            except ValueError as error:
                faults.append((name, str(error)))
            else:
                cells.append(Column(header=name, path=path, parse=parse, index=index))
    faults += find_overlaps(cells)
    faults += _missing_columns(names, cells, columns, profile, kind)
    return [*columns, *cells], faults


def _missing_columns(
    names: Sequence[str],
    cells: Sequence[Column],
    constants: Sequence[Column],
    profile: Profile,
    kind: RecordKind,
) -> Iterator[tuple[str, str]]:
    for name in profile.columns if names else ():
        if name not in names:
            yield name, "is mapped, but not a column of the file"
    if names and not any(column.path == (kind.id_member,) for column in (*cells, *constants)):
        yield kind.id_member, f"has no column; map one with --column 'NAME={kind.id_member}'"


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
        message = f"the quotes of this row are not right, or a cell is too long ({error})"
        raise BrokenTableError(Fault(line=line, column="", message=message)) from None


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
    for chunk in chain(iter(lambda: text.read(_BLOCK), ""), ("",)):
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


def rewritten(
    table: Table, rows: Iterable[tuple[Row, Mapping[str, str]]], extra: Sequence[str]
) -> Iterator[str]:
    """
    Yields the lines of a file with these rows as they are in the table, each with more columns.

    The names of the `extra` columns begin with `#`, so that the file can be read as it is.
    """
    if table.format is Format.CSV:
        yield from _rewritten_csv(table, rows, extra)
        return
    for row, values in rows:
        try:
            record = json.loads(row.source)
        except ValueError:
            record = None
        if isinstance(record, dict):
            yield json.dumps({**record, **values}, ensure_ascii=False) + "\n"
        else:
            # It has no members: the values precede it as a comment.
            comment = " ".join(f"{name.removeprefix(COMMENT)} {v}" for name, v in values.items())
            yield f"{COMMENT} {_one_line(comment)}\n{_one_line(row.source)}\n"


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _rewritten_csv(
    table: Table, rows: Iterable[tuple[Row, Mapping[str, str]]], extra: Sequence[str]
) -> Iterator[str]:
    lines: list[str] = []
    writer = csv.writer(_Lines(lines.append), delimiter=table.delimiter, lineterminator="\n")
    kept = [index for index, name in enumerate(table.header) if name.strip() not in extra]
    writer.writerow([*(table.header[index] for index in kept), *extra])
    for row, values in rows:
        cells = [row.source[index] if index < len(row.source) else "" for index in kept]
        without_header = row.source[len(table.header) :]
        writer.writerow([*cells, *(escaped(values[name]) for name in extra), *without_header])
        yield from lines
        lines.clear()
    yield from lines


class _Lines:
    """A stream for csv.writer that hands each line to a function."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self.write = write
