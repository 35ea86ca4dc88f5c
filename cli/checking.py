"""The check of a table: the faults of its rows, and the ids that appear twice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cli.records import Fault
from cli.tables import Table


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The number of rows, and the faults of each invalid row by row number."""

    total: int
    faults: dict[int, list[str]]


def check_rows(table: Table, *, on_row: Callable[[], None] = lambda: None) -> CheckResult:
    """Checks every row, and calls `on_row` after each."""
    total = 0
    faults: dict[int, list[str]] = {}
    for number, _, found in find_faults(table):
        if found:
            faults.setdefault(number, []).extend(f"{f.column} {f.message}".strip() for f in found)
        if number > total:
            total = number
            on_row()
    return CheckResult(total=total, faults=faults)


def find_faults(table: Table) -> Iterator[tuple[int, str, list[Fault]]]:
    """
    Yields number, id and faults of every row.

    If an id appears twice, both rows have a fault: the number of the first one is yielded again.
    """
    id_member = table.kind.id_member
    column = next((c.header for c in table.columns if c.path == (id_member,)), id_member)
    firsts: dict[str, tuple[int, int]] = {}
    repeated: set[int] = set()
    for row in table.rows():
        here = (row.number, row.line)
        first = firsts.setdefault(row.id.casefold(), here) if row.id else here
        if first != here:
            row.faults.append(_not_unique(row.line, column, other=first[1]))
        yield row.number, row.id, row.faults
        if first != here and first[0] not in repeated:
            repeated.add(first[0])
            yield first[0], row.id, [_not_unique(first[1], column, other=row.line)]


def _not_unique(line: int, column: str, *, other: int) -> Fault:
    message = f"must be unique, ignoring case; line {other} has the same id"
    return Fault(line=line, column=column, message=message)
