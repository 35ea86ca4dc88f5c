"""`plan`: what `apply` would do, by reading DPS; nothing is written."""

import asyncio
import json as json_module
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from cli.checking import check_rows
from cli.client import Connection, open_client
from cli.exit_codes import ExitCode
from cli.options import (
    ColumnOption,
    DelimiterOption,
    EncodingOption,
    FileArgument,
    JsonOption,
    KeyOption,
    KindOption,
    Mode,
    ModeOption,
    ProfileOption,
    SetOption,
    UrlOption,
    find_connection,
    open_valid_table,
    read_profile,
)
from cli.output import counted, print_counts, print_json, print_note, print_table
from cli.progress import Progress
from cli.stored import REMOVED, changed_members, expected_etag, find_stored, has_keys
from cli.tables import Table
from shared.redaction import redact

# What happens to a row, by mode: without a record, with an equal one, with another one.
_OUTCOMES: Mapping[Mode, tuple[str, str, str]] = {
    Mode.CREATE: ("new", "unchanged", "conflict"),
    Mode.UPDATE: ("missing", "unchanged", "changed"),
    Mode.UPSERT: ("new", "unchanged", "changed"),
    Mode.DELETE: ("missing", "deleted", "deleted"),
}
_FAILING = ("invalid", "missing", "conflict")
_ORDER = ("new", "changed", "deleted", "unchanged", "missing", "conflict", "invalid")


@dataclass(frozen=True, kw_only=True, slots=True)
class _PlannedRow:
    line: int
    id: str
    outcome: str
    members: Sequence[str] = ()
    faults: Sequence[str] = ()


def verb(
    file: FileArgument,
    *,
    mode: ModeOption,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Each row that is not unchanged.")
    ] = False,
    column: ColumnOption = None,
    constant: SetOption = None,
    profile: ProfileOption = None,
    kind: KindOption = None,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Say what `apply` would do: which records are new, changed (and how), unchanged, missing."""
    options = read_profile(
        profile, columns=column, constants=constant, encoding=encoding, delimiter=delimiter
    )
    table = open_valid_table(file, options, kind, mode)
    plan = _Plan(table, mode)
    asyncio.run(plan.make(find_connection(url, key, options)))
    plan.report(verbose=verbose, as_json=json)
    if any(plan.counts[name] for name in _FAILING):
        raise typer.Exit(ExitCode.FAULTS)


class _Plan:
    """The outcome of each row."""

    def __init__(self, table: Table, mode: Mode) -> None:
        self.counts: Counter[str] = Counter()
        self._table = table
        self._mode = mode
        self._rows: list[_PlannedRow] = []
        self._have_keys = 0

    async def make(self, app: Connection) -> None:
        """Reads the records that the rows are about, and compares them."""
        pending = dict(self._valid_rows())
        if not pending:
            return
        id_member = self._table.kind.id_member
        ids = [json_module.loads(document)[id_member] for _, document in pending.values()]
        absent, _, _ = _OUTCOMES[self._mode]
        with Progress("Reading", total=None) as progress:
            async with open_client(app) as client:
                async for key, record in find_stored(client, self._table.kind, ids):
                    line, document = pending.pop(key)
                    self._compare(line, json_module.loads(document), record)
                    progress.advance()
        for line, document in pending.values():
            self._add(line, json_module.loads(document)[id_member], absent)

    def _valid_rows(self) -> Iterator[tuple[str, tuple[int, bytes]]]:
        """Yields line and record of each valid row by case-folded id; adds the invalid ones."""
        invalid = check_rows(self._table).faults
        for row in self._table.rows(validate=False):
            if row.number in invalid:
                self._add(row.line, row.id, "invalid", faults=invalid[row.number])
                continue
            self._have_keys += has_keys(row.document)
            # As JSON, which takes a fraction of the memory of the objects.
            yield row.id.casefold(), (row.line, json_module.dumps(row.document).encode())

    def _compare(self, line: int, row: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        _, same, other = _OUTCOMES[self._mode]
        id = row[self._table.kind.id_member]
        etag = expected_etag(row)
        if self._mode is Mode.UPDATE and etag not in (None, record.get("etag")):
            self._add(line, id, "conflict", ["etag"])
            return
        changed = [] if self._mode is Mode.DELETE else changed_members(record, row)
        self._add(line, id, other if changed else same, changed)

    def _add(
        self,
        line: int,
        id: str,
        outcome: str,
        members: Sequence[str] = (),
        faults: Sequence[str] = (),
    ) -> None:
        self.counts[outcome] += 1
        if outcome != "unchanged":
            self._rows.append(
                _PlannedRow(
                    line=line, id=redact(id), outcome=outcome, members=members, faults=faults
                )
            )

    def report(self, *, verbose: bool, as_json: bool) -> None:
        """Prints the counts, and with `verbose` the rows."""
        rows = sorted(self._rows, key=lambda row: row.line)
        counts = {name: self.counts[name] for name in _ORDER}
        if as_json:
            print_json({"counts": counts, "rows": [asdict(row) for row in rows]})
            return
        print_counts(counts)
        if verbose and rows:
            headers = ("Line", "Id", "Outcome", "Changed members, or faults")
            cells = [
                (row.line, row.id, row.outcome, "; ".join([*row.members, *row.faults]))
                for row in rows
            ]
            print_table(headers, cells)
        elif rows:
            print_note("-v lists each row that would change or fail.")
        removed = sum(any(m.endswith(REMOVED) for m in row.members) for row in rows)
        if removed:
            print_note(
                f"{counted(removed, 'record')} would lose members that the file does not have."
            )
        if self._have_keys and self._mode in (Mode.UPDATE, Mode.UPSERT):
            print_note(f"The symmetric keys of {self._have_keys:,} rows were not compared.")
        if self._mode is Mode.CREATE and self.counts["unchanged"]:
            print_note(
                "With apply --keys the unchanged rows would fail: they have keys of their own."
            )
