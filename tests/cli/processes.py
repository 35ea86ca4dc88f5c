"""Commands in processes of their own."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from local.stack import ROOT

TIMEOUT = 120.0

Command = asyncio.subprocess.Process


async def start(url: str, *arguments: str) -> Command:
    """Starts a command of the command line in a process."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"ENROLLMENT_URL": url, "PYTHONPATH": str(ROOT)},  # noqa: TID251
    )


async def start_apply(url: str, *options: str, mode: str = "create") -> Command:
    """Starts `apply` of devices.csv in a process."""
    return await start(url, "apply", "devices.csv", "--mode", mode, "--json", *options)


async def end_of(command: Command) -> tuple[dict[str, Any], str, int | None]:
    """Returns report, messages and exit code of a command that ends."""
    out, err = await asyncio.wait_for(command.communicate(), TIMEOUT)
    assert out, err.decode()
    report: dict[str, Any] = json.loads(out)
    return report, err.decode(), command.returncode


async def report_of(command: Command) -> dict[str, Any]:
    """Returns the report of a command that ends."""
    report, _, _ = await end_of(command)
    return report


async def wait_for_state(lines: int, command: Command) -> None:
    """Waits until the state file has so many lines, or the command has ended."""
    while command.returncode is None and state_lines() < lines:  # noqa: ASYNC110  a file
        await asyncio.sleep(0.002)


def state_lines() -> int:
    """Returns the number of lines of the state file."""
    file = Path("devices.csv.apply")
    return file.read_bytes().count(b"\n") if file.exists() else 0


async def kill(command: Command) -> dict[str, Any] | None:
    """Kills a command; returns its report if it had ended before."""
    if command.returncode is None:
        command.kill()
    out, _ = await command.communicate()
    return json.loads(out) if out else None
