"""`apply`: a file into DPS, with progress, a state to resume from, and the rows that failed."""

import asyncio
import hashlib
import json as json_module
import signal
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from cli.bulk_run import BulkRun, Rows
from cli.checking import check_rows
from cli.client import AppClient, Connection, open_client
from cli.errors import AppError, CommandError
from cli.exit_codes import ExitCode
from cli.failed_rows import FailedRows
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
    ProfileOption,
    SetOption,
    UrlOption,
    connection,
    open_valid_table,
)
from cli.output import counted, print_json, print_note
from cli.profile import Profile
from cli.progress import Progress
from cli.state import FINAL, Failure, RunKey, StateFile, Status, state_path
from cli.stored import Document, find_stored, wanted_etag
from cli.tables import Table
from shared.dps.models import BulkMode

_INVALID, _NOT_FOUND = 400004, 404201
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_FAILURES_PER_LINE = 1000


@dataclass(frozen=True, kw_only=True)
class _Files:
    keys: Path | None
    failures: Path | None
    resume: bool


def verb(
    file: FileArgument,
    *,
    mode: Annotated[Mode, typer.Option("--mode", help="What to do with each record.")],
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
    options = Profile.read(profile).with_options(
        columns=column or (), constants=constant or (), encoding=encoding, delimiter=delimiter
    )
    if keys and mode is not Mode.CREATE:
        # An upsert with new keys would lock out the devices that exist.
        raise CommandError("--keys is for --mode create only: other modes keep the keys in DPS.")
    _check_failures_file(failures, {file, state_path(file), *([keys] if keys else [])}, resume)
    table = open_valid_table(file, options, kind, mode)
    where = connection(url, key, options)
    files = _Files(keys=keys, failures=failures, resume=resume)
    application = _Application(table=table, mode=mode, connection=where, files=files)
    application.open(_run_key(table, mode, where, options, keys))
    try:
        application.run()
    finally:
        application.close()
    application.report(as_json=json)
    application.remove_state()
    if code := application.exit_code:
        raise typer.Exit(code)


def _check_failures_file(path: Path | None, others: Collection[Path], resume: bool) -> None:
    if path is None:
        return
    is_same = path.exists() and any(other.exists() and path.samefile(other) for other in others)
    if is_same or path.resolve() in {other.resolve() for other in others}:
        raise CommandError(
            "--failures must differ from the file that is applied, its state (FILE.apply) and --keys."
        )
    if path.exists() and not resume:
        raise CommandError(f"{path} exists, and may have corrections: name another file.")
    if not path.parent.is_dir():
        raise CommandError(f"The directory of {path} does not exist.")


def _run_key(
    table: Table, mode: Mode, where: Connection, options: Profile, keys: Path | None
) -> RunKey:
    reading = [dict(options.columns), dict(options.constants), table.encoding, table.delimiter]
    digest = hashlib.sha256(json_module.dumps(reading, sort_keys=True).encode()).hexdigest()
    return RunKey(
        sha256=table.digest,
        mode=mode,
        kind=table.kind.path,
        url=where.url.rstrip("/").lower(),
        options=digest,
        keys=str(keys.resolve()) if keys else None,
    )


@dataclass(kw_only=True)
class _Application:
    """One application of a table."""

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

    def open(self, run: RunKey) -> None:
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
            self.close()
            if not resume:
                path.unlink()
            raise

    def _open_keys(self, path: Path) -> KeyFile:
        was_sent = any(map(self.state.count, (Status.SENT, Status.DONE)))
        if was_sent and not path.exists():
            # New keys would be others than those in DPS.
            raise CommandError(f"{path}, the file of this run's keys, is missing.")
        return KeyFile(path, self.table.kind, resume=self.files.resume)

    def close(self) -> None:
        """Closes the files."""
        self.state.close()
        if self.keys:
            self.keys.close()

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
    def _can_resume(self) -> bool:
        return self._was_sent and not self.state.is_ended

    def remove_state(self) -> None:
        """Removes the state if there is nothing to continue."""
        if not self._was_sent or (self.state.is_ended and not self.error):
            self.state.path.unlink(missing_ok=True)

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
        yield BulkMode.UPSERT, self._rows(lambda row: wanted_etag(row) is None)
        yield BulkMode.UPDATE_IF_MATCH_ETAG, self._rows(lambda row: wanted_etag(row) is not None)

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
        with _on_interrupt(self._stop(run, progress)):
            await run.run()

    def _stop(self, run: BulkRun, progress: Progress) -> Callable[[], None]:
        def stop() -> None:
            self.is_interrupted = True
            progress.note("Stopping when the requests in flight have ended; Ctrl-C again: at once.")
            run.stop()

        return stop

    def _rows(self, select: Callable[[Document], bool] = lambda _: True) -> Rows:
        """Yields the selected rows without outcome."""
        id_member = self.table.kind.id_member
        for row in self.table.rows(validate=False):
            if self.state.status(row.number) not in FINAL and select(row.document):
                is_delete = self.mode is Mode.DELETE
                yield row.number, row.id, {id_member: row.id} if is_delete else row.document

    async def _fail_missing(self, client: AppClient) -> None:
        """Records rows without etag as failed if DPS has no such record: an upsert creates it."""
        missing = {
            id.casefold(): number for number, id, row in self._rows() if wanted_etag(row) is None
        }
        ids = [id for _, id, row in self._rows() if wanted_etag(row) is None]
        async for key, _ in find_stored(client, self.table.kind, ids):
            missing.pop(key)
        failure = Failure(code=_NOT_FOUND, reason="DPS has no such record.")
        self.state.record_outcomes({}, dict.fromkeys(missing.values(), failure))

    def _finish(self) -> None:
        """Writes the failed rows, and takes keys out that no record has."""
        if self.keys and not self._was_sent:
            self.keys.keep(lambda _: False)
        if not self.state.failures:
            return
        rows = FailedRows(self.table, self.state.failures)
        if not rows.can_be_read:
            # No key is taken out: it is not known which rows have failed.
            text = f"{self.table.file} was changed during the run: its failed rows are not written."
            self.error = self.error or CommandError(text)
            return
        if self.keys:
            useless = {row.id.casefold() for row, _ in rows}
            self.keys.keep(lambda id: id not in useless)
        if self.files.failures:
            try:
                rows.write(self.files.failures)
            except OSError as error:
                text = f"{self.files.failures} cannot be written: {error.strerror}."
                self.error = self.error or CommandError(text)

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
            if self.state.failures and self.files.failures:
                typer.echo(f"The failed rows are in {self.files.failures}: correct and apply them.")
            shown = [
                f"{count:,} {_WORDS.get(name, name)}" for name, count in counts.items() if count
            ]
            typer.echo(f"{counted(self.total, 'row')}: {', '.join(shown) or 'none'}")
        if self.keys and not self.keys.count:
            print_note(f"No keys were made: {self.files.keys} was not written.")
        if self.error:
            print_note(str(self.error))
        if self._can_resume:
            print_note(f"To continue, run the same command with --resume ({self.state.path}).")


_WORDS = {"notAttempted": "not attempted"}


@contextmanager
def _on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` at the first Ctrl-C or SIGTERM; the second one cancels the task."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def interrupt(*_: object) -> None:
        for number in _SIGNALS:
            signal.signal(number, cancel)
        loop.call_soon_threadsafe(stop)

    def cancel(*_: object) -> None:
        if task:
            loop.call_soon_threadsafe(task.cancel)

    try:
        for number in _SIGNALS:
            signal.signal(number, interrupt)
    except ValueError:  # not in the main thread: whoever runs this handles Ctrl-C
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
