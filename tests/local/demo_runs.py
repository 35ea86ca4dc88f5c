"""The demo as a process, and files of one's own for it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from local.stack import DPS_SETTINGS, ROOT, SERVICE_BUS_SETTINGS

ROW = re.compile(r"^(\S) +(\d+)/(\d+) (.{8}) ", re.MULTILINE)

variables = os.environ  # noqa: TID251 - the demo's own is made from it


def demo(*arguments, **environment):
    """The demo as a process that has ended, its output as text."""
    unset = {*DPS_SETTINGS, *SERVICE_BUS_SETTINGS}
    inherited = {name: value for name, value in variables.items() if name not in unset}
    return subprocess.run(  # noqa: S603 - this very package
        [sys.executable, "-m", "local.demo", *map(str, arguments)],
        cwd=ROOT,
        env={**inherited, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def enrollment(directory: Path, registration_id, **members):
    """A file for one device with a symmetric key, and what else is given."""
    document = {"registrationId": registration_id, "attestation": {"type": "symmetricKey"}}
    directory = directory / "enrollments"
    directory.mkdir(exist_ok=True)
    (directory / f"{registration_id}.json").write_text(json.dumps({**document, **members}))


def fleet(directory: Path, *, rule):
    """A fleet of one device that is to be decided by a rule, and the policies with rule `right`."""
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


def rows(run):
    """Mark, number, total and client of each row."""
    return ROW.findall(run.stdout)


def told(run):
    """All that it says, as one line without the milliseconds."""
    return " ".join(re.sub(r" +\d+$", "", run.stdout, flags=re.MULTILINE).split())
