"""
The command line: python bench/command_line.py.

`check` and `apply` run in processes of their own; `apply` against an app whose DPS takes 400 ms for a
bulk call. The peer is the limit: the time and the memory that are allowed, or the time that the
quota of DPS takes.
"""

import csv
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deployment import PER_MINUTE, deploy
from harness import ROOT, is_quick
from http_bulk import WITHOUT_QUEUE_TRIGGERS
from saturation import exhaust_quota
from table import NotMeasured, Row, Rows, print_table

NOTE = "peer: what is allowed, or with a quota the time that the quota takes"
_CHECKED, _CHECK_SECONDS, _CHECK_MEGABYTES = 100_000, 10.0, 200.0
_RECORDS_PER_CALL = 10
# Rows and the share of the time that the quota takes; of the larger file, start and end are small.
_APPLIED = {10_000: 80 / 60, 100_000: 1 / 0.95}
_COLUMNS = (
    "registrationId",
    "deviceId",
    "attestation.type",
    "provisioningStatus",
    "allocationPolicy",
    "iotHubs",
    "initialTwin.tags.plant",
    "initialTwin.tags.line:number",
)


@dataclass(frozen=True, kw_only=True)
class _Ran:
    seconds: float
    megabytes: float


def rows() -> Rows:
    """Time and memory of `check`, and the time of `apply` at the quota."""
    with tempfile.TemporaryDirectory() as directory:
        checked = _run("check", str(_write(Path(directory) / "check.csv", _CHECKED)))
        found = _check_rows(checked)
        sizes = [] if is_quick() else list(_APPLIED)
        found += [_apply_row(Path(directory), size) for size in sizes]
    name = f"{max(_APPLIED):,} rows applied at {PER_MINUTE:,} calls a minute, s"
    why = "it takes eleven minutes"
    goal = f"<= {_APPLIED[100_000]:.3g}"
    return [*found, NotMeasured(name=name, goal=goal, why=why)] if is_quick() else found


def _check_rows(ran: _Ran) -> list[Row | NotMeasured]:
    name = f"check of a CSV file of {_CHECKED:,} rows"
    return [
        Row(name=name, unit="s", ours=[ran.seconds], theirs=[_CHECK_SECONDS], at_most=1),
        Row(name=name, unit="MB", ours=[ran.megabytes], theirs=[_CHECK_MEGABYTES], at_most=1),
    ]


def _apply_row(directory: Path, size: int) -> Row:
    file = _write(directory / f"apply-{size}.csv", size)
    with deploy() as deployment:
        quota = {"operationsPerMinute": PER_MINUTE, "algorithm": "tokenBucket"}
        deployment.dps.configure("throttle", quota)
        settings = {"DPS_PACING_START": str(PER_MINUTE), **WITHOUT_QUEUE_TRIGGERS}
        with deployment.run_app(settings) as app:
            exhaust_quota(deployment.dps)
            options = ("--mode", "create", "--url", str(app.endpoint["url"]))
            ran = _run("apply", str(file), *options)
            devices = deployment.dps.stats().devices
    if devices != size:
        raise RuntimeError(f"{devices} of {size} devices were enrolled")
    return Row(
        name=f"{size:,} rows applied at {PER_MINUTE:,} calls a minute",
        unit="s",
        ours=[ran.seconds],
        theirs=[60 * size / _RECORDS_PER_CALL / PER_MINUTE],
        at_most=_APPLIED[size],
    )


def _write(file: Path, size: int) -> Path:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(_COLUMNS)
        hubs = "hub-1.azure-devices.net hub-2.azure-devices.net"
        for number in range(size):
            id = f"press-{number:07}"
            row = (id, id, "symmetricKey", "enabled", "hashed", hubs, "007", number % 12)
            writer.writerow(row)
    return file


# Linux counts the memory of the process that starts a command as the command's: a small one starts it.
_MEASURE = """
import resource, subprocess, sys, time
started = time.monotonic()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.monotonic() - started, usage.ru_maxrss / 1024)
"""


def _run(*arguments: str) -> _Ran:
    """Runs a verb in a process; raises CalledProcessError if its exit code is not 0."""
    command = [sys.executable, "-c", _MEASURE, sys.executable, "-m", "cli", *arguments]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603  our own Python and our own module
    seconds, megabytes = map(float, ran.stdout.split())
    return _Ran(seconds=seconds, megabytes=megabytes)


if __name__ == "__main__":
    sys.exit(print_table(rows(), NOTE))
