"""A stand-in for DPS with devices enrolled in it, and the command that plays them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from local.device.__main__ import main
from local.dps import DpsStandIn, Options
from local.threads import in_thread
from tests.local.dps.calls import signed_client
from tests.local.dps.devices import Webhook, Yard


@pytest.fixture(scope="session")
def running() -> Iterator[DpsStandIn]:
    """A stand-in in a hurry."""
    hurry = Options(port=0, tls_port=0, retry_after_seconds=0, retry_scale=0.0001)
    with in_thread(DpsStandIn(hurry)) as dps:
        yield dps


@pytest.fixture
def yard(running: DpsStandIn) -> Iterator[Yard]:
    """The same, empty, and its owner."""
    with signed_client(running) as owner:
        owner.post("/_reset").raise_for_status()
        yield Yard(dps=running, owner=owner)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A webhook that waits to be told what to answer."""
    with in_thread(Webhook()) as server:
        yield server


@pytest.fixture
def register(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command at the stand-in: exit code, output, errors."""

    def run(*arguments: object, dps: str | None = None) -> tuple[int, str, str]:
        given = ["register", "--dps", dps or yard.dps.url, *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", ["local.device", *given])
        try:
            code = main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command as a process of its own."""

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
