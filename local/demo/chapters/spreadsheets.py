"""The command line: a spreadsheet of an ERP checked, applied, corrected and exported."""

import csv
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from local.demo.checks import expect, expect_document
from local.demo.context import TIMEOUT, DemoContext
from local.demo.steps import Client, Step, StepSkippedError
from local.stack import ROOT

SOURCE = ROOT / "examples" / "cli" / "presses.csv"
PROFILE = SOURCE.with_name("erp.toml")
ROWS, FOUND_BY_CHECK, FAILED = 200, 6, 7
FAULTS, OK = 1, 0

# What the person who corrects the file writes, by id; "" is the row whose id is missing.
MENDED = {
    "press 0023": {"Serial No": "press-0023"},
    "press-0057": {"Attestation": "symmetricKey"},
    "press-0088": {"Allocation": "static"},
    "press-0101": {"Speed": "4"},
    "press-0140": {"Hub": "hub-1.azure-devices.net"},
    "press-0166": {"Allocation": "static", "Hub": "hub-2.azure-devices.net"},
    "": {"Serial No": "press-0190"},
}


def steps(demo: DemoContext) -> list[Step]:
    """Returns steps that take 200 devices from a spreadsheet with seven bad rows into DPS."""
    # The last step removes it; if that is not run, the interpreter does.
    directory = tempfile.TemporaryDirectory(prefix="demo-")
    files = Path(directory.name)
    return [
        Step(Client.CLI, f"check a spreadsheet of {ROWS} devices", partial(_check, demo)),
        Step(Client.CLI, "apply it, with keys made here", partial(_apply, demo, files)),
        Step(Client.CLI, "correct the failed rows, apply them", partial(_correct, demo, files)),
        Step(Client.CLI, "plan: is DPS as the file says?", partial(_plan, demo, files)),
        Step(Client.CLI, "export one plant", partial(_export, demo, files)),
        Step(Client.CLI, "delete all of these", partial(_delete, demo, directory)),
    ]


def _run(demo: DemoContext, *arguments: object, code: int = OK) -> str:
    """Runs the command line against the app; returns its output, and checks its exit code."""
    connection = {"ENROLLMENT_URL": demo.app_url, "ENROLLMENT_KEY": demo.function_key}
    ran = subprocess.run(  # noqa: S603  our own Python and our own module
        [sys.executable, "-m", "cli", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | connection,  # noqa: TID251  a process inherits it
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    expect("exit code", ran.returncode, code)
    return ran.stdout


def _report(demo: DemoContext, *arguments: object, code: int = OK) -> Any:
    return json.loads(_run(demo, *arguments, "--json", code=code).splitlines()[-1])


def _check(demo: DemoContext) -> str:
    report = _report(demo, "check", SOURCE, "--profile", PROFILE, code=FAULTS)
    expect("rows and faulty rows", (report["rows"], report["faultyRows"]), (ROWS, FOUND_BY_CHECK))
    return f"{FOUND_BY_CHECK} bad rows found, with line and column"


def _apply(demo: DemoContext, files: Path) -> str:
    source = files / SOURCE.name
    source.write_bytes(SOURCE.read_bytes())
    keys, failed = files / "keys.csv", files / "failed.csv"
    options = ("--profile", PROFILE, "--keys", keys, "--failures", failed)
    report = _report(demo, "apply", source, "--mode", "create", *options, code=FAULTS)
    expect("done and failed", (report["done"], report["failed"]), (ROWS - FAILED, FAILED))
    first = next(iter(_rows(keys)))
    path = f"/enrollments/{first['registrationId']}/attestationmechanism"
    stored = expect_document(demo.http.post(path))["symmetricKey"]
    expect("key in the file and in DPS", stored["primaryKey"] == first["primaryKey"], expected=True)
    return f"{ROWS - FAILED} done, {FAILED} failed; DPS has the keys of the file"


def _correct(demo: DemoContext, files: Path) -> str:
    if not (files / "failed.csv").exists():
        raise StepSkippedError("no rows failed")
    rows = _rows(files / "failed.csv")
    for row in rows:
        row.update(MENDED[row["Serial No"]])
    with (files / "corrected.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    options = ("--profile", PROFILE, "--mode", "create")
    report = _report(demo, "apply", files / "corrected.csv", *options)
    expect("done", report["done"], FAILED)
    return f"{FAILED} done"


def _plan(demo: DemoContext, files: Path) -> str:
    options = ("--profile", PROFILE, "--mode", "upsert")
    counts = _report(demo, "plan", files / "corrected.csv", *options)["counts"]
    expect("unchanged", counts["unchanged"], FAILED)
    return f"{FAILED} unchanged, nothing to do"


def _export(demo: DemoContext, files: Path) -> str:
    file = files / "lyon.csv"
    _run(demo, "export", "--id-prefix", "press-", "--tag", "plant=Lyon", "-o", file)
    rows = _rows(file, delimiter=",")
    expect("devices", len(rows), ROWS // 4)
    expect("columns of keys", [name for name in rows[0] if "Key" in name], [])
    return f"{len(rows)} devices, without keys"


def _delete(demo: DemoContext, directory: "tempfile.TemporaryDirectory[str]") -> str:
    ids = Path(directory.name) / "ids.csv"
    _run(demo, "export", "--id-prefix", "press-", "-o", ids)
    report = _report(demo, "apply", ids, "--mode", "delete")
    expect("done", report["done"], ROWS)
    directory.cleanup()
    return f"{ROWS} deleted"


def _rows(file: Path, *, delimiter: str | None = None) -> list[dict[str, str]]:
    """Returns the rows of a file; that of keys has commas, the spreadsheets have semicolons."""
    text = file.read_text("utf-8-sig").splitlines()
    found = delimiter or (";" if ";" in text[0] else ",")
    return list(csv.DictReader(text, delimiter=found))
