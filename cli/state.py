"""
The state file of `apply`: which rows were sent, and their outcomes.

It is append-only, with one JSON object per line, and written to disk before and after each request.
So after a crash the rows that were in flight are known. A last line that is cut off is dropped. It
never contains a record or a key.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Self

from cli.durable_files import append, is_in_place, open_private
from cli.errors import CommandError, RunFileError

if sys.platform != "win32":
    import fcntl

_VERSION = 1
_START = b'{"version": %d, "sha256": "' % _VERSION
_SUFFIX = ".apply"


class Status(IntEnum):
    """What is known about a row."""

    OPEN = 0
    """Not applied by this run."""
    SENT = 1
    """In flight, or its response was lost: it may be applied."""
    DONE = 2
    UNCHANGED = 3
    """DPS already had the record as the row asks for."""
    FAILED = 4


FINAL = frozenset({Status.DONE, Status.UNCHANGED, Status.FAILED})


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """
    What a run belongs to.

    `options` is a digest of how the file is read, `keys` the path of the file of keys, if any.
    """

    sha256: str
    mode: str
    kind: str
    url: str
    options: str
    keys: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a row failed: an error code of six digits and a text."""

    code: int
    reason: str


class StateFile:
    """The state of one run; rows are known by their numbers, from 1."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.identity: RunIdentity | None = None
        """`None` as long as the file is empty."""
        self.is_ended = False
        self.failures: dict[int, Failure] = {}
        self._statuses = bytearray(1)
        self._descriptor = descriptor

    @classmethod
    def create(cls, path: Path, identity: RunIdentity) -> Self:
        """Begins a run; raises `CommandError` if another one of this file is to be continued."""
        state = cls._open(path)
        # The state of a run that has nothing left to do is removed.
        if state.identity is not None:
            state.close()
            raise CommandError(
                f"An earlier run of this file has not ended. Continue it with --resume, or delete "
                f"{path} to discard its progress."
            )
        state.begin(identity)
        return state

    def begin(self, identity: RunIdentity) -> None:
        """Begins a run in place of the one in the file."""
        os.ftruncate(self._descriptor, 0)
        self.identity, self.is_ended = identity, False
        self.failures, self._statuses = {}, bytearray(1)
        self._append({"version": _VERSION, **asdict(identity)})

    @classmethod
    def resume(cls, path: Path, identity: RunIdentity) -> Self:
        """Continues a run; raises `CommandError` if there is none, or it is another one."""
        if not path.exists():
            raise CommandError("There is no run of this file to continue: leave out --resume.")
        state = cls._open(path)
        before = asdict(state.identity) if state.identity else {}
        differences = [
            _DIFFERENCES[name]
            for name, value in asdict(identity).items()
            if before and before[name] != value
        ]
        if before and not differences:
            return state
        state.close()
        if not before:
            raise CommandError(f"{path} has no run to continue: delete it, and leave out --resume.")
        raise CommandError(
            f"This run cannot be continued: {'; '.join(differences)}. Apply the file as before, or "
            f"delete {path} to discard its progress."
        )

    @classmethod
    def _open(cls, path: Path) -> Self:
        state = cls(path, _open_locked(path))
        content = path.read_bytes()
        complete = content[: content.rfind(b"\n") + 1]
        # An empty file, or one whose first line is cut off, has no run.
        is_valid = bool(complete) or content[: len(_START)] == _START[: len(content)]
        try:
            for line in complete.splitlines():
                state._read(json.loads(line))
            is_valid = is_valid and (state.identity is not None or not complete)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            is_valid = False
        if not is_valid:
            state.close()
            raise CommandError(f"{path} is no state of this version, or damaged: move it away.")
        os.ftruncate(state._descriptor, len(complete))
        return state

    def _read(self, entry: Mapping[str, Any]) -> None:
        if "version" in entry:
            if entry["version"] != _VERSION:
                raise ValueError("it is of another version")
            names = RunIdentity.__dataclass_fields__
            self.identity = RunIdentity(**{name: entry[name] for name in names})
        for name, status in _NAMES.items():
            for number in _numbers(entry.get(name, ())):
                self._set(number, status)
        for number, (code, reason) in entry.get("failed", {}).items():
            if not isinstance(code, int) or not isinstance(reason, str):
                raise TypeError("it is no failure")
            self._set(int(number), Status.FAILED)
            self.failures[int(number)] = Failure(code=code, reason=reason)
        self.is_ended = bool(entry.get("ended", False))

    def status(self, number: int) -> Status:
        """Returns what is known about a row."""
        known = number < len(self._statuses)
        return Status(self._statuses[number]) if known else Status.OPEN

    def count(self, status: Status) -> int:
        """Returns the number of rows with a status other than `OPEN`."""
        return bytes(self._statuses).count(bytes([status]))

    def record_sent(self, numbers: Iterable[int]) -> None:
        """Records rows before they are sent."""
        self._record({Status.SENT: list(numbers)}, {})

    def record_outcomes(
        self, statuses: Mapping[int, Status], failures: Mapping[int, Failure]
    ) -> None:
        """Records what is known about rows after a request."""
        by_status: dict[Status, list[int]] = {}
        for number, status in statuses.items():
            by_status.setdefault(status, []).append(number)
        self._record(by_status, failures)

    def end(self) -> None:
        """Records that every row has its outcome."""
        self.is_ended = True
        self._append({"ended": True})

    def close(self, *, remove: bool = False) -> None:
        """Closes the file; with `remove` it is removed before another run can open it."""
        is_windows = sys.platform == "win32"  # does not remove a file that is open
        if remove and not is_windows:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        if remove and is_windows:
            self.path.unlink(missing_ok=True)

    def _record(
        self, by_status: Mapping[Status, list[int]], failures: Mapping[int, Failure]
    ) -> None:
        entry: dict[str, Any] = {}
        for name, status in _NAMES.items():
            if numbers := by_status.get(status):
                entry[name] = list(_ranges(sorted(numbers)))
        if failures:
            entry["failed"] = {n: [f.code, f.reason] for n, f in failures.items()}
        if entry:
            self._append(entry)
            self._read(entry)

    def _set(self, number: int, status: Status) -> None:
        if number < 1:
            raise ValueError("it is no row number")
        missing = number + 1 - len(self._statuses)
        if missing > 0:
            self._statuses.extend(bytes(max(missing, len(self._statuses))))
        self._statuses[number] = status

    def _append(self, entry: Mapping[str, Any]) -> None:
        try:
            append(self._descriptor, json.dumps(entry).encode() + b"\n")
        except OSError as error:
            raise RunFileError(f"{self.path} cannot be written: {error.strerror}.") from error


_NAMES = {
    "sent": Status.SENT,
    "open": Status.OPEN,
    "done": Status.DONE,
    "unchanged": Status.UNCHANGED,
}
_DIFFERENCES = {
    "sha256": "the file was changed",
    "mode": "--mode is different",
    "kind": "--kind is different",
    "url": "--url names another app",
    "options": "--column, --set or the profile are different",
    "keys": "--keys is different",
}


def state_path(file: Path) -> Path:
    """Returns the path of the state file for an input file."""
    return file.with_name(file.name + _SUFFIX)


def _open_locked(path: Path) -> int:
    """Opens the file for this process alone; raises `CommandError` if another one has it open."""
    try:
        descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise CommandError("Another run of this file is in progress.") from None
    if not is_in_place(os.fstat(descriptor), path):  # another run has just removed it
        os.close(descriptor)
        return _open_locked(path)
    return descriptor


def _numbers(ranges: Iterable[tuple[int, int]]) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last + 1)


def _ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = last = 0
    for number in numbers:
        if number != last + 1 and last:
            yield first, last
            first = number
        first = first or number
        last = number
    if last:
        yield first, last
