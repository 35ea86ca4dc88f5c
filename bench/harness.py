"""Shared by the benchmarks: paths, the QUICK switch, and services in separate processes."""

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

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from local.host import environment

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent

_START_TIMEOUT, _REPLY_TIMEOUT, _EXIT_TIMEOUT = 60.0, 30.0, 10.0
_LOG_CHARACTERS_SHOWN = 2_000

# A service sees the settings that the benchmark gives it, not those of the shell.
_INHERITED_VARIABLES = {"PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE"}


def is_quick() -> bool:
    """Returns whether the environment requests a short run: QUICK=1."""
    return environment.setting("QUICK") not in (None, "0")


class Child:
    """A service in a child process; `endpoint` holds its URL or connection string."""

    def __init__(self, process: subprocess.Popen[str], log: IO[str]) -> None:
        self._process = process
        self._log = log
        self.endpoint: Mapping[str, Any] = self._read_line(_START_TIMEOUT)

    def read_state(self) -> dict[str, Any]:
        """Asks the process for its counters, memory and CPU time."""
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  opened as a pipe
        stdin.write("state\n")
        stdin.flush()
        return self._read_line(_REPLY_TIMEOUT)

    def reset_peak(self) -> None:
        """Makes `peak_memory` start from the present size of the process (proc(5), clear_refs)."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def peak_memory(self) -> int:
        """Returns the largest resident size of the process, in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def _read_line(self, timeout: float) -> dict[str, Any]:
        with selectors.DefaultSelector() as ready:
            assert self._process.stdout is not None  # noqa: S101  opened as a pipe
            ready.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if ready.select(timeout) else ""
        if not line:
            self._log.seek(0)
            log = self._log.read()[-_LOG_CHARACTERS_SHOWN:]
            raise RuntimeError(f"a service does not respond: {log}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def child(kind: str, options: Mapping[str, Any], **variables: str) -> Iterator[Child]:
    """Runs a service of `bench/child.py` with these environment variables and no other settings."""
    inherited = {name: os.environ[name] for name in _INHERITED_VARIABLES & os.environ.keys()}  # noqa: TID251
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(  # noqa: S603  our own Python and our own file
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
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    """Closes the pipes, at which the process exits; kills its group if it does not."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(_EXIT_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_EXIT_TIMEOUT)


def sleep_until(moment: float) -> None:
    """Sleeps until `time.time()` has reached `moment`."""
    time.sleep(max(0.0, moment - time.time()))
