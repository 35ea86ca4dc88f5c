"""The rows of a table that failed: as a file to correct and apply, as a table, as JSON."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import typer

from cli.columns import escaped
from cli.durable_files import open_private
from cli.file_content import COMMENT, Format
from cli.output import print_table
from cli.records import CsvWriter
from cli.state import Failure
from cli.tables import Row, Table
from shared.errors import InvalidRequestError
from shared.json_documents import parse_json
from shared.redaction import redact

_SHOWN = 20
# A file with these columns can be applied as it is: columns with this mark are not read.
_EXTRA = tuple(f"{COMMENT}{name}" for name in ("line", "code", "reason"))


class FailedRows:
    """The rows of a table by number, with the reasons."""

    def __init__(self, table: Table, failures: Mapping[int, Failure]) -> None:
        self._table = table
        self._failures = failures
        self.can_be_read = not failures or table.is_unchanged
        """Whether the file still has these rows; if not, there are only the reasons."""

    def __iter__(self) -> Iterator[tuple[Row, Failure]]:
        """Yields each row as the file has it, with its failure."""
        for row in self._table.rows(validate=False) if self._failures else ():
            if failure := self._failures.get(row.number):
                yield row, failure

    def _listed(self) -> Iterator[tuple[int | None, str, Failure]]:
        """Yields line, id and failure of each row, as far as they are known."""
        if self.can_be_read:
            yield from ((row.line, redact(row.id), failure) for row, failure in self)
        else:
            yield from ((None, "", failure) for failure in self._failures.values())

    def write(self, path: Path) -> None:
        """
        Writes the rows as they are, with the columns `#line`, `#code` and `#reason`.

        Of a JSON file, a row that is no valid object follows a comment with these values. Raises
        OSError, and then leaves no file of its own.
        """
        is_csv = self._table.format is Format.CSV
        # A spreadsheet, and a profile for another encoding, need the byte order mark to read UTF-8;
        # JSON has none.
        is_utf8 = self._table.encoding.startswith("utf-8")
        encoding = "utf-8" if is_utf8 and not is_csv else "utf-8-sig"
        try:
            # The rows may have keys. Half of a surrogate pair is written as in JSON, which allows it.
            with open(
                path,
                "x",
                encoding=encoding,
                errors="backslashreplace",
                newline="",
                opener=_open_private,
            ) as out:
                if is_csv:
                    self._write_csv(CsvWriter(out, self._table.delimiter))
                else:
                    out.writelines(_json_lines(row, failure) for row, failure in self)
        except FileExistsError:
            raise
        except OSError:
            path.unlink(missing_ok=True)  # it lacks rows
            raise

    def _write_csv(self, out: CsvWriter) -> None:
        header = self._table.header
        kept = [index for index, name in enumerate(header) if name.strip() not in _EXTRA]
        out.write_header([*(header[index] for index in kept), *_EXTRA])
        for row, failure in self:
            cells = [row.source[index] if index < len(row.source) else "" for index in kept]
            without_header = row.source[len(header) :]
            reason = escaped(failure.reason)
            out.write([*cells, row.line, failure.code, reason, *without_header])

    def print(self) -> None:
        """Prints the first rows and, if there are more, how many have each code."""
        rows = [
            (line or "", id, failure.code, failure.reason)
            for line, id, failure in islice(self._listed(), _SHOWN)
        ]
        if rows:
            print_table(["Line", "Id", "Code", "Reason"], rows)
        if len(self._failures) > _SHOWN:
            by_code = Counter(failure.code for failure in self._failures.values())
            counts = ", ".join(f"{code}: {count:,}" for code, count in by_code.most_common())
            typer.echo(f"… {len(self._failures):,} in all; by code: {counts}")

    def as_json(self) -> list[dict[str, Any]]:
        """Returns line, id, code and reason of each row."""
        return [
            {"line": line, "id": id, "code": failure.code, "reason": failure.reason}
            for line, id, failure in self._listed()
        ]


def _open_private(path: str, flags: int) -> int:
    return open_private(Path(path), flags)


def _json_lines(row: Row, failure: Failure) -> str:
    values = dict(zip(_EXTRA, (row.line, failure.code, failure.reason), strict=True))
    try:
        # Stricter than json: what it would change, such as a member that is repeated, is kept.
        record = parse_json(row.source.encode(errors="surrogatepass"))
    except InvalidRequestError:
        record = None
    if isinstance(record, dict):
        return json.dumps({**record, **values}, ensure_ascii=False) + "\n"
    comment = " ".join(f"{name.removeprefix(COMMENT)} {value}" for name, value in values.items())
    # What is no object at all would make a reader take the file for another format.
    mark = "" if row.source.startswith("{") else f"{COMMENT} "
    return f"{COMMENT} {_one_line(comment)}\n{mark}{_one_line(row.source)}\n"


def _one_line(text: str) -> str:
    return re.sub(r"[\r\n]+", " ", text)
