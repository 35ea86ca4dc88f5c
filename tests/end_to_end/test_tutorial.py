"""The tutorial does what it says."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from local.stack import ROOT
from tests import secret_factory
from tests.app_stack import environment_without_services
from tests.processes import reserve_port

_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PORTS = {
    "FUNCTIONS_PORT": "7071",
    "FUNCTIONS_TLS_PORT": "7444",
    "SERVICEBUS_PORT": "5672",
    "DPS_PORT": "7090",
    "DPS_TLS_PORT": "7443",
}
_TIMEOUT = 60


class Shell:
    """Runs the tutorial's commands with the ports of a stack of its own, in a directory."""

    def __init__(self, directory: Path, ports: dict[str, int]) -> None:
        self.url = f"http://127.0.0.1:{ports['FUNCTIONS_PORT']}"
        self._directory = directory
        self._ports = ports
        self._environment = os.environ | {  # noqa: TID251  processes inherit it
            **{name: str(port) for name, port in ports.items()},
            "ENROLLMENT_URL": self.url,
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "120",
        }

    def start(self, commands: str) -> subprocess.Popen[str]:
        """Starts commands and returns their process."""
        commands = commands.replace(".venv/bin/python", sys.executable)
        for name, port in _PORTS.items():
            commands = commands.replace(f"127.0.0.1:{port}", f"127.0.0.1:{self._ports[name]}")
        dps = f"http://127.0.0.1:{self._ports['DPS_PORT']}"
        commands = commands.replace("local.device register", f"local.device register --dps {dps}")
        commands = commands.replace("make run", f"exec {sys.executable} -m local &>run.log")
        return subprocess.Popen(  # noqa: S603  the commands of the tutorial
            ["/bin/bash", "-uo", "pipefail", "-c", commands],
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, commands: str) -> tuple[str, str]:
        """Runs commands; returns their output and messages."""
        with self.start(commands) as process:
            output = process.communicate(timeout=_TIMEOUT)
        secret_factory.outputs += output
        return output


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in a copy of what the tutorial uses."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    with environment_without_services(), ExitStack() as reserved:
        yield Shell(tmp_path, {name: reserved.enter_context(reserve_port()) for name in _PORTS})


def wait_until_ready(url: str) -> None:
    """Waits until the app is ready."""
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health/ready").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the app is not ready")


def pattern(text: str) -> str:
    """Returns a pattern for an output, in which `…` is any text; spaces at line ends do not count."""
    return r"\s*".join(re.escape(line).replace("…", ".*?") for line in [*text.splitlines(), ""])


@pytest.mark.long
def test_tutorial(shell: Shell) -> None:
    """Every command of the tutorial prints what the tutorial says."""
    blocks = _BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text())
    (_, start), *rest = blocks
    commands = [content for kind, content in rest if kind == "sh"]
    outputs = [content for kind, content in rest if kind == "text"]
    assert len(commands) == len(outputs) > 10
    with shell.start(start) as app:
        try:
            wait_until_ready(shell.url)
            for command, expected in zip(commands, outputs, strict=True):
                out, err = shell.run(command)
                assert re.fullmatch(pattern(expected), out.lstrip("\ufeff"), re.DOTALL), (
                    f"{command}{out}{err}"
                )
        finally:
            app.terminate()
