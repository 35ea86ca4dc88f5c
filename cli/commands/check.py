"""`check`: every fault of a file, without network."""

from collections import Counter
from collections.abc import Iterator
from textwrap import fill

import typer

from cli.checking import find_faults
from cli.exit_codes import ExitCode
from cli.options import (
    ColumnOption,
    DelimiterOption,
    EncodingOption,
    FileArgument,
    JsonOption,
    KindOption,
    Mode,
    ModeOption,
    ProfileOption,
    SetOption,
    open_table,
    read_profile,
)
from cli.output import clean, console, counted, print_json, print_note
from cli.records import BrokenTableError, Fault
from cli.tables import Table
from shared.redaction import redact

_ID_WIDTH, _COLUMN_WIDTH = 14, 34


def verb(
    file: FileArgument,
    *,
    mode: ModeOption = Mode.CREATE,
    column: ColumnOption = None,
    constant: SetOption = None,
    profile: ProfileOption = None,
    kind: KindOption = None,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    json: JsonOption = False,
) -> None:
    """Find every fault of a file, with line and column; nothing is sent."""
    options = read_profile(
        profile, columns=column, constants=constant, encoding=encoding, delimiter=delimiter
    )
    table = open_table(file, options, kind, mode)
    report = _JsonReport() if json else _TextReport(table)
    for id, fault in _faults(table, report.counts):
        report.add(id, fault)
    report.end(table)
    if report.counts["faults"]:
        raise typer.Exit(ExitCode.FAULTS)


def _faults(table: Table, counts: Counter[str]) -> Iterator[tuple[str, Fault]]:
    """Yields each fault with the id of its row, and counts them."""
    counts["faults"] += len(table.faults)
    yield from (("", fault) for fault in table.faults)
    faulty: set[int] = set()
    try:
        for number, id, faults in () if table.faults else find_faults(table):
            counts["rows"] = max(counts["rows"], number)
            if faults:
                faulty.add(number)
                counts["faultyRows"] = len(faulty)
                counts["faults"] += len(faults)
                yield from ((redact(id), fault) for fault in faults)
    except BrokenTableError as error:
        counts["faults"] += 1
        yield "", error.fault


class _TextReport:
    """Prints a table row by row: a file may have more faults than fit in memory."""

    def __init__(self, table: Table) -> None:
        self.counts: Counter[str] = Counter()
        self._console = console()
        names = [column.header for column in table.columns]
        self._width = min(_COLUMN_WIDTH, max(map(len, names), default=_COLUMN_WIDTH))
        self._has_header = False

    def add(self, id: str, fault: Fault) -> None:
        """Prints a fault of the row with this id."""
        if not self._has_header:
            self._print("Line", "Id", "Column", "Fault")
            self._has_header = True
        self._print(str(fault.line), id, fault.column, fault.message)

    def end(self, table: Table) -> None:
        """Prints how the file was read, and the totals."""
        if self._has_header:
            self._console.print()
        print_note(describe(table))
        rows, faulty, faults = (self.counts[name] for name in ("rows", "faultyRows", "faults"))
        if table.faults:
            self._console.print(f"{counted(faults, 'fault')} in the header; rows were not checked")
            return
        where = f" in {counted(faulty, 'row')}" if faulty else ""
        summary = f"{counted(faults, 'fault')}{where}" if faults else "no faults"
        self._console.print(f"{counted(rows, 'row')}, {summary}")

    def _print(self, line: str, id: str, column: str, message: str) -> None:
        start = f"{line:>7}  {clean(id):{_ID_WIDTH}}  {clean(column):{self._width}}  "
        text = start + clean(message)
        width = self._console.width
        if self._console.is_terminal and len(start) < width // 2:
            text = fill(text, width, subsequent_indent=" " * len(start), break_on_hyphens=False)
        self._console.print(text)


class _JsonReport:
    """Prints a JSON object per fault and, at the end, one with the totals."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(rows=0, faultyRows=0, faults=0)

    def add(self, id: str, fault: Fault) -> None:
        """Prints a fault of the row with this id."""
        print_json({"line": fault.line, "id": id, "column": fault.column, "message": fault.message})

    def end(self, table: Table) -> None:
        """Prints the totals."""
        encoding = {"encoding": table.encoding, "delimiter": table.delimiter}
        print_json({**self.counts, "format": table.format, **encoding})


def describe(table: Table) -> str:
    """Returns how a file was read."""
    names = {"\t": "tab", ",": "comma", ";": "semicolon"}
    delimiter = names.get(table.delimiter, table.delimiter)
    csv_text = f", delimiter {delimiter}" if table.header else ""
    guess = " (it is not valid UTF-8; --encoding sets another)"
    note = guess if table.is_fallback_encoding else ""
    return f"{table.format.upper()}, encoding {table.encoding}{note}{csv_text}, {table.kind.path}"
