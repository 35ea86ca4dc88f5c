"""`plan`: what `apply` would do, without a write."""

from pathlib import Path

import httpx
import pytest

from local.stack import Stack
from tests.cli.conftest import Run
from tests.cli.files import device_rows, write_csv

ROWS = [
    "press-0000,symmetricKey,007,",
    "press-0001,symmetricKey,008,disabled",
    "press-0002,symmetricKey,007,",
    "new-1,symmetricKey,007,",
    "bad id!,symmetricKey,007,",
]
HEADER = "registrationId,attestation.type,initialTwin.tags.plant,provisioningStatus"


@pytest.fixture
def planned(cli: Run, stack: Stack) -> int:
    """Three devices in DPS and a file about them; returns how many calls DPS has got."""
    write_csv(device_rows(3))
    cli("apply", "devices.csv", "--mode", "create")
    write_csv(ROWS, header=HEADER, file=Path("plan.csv"))
    return len(stack.dps.requests)


@pytest.mark.parametrize(
    ("mode", "counts"),
    [
        ("create", {"new": 1, "unchanged": 2, "conflict": 1, "invalid": 1}),
        ("update", {"changed": 1, "unchanged": 2, "missing": 1, "invalid": 1}),
        ("upsert", {"new": 1, "changed": 1, "unchanged": 2, "invalid": 1}),
        ("delete", {"deleted": 3, "missing": 1, "invalid": 1}),
    ],
)
def test_counts(cli: Run, stack: Stack, planned: int, mode: str, counts: dict[str, int]) -> None:
    """Each row is counted by what would happen; nothing is written."""
    ran = cli("plan", "plan.csv", "--mode", mode, "--json")

    found = {name: count for name, count in ran.json["counts"].items() if count}
    calls = list(stack.dps.requests)[planned:]
    assert (ran.code, found) == (1, counts)
    assert {call.method for call in calls} <= {"GET", "POST"}
    assert all(call.method == "GET" or call.path.endswith("query") for call in calls)


@pytest.mark.usefixtures("planned")
def test_changed_members_are_named(cli: Run) -> None:
    """A changed record has the members that differ."""
    rows = cli("plan", "plan.csv", "--mode", "upsert", "--json").json["rows"]

    changed = [row for row in rows if row["outcome"] == "changed"]
    assert [(row["id"], row["members"]) for row in changed] == [
        ("press-0001", ["initialTwin.tags.plant", "provisioningStatus"])
    ]


@pytest.mark.usefixtures("planned")
def test_details_are_a_table(cli: Run) -> None:
    """-v lists the rows that are not unchanged, after the counts."""
    brief = cli("plan", "plan.csv", "--mode", "upsert").out
    verbose = cli("plan", "plan.csv", "--mode", "upsert", "-v").out

    assert brief == "1 new, 1 changed, 2 unchanged, 1 invalid\n"
    assert verbose.startswith(brief)
    assert "press-0001" in verbose
    assert "press-0002" not in verbose


def test_a_large_file_is_read_by_pages(cli: Run, stack: Stack) -> None:
    """For many rows DPS is read by pages: one call for a hundred records."""
    write_csv(device_rows(250))
    cli("apply", "devices.csv", "--mode", "create")
    before = len(stack.dps.requests)

    ran = cli("plan", "devices.csv", "--mode", "upsert", "--json")

    assert (ran.code, ran.json["counts"]["unchanged"]) == (0, 250)
    assert len(stack.dps.requests) - before == 3


def test_a_small_file_is_read_by_row(cli: Run, stack: Stack) -> None:
    """For a few rows their records are read, however many others there are."""
    write_csv(device_rows(250))
    cli("apply", "devices.csv", "--mode", "create")
    write_csv(device_rows(3))
    before = len(stack.dps.requests)

    cli("plan", "devices.csv", "--mode", "upsert")

    assert [r.method for r in list(stack.dps.requests)[before:]] == ["GET"] * 3


def test_pages_are_given_up(cli: Run, stack: Stack, app: httpx.Client) -> None:
    """Pages are read at most as often as there are rows; the rest is read by row."""
    app.post(
        "/enrollments",
        json={
            "mode": "create",
            "enrollments": [
                {"registrationId": f"a-{n}", "attestation": {"type": "none"}} for n in range(3000)
            ],
        },
    ).raise_for_status()
    write_csv([f"b-{n},symmetricKey,x" for n in range(25)])
    before = len(stack.dps.requests)

    ran = cli("plan", "devices.csv", "--mode", "create", "--json")

    methods = [request.method for request in list(stack.dps.requests)[before:]]
    assert ran.json["counts"]["new"] == 25
    assert (methods.count("POST"), methods.count("GET")) == (25, 25)


def test_ids_twice_are_invalid(cli: Run) -> None:
    """Of two rows with one id neither would be applied."""
    write_csv([*device_rows(2), "PRESS-0001,symmetricKey,x"])

    counts = cli("plan", "devices.csv", "--mode", "create", "--json").json["counts"]

    assert (counts["new"], counts["invalid"]) == (1, 2)


def test_removed_members_are_named(cli: Run) -> None:
    """Members that the file does not have, which an update removes, are marked."""
    write_csv(device_rows(1))
    cli("apply", "devices.csv", "--mode", "create")
    write_csv(["press-0000,symmetricKey"], header="registrationId,attestation.type")

    ran = cli("plan", "devices.csv", "--mode", "update", "--json")

    assert ran.json["rows"][0]["members"] == ["initialTwin.tags.plant (removed)"]
