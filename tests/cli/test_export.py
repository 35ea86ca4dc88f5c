"""`export`: records of DPS as files that `apply` takes."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.stack import Stack
from shared.dps.responses import READ_ONLY_MEMBERS
from tests import secret_factory
from tests.cli.conftest import Run
from tests.cli.files import device_rows, stored, write_csv

EXAMPLES = Path(__file__).parents[2] / "examples" / "enrollments"
ODD_TWIN = {
    "tags": {
        "plant": "007",
        "formula": "=1+1",
        "quoted": "'=x",
        "minus": "-5",
        "number": -5,
        "empty": "",
        "spaces": "  x ",
        "a.b": "dot",
        "type:json": "suffix",
        "/slash~": "pointer",
        "list": [1, "2"],
        "flag": False,
        "text": 'a "b"\n;c',
        "mixed": {"deep": 1},
        "Version": "1",
        "#hash": "x",
        "true": "true",
        "return": "moved\rvictim-7",
        "escape": "\x1b[2J",
        "separator": "a\u2028b",
        "surrogate": "\ud800",
        "a;b;c;d;e": "1",
        "tab\tname": "1",
        "null": None,
        "big": 2**70,
        "float": 1.5,
        "long": "x" * 140_000,
    },
    "properties": {"desired": {"version": 3}},
}


JSON = {"content-type": "application/json"}


def without_read_only(records: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns records without what DPS writes itself."""
    return {
        id: {name: value for name, value in record.items() if name not in READ_ONLY_MEMBERS}
        for id, record in records.items()
    }


@pytest.fixture
def records(app: httpx.Client) -> dict[str, dict[str, Any]]:
    """Records of every kind that can be created again: the examples, and odd twins."""
    documents = [json.loads(file.read_text()) for file in sorted(EXAMPLES.glob("*.json"))]
    documents = [d for d in documents if d["attestation"]["type"] != "x509"]
    odd = {"registrationId": "odd-1", "attestation": {"type": "symmetricKey"}}
    documents.append({**odd, "initialTwin": ODD_TWIN})
    tags = {"mixed": "text", "list": "text", "plant": 7}
    documents.append({**odd, "registrationId": "odd-2", "initialTwin": {"tags": tags}})
    documents.append({**odd, "registrationId": "odd-3", "newInApi": {"a": 1, "b": "x"}})
    information = {"a": None, "b": " x "}
    documents.append({**odd, "registrationId": "odd-4", "optionalDeviceInformation": information})
    for document in documents:
        url, content = f"/enrollments/{document['registrationId']}", json.dumps(document)
        app.put(url, content=content, headers=JSON).raise_for_status()
    return without_read_only(stored(app))


@pytest.mark.parametrize("file_format", ["csv", "ndjson", "json"])
def test_export_can_be_applied(
    cli: Run,
    stack: Stack,
    app: httpx.Client,
    records: dict[str, dict[str, Any]],
    file_format: str,
) -> None:
    """A file exported from one DPS and applied to an empty one gives the same records."""
    exported = cli("export", "--format", file_format, "-o", "file")
    httpx.post(f"{stack.dps.url}/_reset").raise_for_status()

    ran = cli("apply", "file", "--mode", "create", "--json")

    assert (exported.code, ran.code) == (0, 0), ran.out
    assert without_read_only(stored(app)) == records


def test_exported_groups_can_be_applied(cli: Run, stack: Stack, app: httpx.Client) -> None:
    """Enrollment groups are exported and applied the same way."""
    group = {"enrollmentGroupId": "presses", "attestation": {"type": "symmetricKey"}}
    app.put("/enrollmentGroups/presses", json=group).raise_for_status()
    before = without_read_only(stored(app, "enrollmentGroups"))

    cli("export", "--kind", "group", "-o", "groups.csv")
    httpx.post(f"{stack.dps.url}/_reset").raise_for_status()
    cli("apply", "groups.csv", "--mode", "create")

    assert without_read_only(stored(app, "enrollmentGroups")) == before


