"""`apply`: a file into DPS, with progress, a state to resume from, and the rows that failed."""

import asyncio
import hashlib
import json as json_module
import sys
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from cli.bulk_run import BulkRun, Rows
from cli.checking import check_rows
from cli.client import AppClient, Connection, open_client
from cli.errors import AppError, CommandError, RunFileError
from cli.exit_codes import ExitCode
from cli.failed_rows import FailedRows
from cli.interrupts import on_interrupt
from cli.keys import KeyFile
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
from cli.output import counted, print_json, print_note
from cli.profile import Profile
from cli.progress import Progress
from cli.state import FINAL, Failure, RunIdentity, StateFile, Status, state_path
from cli.stored import expected_etag, find_stored
from cli.tables import Table
from shared.dps.models import INDIVIDUAL_ENROLLMENT, BulkMode

_INVALID, _NOT_FOUND = 400004, 404201
_FAILURES_PER_LINE = 1000


@dataclass(frozen=True, kw_only=True)
class _Files:
    keys: Path | None
    failures: Path | None
    resume: bool


def verb(
    file: FileArgument,
    *,
    mode: ModeOption,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys", help="Generate symmetric keys here, and write them to this new file."
        ),
    ] = None,
    failures: Annotated[
        Path | None,
        typer.Option(
            "--failures", help="Write the rows that failed, with reasons, to this new file."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a run of this file that was interrupted.")
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
    """Apply a file: create, update, upsert or delete its records, and report the outcome of each."""
    options = read_profile(
        profile, columns=column, constants=constant, encoding=encoding, delimiter=delimiter
    )
    if keys and mode is not Mode.CREATE:
        # An upsert with new keys would lock out the devices that exist.
        raise CommandError("--keys is for --mode create only: other modes keep the keys in DPS.")
    table = open_valid_table(file, options, kind, mode)
    _check_failures_file(failures, {file, state_path(file), *([keys] if keys else [])})
    app = find_connection(url, key, options)
    files = _Files(keys=keys, failures=failures, resume=resume)
    command = _ApplyCommand(table=table, mode=mode, connection=app, files=files)
    command.open(_run_identity(table, mode, app, options, keys))
    try:
        command.run()
        command.report(as_json=json)
        sys.stdout.flush()  # without the state there is no other report
        command.close(remove_state=not command.can_resume)
    except BaseException:
        command.close()
        raise
    if code := command.exit_code:
        raise typer.Exit(code)


def _check_failures_file(path: Path | None, others: Collection[Path]) -> None:
    if path is None:
        return
    if path.resolve() in {other.resolve() for other in others}:
        raise CommandError(
            "--failures must differ from the file that is applied, its state (FILE.apply) and --keys."
        )
    if path.exists():
        raise CommandError(f"{path} exists, and may have corrections: name another file.")
    if not path.parent.is_dir():
        raise CommandError(f"The directory of {path} does not exist.")


def _run_identity(
    table: Table, mode: Mode, connection: Connection, options: Profile, keys: Path | None
) -> RunIdentity:
    reading = [dict(options.columns), dict(options.constants), table.encoding, table.delimiter]
    digest = hashlib.sha256(json_module.dumps(reading, sort_keys=True).encode()).hexdigest()
    return RunIdentity(
        sha256=table.digest,
        mode=mode,
        kind=table.kind.path,
        url=connection.url.rstrip("/").lower(),
        options=digest,
        keys=str(keys.resolve()) if keys else None,
    )


@dataclass(kw_only=True)
class _ApplyCommand:
    """Applies a table."""

    table: Table
    mode: Mode
    connection: Connection
    files: _Files
    total: int = 0
    invalid: int = 0
    is_interrupted: bool = False
    error: CommandError | None = None
    state: StateFile = field(init=False)
    keys: KeyFile | None = None
    written: Path | None = None
    """The file of failed rows."""

    def open(self, run: RunIdentity) -> None:
        """Opens state and keys, and checks every row before the first one is sent."""
        path = state_path(self.table.file)
        resume = self.files.resume
        self.state = StateFile.resume(path, run) if resume else StateFile.create(path, run)
        try:
            if self.files.keys:
                self.keys = self._open_keys(self.files.keys)
            with Progress("Checking", total=None) as progress:
                self._check(progress)
        except BaseException:
            self.close(remove_state=not resume)
            raise

    def _open_keys(self, path: Path) -> KeyFile:
        keys = KeyFile(path, self.table.kind, resume=self.files.resume)
        # New keys would be others than those in DPS.
        keys.check_complete(
            row.document
            for row in (self.table.rows(validate=False) if self.files.resume else ())
            if self.state.status(row.number) in (Status.SENT, Status.DONE)
        )
        return keys

    def close(self, *, remove_state: bool = False) -> None:
        """Closes the files, and removes those with nothing in them to keep."""
        if self.keys:
            self.keys.close()
        self.state.close(remove=remove_state)

    def _check(self, progress: Progress) -> None:
        """Counts the rows and records those with faults as failed; they are never sent."""
        result = check_rows(self.table, on_row=progress.advance)
        self.total, self.invalid = result.total, len(result.faults)
        new = [
            (number, Failure(code=_INVALID, reason="; ".join(texts)))
            for number, texts in result.faults.items()
            if self.state.status(number) not in FINAL
        ]
        for start in range(0, len(new), _FAILURES_PER_LINE):
            self.state.record_outcomes({}, dict(new[start : start + _FAILURES_PER_LINE]))

    def run(self) -> None:
        """Applies the rows, then writes failures and keys; keeps the error that ended it."""
        if not self.state.is_ended:
            try:
                asyncio.run(self._run())
            except CommandError as error:
                self.error = error
            except (KeyboardInterrupt, asyncio.CancelledError):
                self.is_interrupted = True
        open_rows = self.total - sum(self.state.count(status) for status in FINAL)
        if not open_rows and not self.state.is_ended:
            self.state.end()
        self._finish()
        if open_rows and not self._has_ended:
            self.error = AppError(f"{counted(open_rows, 'row')} of the file were not applied.")

    @property
    def _was_sent(self) -> bool:
        """Whether DPS may have any of the rows."""
        sent = (Status.SENT, Status.DONE, Status.UNCHANGED)
        return any(map(self.state.count, sent)) or self.state.count(Status.FAILED) > self.invalid

    @property
    def can_resume(self) -> bool:
        """Whether something is left for --resume."""
        # After an error at the end, the failed rows are still to be written.
        return self._was_sent and (not self.state.is_ended or self.error is not None)

    async def _run(self) -> None:
        async with open_client(self.connection) as client:
            with Progress("Applying", total=self.total) as progress:
                progress.show(self._counts())
                async for mode, rows in self._parts(client):
                    if not self.is_interrupted:
                        await self._apply(client, mode, rows, progress)

    async def _parts(self, client: AppClient) -> AsyncIterator[tuple[BulkMode, Rows]]:
        """Yields bulk mode and rows of each part of the run."""
        if self.mode is not Mode.UPDATE:
            yield self.mode.bulk, self._rows()
            return
        # An update over HTTP needs an etag; an upsert does not, and keeps the keys.
        await self._fail_missing(client)
        yield BulkMode.UPSERT, self._rows(has_etag=False)
        yield BulkMode.UPDATE_IF_MATCH_ETAG, self._rows(has_etag=True)

    async def _apply(
        self, client: AppClient, mode: BulkMode, rows: Rows, progress: Progress
    ) -> None:
        run = BulkRun(
            client,
            self.state,
            kind=self.table.kind,
            mode=mode,
            rows=rows,
            total=self.total,
            keys=self.keys,
            on_progress=lambda: progress.show(self._counts()),
            on_wait=progress.note,
        )
        with on_interrupt(self._stop(run, progress)):
            await run.run()

    def _stop(self, run: BulkRun, progress: Progress) -> Callable[[], None]:
        def stop() -> None:
            self.is_interrupted = True
            progress.note("Stopping when the requests in flight have ended; Ctrl-C again: at once.")
            run.stop()

        return stop

    def _rows(self, *, has_etag: bool | None = None) -> Rows:
        """Yields the rows without outcome; with `has_etag` only those with an etag, or without."""
        id_member = self.table.kind.id_member
        is_delete = self.mode is Mode.DELETE
        for row in self.table.rows(validate=False):
            is_selected = has_etag in (None, expected_etag(row.document) is not None)
            if is_selected and self.state.status(row.number) not in FINAL:
                yield row.number, row.id, {id_member: row.id} if is_delete else row.document

    async def _fail_missing(self, client: AppClient) -> None:
        """Records rows without etag as failed if DPS has no such record: an upsert creates it."""
        missing = {id.casefold(): (id, number) for number, id, _ in self._rows(has_etag=False)}
        ids = [id for id, _ in missing.values()]
        async for key, _ in find_stored(client, self.table.kind, ids):
            missing.pop(key)
        noun = "Enrollment" if self.table.kind is INDIVIDUAL_ENROLLMENT else "Enrollment group"
        failure = Failure(code=_NOT_FOUND, reason=f"{noun} not found.")
        self.state.record_outcomes({}, {number: failure for _, number in missing.values()})

    def _finish(self) -> None:
        """Writes the failed rows, and takes keys out that no record has."""
        try:
            if self.keys and not self._was_sent:
                self.keys.keep(lambda _: False)
            elif self.keys:
                self.keys.check_in_place()
        except RunFileError as error:
            self.error = self.error or error
        if not self.state.failures:
            return
        rows = FailedRows(self.table, self.state.failures)
        if not rows.can_be_read:
            # No key is taken out: it is not known which rows have failed.
            text = f"{self.table.file} was changed during the run: its failed rows are not written."
            self.error = self.error or CommandError(text)
            return
        try:
            if self.keys:
                useless = {row.id.casefold() for row, _ in rows}
                self.keys.keep(lambda id: id not in useless)
            # Before the end it would lack rows, and corrections in it could not be kept.
            if self.files.failures and self.state.is_ended:
                rows.write(self.files.failures)
                self.written = self.files.failures
        except RunFileError as error:
            self.error = self.error or error
        except OSError as error:
            text = f"The failed rows cannot be written: {error.strerror}."
            self.error = self.error or RunFileError(text)

    def _counts(self) -> dict[str, int]:
        done, unchanged, failed = (
            self.state.count(status) for status in (Status.DONE, Status.UNCHANGED, Status.FAILED)
        )
        unknown = self.state.count(Status.SENT) if self._has_ended else 0
        waiting = self.total - done - unchanged - failed - unknown
        return {
            "done": done,
            "unchanged": unchanged,
            "failed": failed,
            "unknown": unknown,
            "notAttempted": waiting,
        }

    @property
    def _has_ended(self) -> bool:
        return self.is_interrupted or self.error is not None

    @property
    def exit_code(self) -> int:
        """The exit code of the command."""
        if self.error:
            return self.error.exit_code
        if self.is_interrupted and not self.state.is_ended:
            return ExitCode.INTERRUPTED
        return ExitCode.FAULTS if self.state.failures else ExitCode.OK

    def report(self, *, as_json: bool) -> None:
        """Prints the counts, the failures and how to continue."""
        rows = FailedRows(self.table, self.state.failures)
        counts = self._counts()
        if as_json:
            print_json({"rows": self.total, **counts, "failures": rows.as_json()})
        else:
            rows.print()
            if self.written:
                typer.echo(f"The failed rows are in {self.written}: correct and apply them.")
            shown = [
                f"{count:,} {_WORDS.get(name, name)}" for name, count in counts.items() if count
            ]
            typer.echo(f"{counted(self.total, 'row')}: {', '.join(shown) or 'none'}")
        if self.keys and not self.keys.count:
            print_note(f"No record has keys that were made here: {self.files.keys} was removed.")
        if self.error:
            print_note(str(self.error))
        if self.can_resume:
            print_note(f"To continue, run the same command with --resume ({self.state.path}).")


_WORDS = {"notAttempted": "not attempted"}
