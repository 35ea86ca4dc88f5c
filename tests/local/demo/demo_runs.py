"""Runs the demo as a process, and writes example files for it."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from local.stack import DPS_SETTINGS, ROOT, SERVICE_BUS_SETTINGS

_ROW = re.compile(r"^(\S) +(\d+)/(\d+) (.{8}) ", re.MULTILINE)
_variables = os.environ  # noqa: TID251 - the demo's environment is a copy of it


class Row(NamedTuple):
    """A row of the table: its mark, its number, the number of all rows, and its client."""

    mark: str
    number: int
    total: int
    client: str


@dataclass(frozen=True)
class DemoRun:
    """A run that has ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def rows(self) -> list[Row]:
        """All rows of the table."""
        matches = _ROW.findall(self.stdout)
        return [Row(m, int(number), int(total), c.strip()) for m, number, total, c in matches]

    @property
    def text(self) -> str:
        """The output as one line, without the column of milliseconds."""
        return " ".join(re.sub(r" +\d+$", "", self.stdout, flags=re.MULTILINE).split())

    def line(self, title: str) -> str:
        """Returns the first line that contains the title."""
        return next(line for line in self.stdout.splitlines() if f" {title} " in line)


def run_demo(*arguments: object, **environment: str) -> DemoRun:
    """Runs `python -m local.demo`; the environment's DPS and Service Bus are left out."""
    unset = {*DPS_SETTINGS, *SERVICE_BUS_SETTINGS}
    inherited = {name: value for name, value in _variables.items() if name not in unset}
    process = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "local.demo", *map(str, arguments)],
        cwd=ROOT,
        env={**inherited, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    return DemoRun(process.returncode, process.stdout, process.stderr)


def write_enrollment(directory: Path, registration_id: str, **members: object) -> None:
    """Writes the file of an enrollment with a symmetric key."""
    document = {"registrationId": registration_id, "attestation": {"type": "symmetricKey"}}
    directory = directory / "enrollments"
    directory.mkdir(exist_ok=True)
    (directory / f"{registration_id}.json").write_text(json.dumps({**document, **members}))


def write_fleet(directory: Path, *, rule: str) -> None:
    """Writes a fleet whose device expects `rule`, and a policy with the one rule `right`."""
    rules = [{"name": "right", "hub": "hub-1.azure-devices.net"}]
    policies = {"policies": {"default": {"rules": rules}}}
    (directory / "allocation.json").write_text(json.dumps(policies))
    document = {
        "policy": "default",
        "enrollmentGroup": {"enrollmentGroupId": "g", "attestation": {"type": "symmetricKey"}},
        "devices": [{"registrationId": "member-1", "rule": rule}],
    }
    (directory / "fleets").mkdir()
    (directory / "fleets" / "one.json").write_text(json.dumps(document))
