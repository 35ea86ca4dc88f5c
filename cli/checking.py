"""The check of a table: its rows, with the ids that appear twice."""

from collections.abc import Iterator

from cli.tables import Fault, Row, Table
from shared.dps.models import BulkMode


def checked_rows(table: Table, mode: BulkMode) -> Iterator[Row]:
    """Yields every row with all its faults; the second row of an id names the line of the first."""
    firsts: dict[str, tuple[int, int]] = {}
    column = next(
        (c.header for c in table.columns if c.path == (table.kind.id_member,)),
        table.kind.id_member,
    )
    for row in table.rows(mode):
        if row.id:
            # Several rows of a JSON array can be on one line.
            number, line = firsts.setdefault(row.id.casefold(), (row.number, row.line))
            if number != row.number:
                message = f"must be unique, without regard to case; line {line} has the same id"
                row.faults.append(Fault(line=row.line, column=column, message=message))
        yield row
