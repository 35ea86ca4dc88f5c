"""`check`: every fault of a file, without network."""

from collections import Counter
from collections.abc import Iterator

import typer

from cli.checking import checked_rows
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
)
from cli.output import clean, console, print_json, print_note
from cli.profile import Profile
from cli.tables import BrokenTableError, Fault, Table

_COLUMN_WIDTH = 34


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
    options = Profile.read(profile).with_options(
        columns=column or (), constants=constant or (), encoding=encoding, delimiter=delimiter
    )
    table = open_table(file, options, kind)
    report = _JsonReport() if json else _TextReport()
    for fault in _faults(table, mode, report.counts):
        report.add(fault)
    report.end(table)
    if report.counts["faults"]:
        raise typer.Exit(ExitCode.FAULTS)


def _faults(table: Table, mode: Mode, counts: Counter[str]) -> Iterator[Fault]:
    counts["faults"] += len(table.faults)
    yield from table.faults
    if table.faults:
        return
    try:
        for row in checked_rows(table, mode.bulk):
            counts["rows"] += 1
            counts["faultyRows"] += bool(row.faults)
            counts["faults"] += len(row.faults)
            yield from row.faults
    except BrokenTableError as error:
        counts["faults"] += 1
        yield error.fault


class _TextReport:
    """Prints a table row by row: a file may have more faults than fit in memory."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._console = console()
        self._has_head = False

    def add(self, fault: Fault) -> None:
        """Prints a fault."""
        if not self._has_head:
            self._line("Line", "Column", "Fault")
            self._has_head = True
        self._line(str(fault.line), fault.column, fault.message)

    def end(self, table: Table) -> None:
        """Prints how the file was read, and the totals."""
        if self._has_head:
            self._console.print()
        print_note(describe(table))
        rows, faulty, faults = (self.counts[name] for name in ("rows", "faultyRows", "faults"))
        where = f" in {faulty:,} rows" if faulty else ""
        summary = f"{faults:,} faults{where}" if faults else "no faults"
        self._console.print(f"{rows:,} rows, {summary}")

    def _line(self, line: str, column: str, message: str) -> None:
        self._console.print(f"{line:>7}  {clean(column):{_COLUMN_WIDTH}}  {clean(message)}")


class _JsonReport:
    """Prints a JSON object per fault and, at the end, one with the totals."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(rows=0, faultyRows=0, faults=0)

    def add(self, fault: Fault) -> None:
        """Prints a fault."""
        print_json({"line": fault.line, "column": fault.column, "message": fault.message})

    def end(self, table: Table) -> None:
        """Prints the totals."""
        encoding = {"encoding": table.encoding, "delimiter": table.delimiter}
        print_json({**self.counts, "format": table.format, **encoding})


def describe(table: Table) -> str:
    """Returns how a file was read."""
    names = {"\t": "tab", ",": "comma", ";": "semicolon"}
    delimiter = names.get(table.delimiter, table.delimiter)
    csv_text = f", delimiter {delimiter}" if table.header else ""
    guess = " (a guess: it is not Unicode; --encoding sets another)"
    note = guess if table.is_fallback_encoding else ""
    return f"{table.format.upper()}, encoding {table.encoding}{note}{csv_text}, {table.kind.path}"
