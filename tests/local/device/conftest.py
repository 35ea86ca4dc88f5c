"""The command, run in this process and as a separate process."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from local.device.__main__ import main
from tests.local.dps.devices import Fleet

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def register(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `register` against the stand-in and returns exit code, output and errors."""

    def run(*arguments: object, dps: str | None = None) -> tuple[int, str, str]:
        try:
            code = main(["register", "--dps", dps or fleet.dps.url, *map(str, arguments)])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command as a process and returns it when it has ended."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "local.device", *arguments],
            env={**os.environ, **environment},  # noqa: TID251 - a child needs its PATH
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return run