@pytest.mark.usefixtures("records")
def test_no_cell_is_a_formula(cli: Run) -> None:
    """A spreadsheet runs no cell of an exported file."""
    out = cli("export").out

    csv.field_size_limit(1 << 20)
    rows = list(csv.reader(io.StringIO(out, newline="")))
    assert [c for row in rows for c in row if c.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
    assert any("'=1+1" in row for row in rows)


@pytest.mark.parametrize("file_format", ["csv", "ndjson", "json"])
def test_keys_are_left_out(cli: Run, app: httpx.Client, file_format: str) -> None:
    """No key is in the file, neither a device's nor that in the URL of a webhook."""
    key, code = secret_factory.symmetric_key(), secret_factory.function_key()
    document = {
        "registrationId": "press-1",
        "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": key}},
        "allocationPolicy": "custom",
        "customAllocationDefinition": {
            "webhookUrl": f"https://app.example/api/allocation?code={code}",
            "apiVersion": "2021-10-01",
        },
    }
    app.put("/enrollments/press-1", json=document).raise_for_status()

    ran = cli("export", "--format", file_format)

    assert "press-1" in ran.out
    assert key not in ran.out
    assert code not in ran.out
    assert "masked" in ran.err


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--status", "disabled"), ["press-0001"]),
        (("--status", "enabled"), ["other-1", "press-0000", "press-0002"]),
        (("--id-prefix", "PRESS"), ["press-0000", "press-0001", "press-0002"]),
        (("--tag", "plant=008"), ["press-0002"]),
        (("--tag", "line=7"), ["other-1"]),
        (("--tag", "plant=007", "--status", "enabled"), ["press-0000"]),
        (("--hub", "HUB-1.azure-devices.net"), ["other-1"]),
        (("--allocation", "static"), ["other-1"]),
    ],
)
def test_filters(cli: Run, app: httpx.Client, options: tuple[str, ...], ids: list[str]) -> None:
    """Records are filtered by status, id, tag, hub and allocation policy."""
    write_csv(device_rows(2))
    cli("apply", "devices.csv", "--mode", "create")
    app.patch("/enrollments/press-0001", json={"provisioningStatus": "disabled"})
    other = {
        "registrationId": "other-1",
        "attestation": {"type": "none"},
        "allocationPolicy": "static",
        "iotHubs": ["hub-1.azure-devices.net"],
        "initialTwin": {"tags": {"line": 7}},
    }
    app.put("/enrollments/other-1", json=other).raise_for_status()
    write_csv(["press-0002,symmetricKey,008"])
    cli("apply", "devices.csv", "--mode", "create")

    out = cli("export", "--format", "ndjson", *options).out

    assert sorted(json.loads(line)["registrationId"] for line in out.splitlines()) == ids


@pytest.mark.parametrize("hub", [(), ("--hub", "HUB-1")])
def test_registrations_of_groups(
    cli: Run, stack: Stack, app: httpx.Client, hub: tuple[str, ...]
) -> None:
    """The registration states of a group's devices are exported with their group, by their hub."""
    group = {"enrollmentGroupId": "presses", "attestation": {"type": "symmetricKey"}}
    app.put("/enrollmentGroups/presses", json=group).raise_for_status()
    for number in range(3):
        state = {"registrationId": f"press-{number}", "enrollmentGroupId": "presses"}
        create_registration(stack, {**state, "assignedHub": f"hub-{number}"})

    ran = cli("export", "--kind", "group", "--registrations", "-o", "states.csv", *hub)

    found = [(row["enrollmentGroupId"], row["assignedHub"]) for row in read_csv("states.csv")]
    assert ran.code == 0
    assert sorted(found) == [
        ("presses", f"hub-{number}") for number in range(3) if not hub or number == 1
    ]


def test_registrations_of_enrollments(cli: Run, stack: Stack) -> None:
    """The states of individual enrollments, which queries do not return, are read one by one."""
    write_csv(device_rows(40))
    cli("apply", "devices.csv", "--mode", "create")
    for number in range(0, 40, 10):
        create_registration(stack, {"registrationId": f"press-{number:04}", "assignedHub": "hub-1"})

    ran = cli("export", "--registrations", "-o", "states.csv")

    assert ran.code == 0
    assigned = [row["registrationId"] for row in read_csv("states.csv") if row["assignedHub"]]
    assert sorted(assigned) == ["press-0000", "press-0010", "press-0020", "press-0030"]


def create_registration(stack: Stack, state: dict[str, str]) -> None:
    """Creates a registration state in DPS."""
    httpx.post(f"{stack.dps.url}/_registrations", json=state).raise_for_status()


def read_csv(name: str) -> list[dict[str, str]]:
    """Returns the rows of a CSV file."""
    return list(csv.DictReader(Path(name).read_text("utf-8-sig").splitlines()))


def test_all_pages_are_read(cli: Run) -> None:
    """Every page is in the file."""
    write_csv(device_rows(250))
    cli("apply", "devices.csv", "--mode", "create")

    assert len(cli("export", "--format", "ndjson").out.splitlines()) == 250


def test_an_export_that_fails_leaves_no_file(cli: Run, set_faults: Callable[..., None]) -> None:
    """A file is replaced only when the export is complete."""
    write_csv(device_rows(250))
    cli("apply", "devices.csv", "--mode", "create")
    Path("old.csv").write_text("old")
    set_faults({"match": {"path": "query"}, "every": 2, "do": {"status": 400}})

    ran = cli("export", "-o", "old.csv")

    assert ran.code == 3
    assert sorted(file.name for file in Path().iterdir()) == ["devices.csv", "old.csv"]
    assert Path("old.csv").read_text() == "old"


def test_an_export_into_a_directory(run_cli: Run) -> None:
    """A directory in place of the file is a usage error."""
    assert run_cli("export", "-o", ".").code == 2


def test_certificates_are_mentioned(cli: Run, app: httpx.Client) -> None:
    """That DPS returns no certificates is said, because the file alone cannot restore them."""
    certificate = {"certificate": secret_factory.certificate("camera-1")}
    x509 = {"clientCertificates": {"primary": certificate}}
    document = {"registrationId": "camera-1", "attestation": {"type": "x509", "x509": x509}}
    app.put("/enrollments/camera-1", json=document).raise_for_status()

    ran = cli("export", "-o", "file.csv")

    assert "X.509 certificates" in ran.err
