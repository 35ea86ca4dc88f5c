"""Fixtures for the tests of the command line, which run it against the local stack."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.app import run
from local.stack import Stack
from tests import secret_factory


@dataclass(frozen=True)
class Ran:
    """A command that has ended: exit code and output."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of the output, as JSON."""
        return json.loads(self.out.splitlines()[-1])


Run = Callable[..., Ran]


@pytest.fixture
def run_cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Run:
    """Runs the command line in an empty directory, without an app."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("ENROLLMENT_URL", "ENROLLMENT_KEY"):
        monkeypatch.delenv(name, raising=False)

    def invoke(*arguments: object) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        secret_factory.outputs += [out, err]
        return Ran(code, out, err)

    return invoke


@pytest.fixture
def cli(run_cli: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line against the app of `stack`."""
    monkeypatch.setenv("ENROLLMENT_URL", stack.host.url)
    return run_cli


@pytest.fixture
def app(stack: Stack) -> Iterator[httpx.Client]:
    """A client of the app."""
    with httpx.Client(base_url=stack.host.url, timeout=30) as client:
        yield client


@pytest.fixture
def set_faults(stack: Stack) -> Callable[..., None]:
    """Replaces the faults of the DPS stand-in."""

    def put(*faults: dict[str, Any]) -> None:
        httpx.put(f"{stack.dps.url}/_faults", json=list(faults)).raise_for_status()

    return put
