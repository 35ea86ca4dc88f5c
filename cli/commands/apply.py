"""`apply`: a file into DPS, with progress, a state to resume from, and the rows that failed."""

import asyncio
import hashlib
import json as json_module
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.bulk_run import BulkRun
from cli.checking import checked_rows
from cli.client import AppClient, Connection, open_client
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
from cli.stored import find_stored, wanted_etag
from cli.tables import COMMENT, Row, Table, rewritten
from shared.dps.models import BulkMode

_INVALID, _TWICE, _NOT_FOUND, _OTHER_ETAG = 400004, 400004, 404201, 412001
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
        bool, typer.Option("--resume", help="Go on with a run of this file that was interrupted.")
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
        faulty: dict[int, Failure] = {}
        numbers: dict[str, int] = {}
        for row in checked_rows(self.table, self.mode.bulk):
            self.total += 1
            first = numbers.setdefault(row.id.casefold(), row.number) if row.id else row.number
            if row.faults:
                faulty[row.number] = _row_failure(row)
            if first != row.number and first not in faulty:
                reason = f"{self.table.kind.id_member}: line {row.line} has the same id"
                faulty[first] = Failure(code=_TWICE, reason=reason)
            progress.advance()
        new = [item for item in faulty.items() if self.state.status(item[0]) not in FINAL]
        for start in range(0, len(new), _FAILURES_PER_LINE):
            self.state.settled({}, dict(new[start : start + _FAILURES_PER_LINE]))

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
            rows = self._rows()
            if self.mode is Mode.UPDATE:
                rows = await self._existing_rows(client)
            with Progress("Applying", total=self.total) as progress:
                run = BulkRun(
                    client,
                    self.state,
                    kind=self.table.kind,
                    # An update over HTTP needs an etag; an upsert also keeps the keys.
                    mode=BulkMode.UPSERT if self.mode is Mode.UPDATE else self.mode.bulk,
                    rows=rows,
                    total=self.total,
                    keys=self.keys,
                    on_progress=lambda: progress.show(self._counts()),
                    on_wait=progress.note,
                )
                progress.show(self._counts())
                with _on_interrupt(self._stop(run, progress)):
                    await run.run()

    def _stop(self, run: BulkRun, progress: Progress) -> Callable[[], None]:
        def stop() -> None:
            self.is_interrupted = True
            progress.note("Stopping when the requests in flight have ended; Ctrl-C again: at once.")
            run.stop()

        return stop

    def _rows(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Yields the rows without outcome."""
        for row in self.table.rows(self.mode.bulk, validate=False):
            if self.state.status(row.number) not in FINAL:
                id_member = self.table.kind.id_member
                is_delete = self.mode is Mode.DELETE
                yield row.number, row.id, {id_member: row.id} if is_delete else row.document

    async def _existing_rows(self, client: AppClient) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Returns the rows to update; those without a record, or with another etag, fail."""
        ids = [id for _, id, _ in self._rows()]
        etags: dict[str, Any] = {}
        async for key, record in find_stored(client, self.table.kind, ids):
            etags[key] = record.get("etag")
        failures: dict[int, Failure] = {}
        for number, id, document in self._rows():
            etag = wanted_etag(document)
            if id.casefold() not in etags:
                failures[number] = Failure(code=_NOT_FOUND, reason="DPS has no such record.")
            elif etag not in (None, etags[id.casefold()]) and not self._was_sent(number):
                reason = "The record was changed: its etag is another."
                failures[number] = Failure(code=_OTHER_ETAG, reason=reason)
        self.state.settled({}, failures)
        return self._rows()

    def _was_sent(self, number: int) -> bool:
        return self.state.status(number) is Status.SENT

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
            rows = (
                (row, _extra_columns(row, failed[row.number]))
                for row in self.table.rows(self.mode.bulk, validate=False)
                if row.number in failed
            )
            # The rows may have keys.
            with open(
                self.files.failures, "w", encoding="utf-8-sig", newline="", opener=_open_private
            ) as out:
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
            print_note(f"Go on with the same command and --resume. State: {self.state.path}")

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
    return os.open(path, flags, 0o600)


def _row_failure(row: Row) -> Failure:
    texts = [f"{fault.column} {fault.message}".strip() for fault in row.faults]
    return Failure(code=_INVALID, reason="; ".join(texts))


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
