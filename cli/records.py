"""The records in a text, with their lines: rows of CSV, lines of NDJSON, items of a JSON array."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, TextIO

from cli.errors import CommandError
from cli.file_content import BLOCK, COMMENT, DELIMITERS, Format, is_before_header

_MAX_LENGTH = 4 << 20
"""The characters of a cell or an item: DPS accepts records of 1 MB at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What is wrong in a row; `column` is a header, or the path of a member without a column."""

    line: int
    column: str
    message: str


class BrokenTableError(CommandError):
    """The rows after a line cannot be separated."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"Line {line}: {message}")
        self.fault = Fault(line=line, column="", message=message)


def json_records(text: TextIO, file_format: Format) -> Iterator[tuple[int, str]]:
    """Yields line and text of every JSON record; raises `BrokenTableError`."""
    return _array_items(text) if file_format is Format.JSON else _ndjson_lines(text)


def csv_rows(text: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """
    Yields line and cells of the header and of every row that is not empty.

    Raises `BrokenTableError` where the quotes are wrong.
    """
    csv.field_size_limit(_MAX_LENGTH)
    before, header = 0, ""
    for header in text:
        if not is_before_header(header):
            break
        before += 1
    reader = csv.reader(chain([header.lstrip("\ufeff")], text), delimiter=delimiter, strict=True)
    line = before + 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = before + reader.line_num + 1
    except csv.Error as error:
        found = (message for part, message in _CSV_FAULTS.items() if part in str(error))
        raise BrokenTableError(line, next(found, str(error))) from None


_CSV_FAULTS = {
    "end of data": "a quote that begins in this row is not closed",
    "expected after": "a quote within a quoted cell must be doubled",
    "field limit": "a cell is too long, or a quote that begins in this row is not closed",
}
"""What to say about a `csv.Error`, by a part of its text."""


class CsvWriter:
    """Writes CSV that `csv_rows` reads back, whatever is in the cells."""

    def __init__(self, out: TextIO, delimiter: str) -> None:
        self._out = out
        self._delimiter = delimiter
        self.write = self._writer(csv.QUOTE_MINIMAL)
        """Writes a row."""

    def write_header(self, names: list[str]) -> None:
        """Writes the header, in which `csv_rows` looks for the delimiter outside quotes."""
        has_other = any(other in name for name in names for other in DELIMITERS)
        self._writer(csv.QUOTE_ALL if has_other else csv.QUOTE_MINIMAL)(names)

    def _writer(self, quoting: Any) -> Callable[[list[Any]], Any]:
        # Only cells with a character of the line end are quoted for it: a reader ends a row at each.
        return csv.writer(
            self._out, delimiter=self._delimiter, lineterminator="\r\n", quoting=quoting
        ).writerow


def _ndjson_lines(text: TextIO) -> Iterator[tuple[int, str]]:
    for line, record in enumerate(text, 1):
        content = record.lstrip("\ufeff").strip()
        if content and not content.startswith(COMMENT):
            yield line, content


# The states of `_array_items`, and those that a character leads to.
_STEPS = {
    ("start", "["): "first",
    ("first", "]"): "end",
    ("after", ","): "item",
    ("after", "]"): "end",
}
_FAULTS = {"after": "must be followed by a comma or ]", "end": "follows the end of the array"}


def _array_items(text: TextIO) -> Iterator[tuple[int, str]]:
    """Yields the items of an array, of which only one is in memory at a time."""
    decoder, line, state, rest = json.JSONDecoder(), 1, "start", ""
    for chunk in chain(iter(lambda: text.read(BLOCK), ""), ("",)):
        buffer, at = rest + chunk, 0
        while (start := _SPACE.match(buffer, at).end()) < len(buffer):  # type: ignore[union-attr]
            line += buffer.count("\n", at, start)
            at = start
            if step := _STEPS.get((state, buffer[at])):
                state, at = step, at + 1
                continue
            if state in _FAULTS:
                raise BrokenTableError(line, _FAULTS[state])
            end = _item_end(decoder, buffer, at)
            # A number at the end may continue, too.
            is_cut_off = end is None or end == len(buffer)
            if is_cut_off and chunk and len(buffer) - at < _MAX_LENGTH:
                break  # the item continues in the next chunk
            if end is None:
                raise BrokenTableError(line, "is not JSON from here on")
            yield line, buffer[at:end]
            line += buffer.count("\n", at, end)
            state, at = "after", end
        rest = buffer[at:]
    if state != "end":
        raise BrokenTableError(line, "the array is not closed")


_SPACE = re.compile(r"[\ufeff \t\r\n]*")


def _item_end(decoder: json.JSONDecoder, buffer: str, at: int) -> int | None:
    """Returns the end of the JSON value at a position, `None` if there is no complete one."""
    try:
        _, end = decoder.raw_decode(buffer, at)
    except (ValueError, RecursionError):
        return None
    return end
