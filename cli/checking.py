"""The check of a table: the faults of its rows, and the ids that appear twice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cli.tables import Fault, Row, Table
from shared.dps.models import BulkMode


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The number of rows, and the faults of each invalid row by row number."""

    total: int
    faults: dict[int, list[str]]


def check_rows(
    table: Table, mode: BulkMode, *, on_row: Callable[[], None] = lambda: None
) -> CheckResult:
    """Checks every row; all rows with the same id are invalid. Calls `on_row` after each row."""
    total = 0
    faults: dict[int, list[str]] = {}
    for row in checked_rows(table, mode):
        total += 1
        if row.faults:
            faults[row.number] = [f"{f.column} {f.message}".strip() for f in row.faults]
        if row.repeats is not None and row.repeats not in faults:
            faults[row.repeats] = [f"{_id_column(table)} {_not_unique(row.line)}"]
        on_row()
    return CheckResult(total=total, faults=faults)


def checked_rows(table: Table, mode: BulkMode) -> Iterator[Row]:
    """Yields every row with all its faults; the second row of an id names the line of the first."""
    firsts: dict[str, tuple[int, int]] = {}
    column = _id_column(table)
    for row in table.rows(mode):
        if row.id:
            # Several rows of a JSON array can be on one line.
            number, line = firsts.setdefault(row.id.casefold(), (row.number, row.line))
            if number != row.number:
                row.repeats = number
                row.faults.append(Fault(line=row.line, column=column, message=_not_unique(line)))
        yield row


def _id_column(table: Table) -> str:
    id_member = table.kind.id_member
    return next((c.header for c in table.columns if c.path == (id_member,)), id_member)


def _not_unique(line: int) -> str:
    return f"must be unique, without regard to case; line {line} has the same id"
