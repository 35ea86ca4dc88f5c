"""`apply`: a file into DPS, with progress, a state to resume from, and the rows that failed."""

import asyncio
import hashlib
import json as json_module
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from cli.bulk_run import BulkRun, Rows
from cli.checking import check_rows
from cli.client import AppClient, Connection, open_client
from cli.durable_files import open_private
from cli.errors import CommandError
from cli.exit_codes import ExitCode
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
from cli.output import print_json, print_note, print_table
from cli.profile import Profile
from cli.progress import Progress
from cli.state import FINAL, Failure, RunKey, StateFile, Status, state_path
from cli.stored import Document, find_stored, wanted_etag
from cli.tables import COMMENT, Row, Table, rewritten
from shared.dps.models import BulkMode

_INVALID, _NOT_FOUND = 400004, 404201
_EXTRA = tuple(f"{COMMENT}{name}" for name in ("line", "code", "reason"))
_SHOWN_FAILURES = 20
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
        typer.Option("--keys", help="Make symmetric keys here, and write them to this new file."),
    ] = None,
    failures: Annotated[
        Path | None,
        typer.Option("--failures", help="Write the rows that failed, with reason, to this file."),
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
    others = {path.resolve() for path in (file, state_path(file), keys) if path}
    if failures and failures.resolve() in others:
        raise CommandError(
            "--failures must be another file than the one that is applied, its state and --keys."
        )
    if failures and not failures.parent.is_dir():
        raise CommandError(f"The directory of {failures} does not exist.")
    table = open_valid_table(file, options, kind)
    where = connection(url, key, options)
    files = _Files(keys=keys, failures=failures, resume=resume)
    application = _Application(table=table, mode=mode, connection=where, files=files)
    application.open(_run_key(table, mode, where, options, keys))
    try:
        application.run()
    finally:
        application.close()
    application.report(as_json=json)
    if code := application.exit_code:
        raise typer.Exit(code)


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
        has_keys=keys is not None,
    )


@dataclass(kw_only=True)
class _Application:
    """One application of a table."""

    table: Table
    mode: Mode
    connection: Connection
    files: _Files
    total: int = 0
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
                if self.keys and self.files.keys:
                    self.files.keys.unlink()  # nothing was sent: it has no keys
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
        result = check_rows(self.table, self.mode.bulk, on_row=progress.advance)
        self.total = result.total
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

    async def _run(self) -> None:
        async with open_client(self.connection) as client:
            await client.check_reachable()
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
        for row in self.table.rows(self.mode.bulk, validate=False):
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
        failed = self.state.failures
        if failed and not self.table.is_unchanged:
            # Its rows have other numbers now: no key is taken out.
            text = f"{self.table.file} was changed during the run: its failed rows are not written."
            self.error = self.error or CommandError(text)
            return
        if self.keys and failed:
            useless = {
                row.id.casefold()
                for row in self.table.rows(self.mode.bulk, validate=False)
                if row.number in failed
            }
            self.keys.drop(useless.__contains__)
        if self.files.failures:
            try:
                self._write_failures(self.files.failures)
            except OSError as error:
                text = f"{self.files.failures} cannot be written: {error.strerror}."
                self.error = self.error or CommandError(text)

    def _write_failures(self, path: Path) -> None:
        failed = self.state.failures
        rows = (
            (row, _extra_columns(row, failed[row.number]))
            for row in self.table.rows(self.mode.bulk, validate=False)
            if row.number in failed
        )
        # The rows may have keys.
        with open(path, "w", encoding="utf-8-sig", newline="", opener=_open_private) as out:
            out.writelines(rewritten(self.table, rows, _EXTRA))

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
        """Prints the counts, the failures and how to go on."""
        failures = self.state.failures
        if as_json:
            lines = self._lines(set(failures))
            listed = [{"line": lines[n], **asdict(f)} for n, f in sorted(failures.items())]
            print_json({"rows": self.total, **self._counts(), "failures": listed})
        else:
            self._print_failures()
            names = {"notAttempted": "not attempted"}
            counts = {names.get(n, n): count for n, count in self._counts().items()}
            shown = [f"{count:,} {name}" for name, count in counts.items() if count]
            typer.echo(f"{self.total:,} rows: {', '.join(shown) or 'none'}")
        if self.error:
            print_note(str(self.error))
        if not self.state.is_ended:
            print_note(f"To continue, run the same command with --resume. State: {self.state.path}")

    def _print_failures(self) -> None:
        failures = sorted(self.state.failures.items())
        if not failures:
            return
        lines = self._lines({number for number, _ in failures[:_SHOWN_FAILURES]})
        rows = [(lines[n], f.code, f.reason) for n, f in failures[:_SHOWN_FAILURES]]
        print_table("Failed rows", ["Line", "Code", "Reason"], [(a, str(b), c) for a, b, c in rows])
        if len(failures) > _SHOWN_FAILURES:
            by_code = Counter(failure.code for _, failure in failures)
            counts = ", ".join(f"{code}: {count:,}" for code, count in by_code.most_common())
            typer.echo(f"… {len(failures):,} in all; by code: {counts}")
        if self.files.failures:
            typer.echo(f"The failed rows are in {self.files.failures}: correct and apply them.")

    def _lines(self, numbers: set[int]) -> Mapping[int, int]:
        rows = self.table.rows(self.mode.bulk, validate=False)
        return {row.number: row.line for row in rows if row.number in numbers}


def _open_private(path: str, flags: int) -> int:
    return open_private(Path(path), flags)


def _extra_columns(row: Row, failure: Failure) -> dict[str, str]:
    values = (str(row.line), str(failure.code), failure.reason)
    return dict(zip(_EXTRA, values, strict=True))


@contextmanager
def _on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` at the first Ctrl-C; the second one interrupts the task."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    before = signal.getsignal(signal.SIGINT)

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, cancel)
        loop.call_soon_threadsafe(stop)

    def cancel(*_: object) -> None:
        if task:
            loop.call_soon_threadsafe(task.cancel)

    try:
        signal.signal(signal.SIGINT, interrupt)
    except ValueError:  # not in the main thread: whoever runs this handles Ctrl-C
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
