"""Services in processes of their own, which end with the block that started them."""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent

_START_WITHIN, _ANSWER_WITHIN, _END_WITHIN = 60.0, 30.0, 10.0
_LOG_SHOWN = 2_000

# What the app is told of is what a bench sets, whatever the shell has.
_INHERITED = {"PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE"}


class Child:
    """A process that tells where it is, and how it stands when it is asked."""

    def __init__(self, process: subprocess.Popen[str], log: IO[str]) -> None:
        self._process = process
        self._log = log
        self.where: Mapping[str, Any] = self._read(_START_WITHIN)

    def look(self) -> dict[str, Any]:
        """How it stands."""
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  it was opened with one
        stdin.write("look\n")
        stdin.flush()
        return self._read(_ANSWER_WITHIN)

    def _read(self, within: float) -> dict[str, Any]:
        with selectors.DefaultSelector() as ready:
            assert self._process.stdout is not None  # noqa: S101  it was opened with one
            ready.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if ready.select(within) else ""
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"a service does not answer: {self._log.read()[-_LOG_SHOWN:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def child(kind: str, options: Mapping[str, Any], **variables: str) -> Iterator[Child]:
    """Runs one of `bench/child.py`'s services, with these settings and no others."""
    inherited = {name: os.environ[name] for name in _INHERITED & os.environ.keys()}  # noqa: TID251
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(  # noqa: S603 - our own Python and our own file
            [sys.executable, str(BENCH / "child.py"), kind, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=inherited | variables,
            start_new_session=True,
        )
        try:
            yield Child(process, log)
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Lets it end by itself, as it does when nothing is left to read; else ends its group."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(_END_WITHIN)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_END_WITHIN)


def sleep_until(moment: float) -> None:
    """Sleeps until `time.time()` is there."""
    time.sleep(max(0.0, moment - time.time()))
