"""`apply`: files into DPS, and the outcome of each row."""

import csv
import io
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.stack import Stack
from tests import secret_factory
from tests.cli.conftest import Run
from tests.cli.files import attestation, device_rows, stored, write_csv

HUBS = "hub-1.azure-devices.net hub-2.azure-devices.net"
NONE = {"done": 0, "unchanged": 0, "failed": 0, "unknown": 0, "notAttempted": 0}


def counts(report: dict[str, Any]) -> dict[str, int]:
    """Returns the counts in a report."""
    return {name: report[name] for name in NONE}


def apply(cli: Run, *arguments: object, code: int = 0) -> dict[str, Any]:
    """Applies a file and returns the report; checks the exit code."""
    ran = cli("apply", *arguments, "--json")
    assert ran.code == code, ran.err
    report: dict[str, Any] = ran.json
    return report


def test_rows_become_records(cli: Run, app: httpx.Client) -> None:
    """Each row is created with the types of the model; a tag stays text."""
    header = (
        "registrationId,attestation.type,capabilities.iotEdge,allocationPolicy,iotHubs,"
        "initialTwin.tags.plant"
    )
    rows = [f"press-{n},symmetricKey,yes,hashed,{HUBS},007" for n in range(3)]
    write_csv([row + ",4" for row in rows], header=header + ",initialTwin.tags.line:number")

    report = apply(cli, "devices.csv", "--mode", "create")

    records = stored(app)
    assert counts(report) == NONE | {"done": 3}
    assert sorted(records) == ["press-0", "press-1", "press-2"]
    assert records["press-1"]["capabilities"] == {"iotEdge": True}
    assert records["press-1"]["iotHubs"] == HUBS.split()
    assert records["press-1"]["initialTwin"]["tags"] == {"plant": "007", "line": 4}


def test_groups_are_found_by_their_columns(cli: Run, app: httpx.Client) -> None:
    """A file with group ids creates enrollment groups."""
    write_csv(["presses,symmetricKey"], header="enrollmentGroupId,attestation.type")

    apply(cli, "devices.csv", "--mode", "create")

    assert sorted(stored(app, "enrollmentGroups")) == ["presses"]


def test_failed_rows_come_back(cli: Run, app: httpx.Client) -> None:
    """Failed rows are written as they were, with line, code and reason, and can be applied once corrected."""
    write_csv(
        [
            *device_rows(20),
            "bad id!,symmetricKey,a",
            '"press-b","fingerprint","x, ""y"""',
            "press-0003,symmetricKey,b",
        ]
    )

    ran = cli("apply", "devices.csv", "--mode", "create", "--failures", "failed.csv")

    rows = list(csv.reader(Path("failed.csv").read_text("utf-8-sig").splitlines()))
    assert ran.code == 1
    assert "23 rows: 19 done, 4 failed" in ran.out
    assert rows[0] == [
        "registrationId",
        "attestation.type",
        "initialTwin.tags.plant",
        "#line",
        "#code",
        "#reason",
    ]
    assert [(row[0], row[2], row[3], row[4]) for row in rows[1:]] == [
        ("press-0003", "007", "5", "400004"),
        ("bad id!", "a", "22", "400004"),
        ("press-b", 'x, "y"', "23", "400004"),
        ("press-0003", "b", "24", "400004"),
    ]

    corrected = Path("failed.csv").read_text("utf-8-sig").replace("fingerprint", "symmetricKey")
    lines = corrected.replace("bad id!", "press-a").splitlines()
    Path("corrected.csv").write_text("\n".join(lines[:-1]))
    report = apply(cli, "corrected.csv", "--mode", "create")
    assert counts(report) == NONE | {"done": 3}
    assert len(stored(app)) == 22


def test_failed_ndjson_comes_back(cli: Run) -> None:
    """Failed records of NDJSON are written with members that a next run ignores."""
    record = {"registrationId": "press-1", "attestation": {"type": "fingerprint"}}
    Path("a.ndjson").write_text(json.dumps(record) + "\n")

    apply(cli, "a.ndjson", "--mode", "create", "--failures", "failed.ndjson", code=1)

    failed = json.loads(Path("failed.ndjson").read_text("utf-8"))
    assert {name: failed[name] for name in record} == record
    assert (failed["#line"], failed["#code"]) == (1, 400004)
    Path("corrected.ndjson").write_text(
        json.dumps({**failed, "attestation": {"type": "symmetricKey"}})
    )
    assert apply(cli, "corrected.ndjson", "--mode", "create")["done"] == 1


def test_a_record_that_is_not_json_comes_back(cli: Run) -> None:
    """A line that is no JSON object is written as it was, after a comment with the reason."""
    Path("a.ndjson").write_text('{"registrationId": "press-1",\n[1]\n')

    apply(cli, "a.ndjson", "--mode", "create", "--failures", "failed.ndjson", code=1)

    lines = Path("failed.ndjson").read_text("utf-8").splitlines()
    assert lines[1::2] == ['{"registrationId": "press-1",', "# [1]"]
    starts = [line.partition(" reason ")[0] for line in lines[::2]]
    assert starts == ["# line 1 code 400004", "# line 2 code 400004"]


def test_cells_without_a_column_come_back(cli: Run) -> None:
    """Cells after the last column of the header are written, too."""
    write_csv(["press-1,symmetricKey,a,b,c"])

    apply(cli, "devices.csv", "--mode", "create", "--failures", "failed.csv", code=1)

    row = list(csv.reader(Path("failed.csv").read_text("utf-8-sig").splitlines()))[1]
    assert (row[:3], row[6:]) == (["press-1", "symmetricKey", "a"], ["b", "c"])


def test_line_ends_in_cells_come_back(cli: Run) -> None:
    """A line end in a cell, of any kind, is still in the cell when the failed rows are read."""
    write_csv(['mine-1,fingerprint,"hello\rvictim-1"', 'mine-2,fingerprint,"a\nb"'])

    apply(cli, "devices.csv", "--mode", "create", "--failures", "failed.csv", code=1)

    text = Path("failed.csv").read_bytes().decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert [row[2] for row in rows[1:]] == ["hello\rvictim-1", "a\nb"]


def test_failures_of_a_file_in_another_encoding(cli: Run) -> None:
    """The failed rows can be applied with the options of the file that they are from."""
    Path("a.csv").write_bytes(
        "registrationId,attestation.type,initialTwin.tags.city\np-1,fingerprint,Łódź\n".encode(
            "cp1250"
        )
    )
    options = ("--mode", "create", "--encoding", "windows-1250")
    apply(cli, "a.csv", *options, "--failures", "failed.csv", code=1)

    ran = cli("check", "failed.csv", "--encoding", "windows-1250", "--set", "attestation.type=tpm")

    assert "1 row, 1 fault in 1 row" in ran.out
    assert "Łódź" in Path("failed.csv").read_text("utf-8-sig")


def test_half_a_surrogate_pair_comes_back(cli: Run) -> None:
    """A record with what is no character, which JSON allows, is written as it was."""
    record = r'{"registrationId": "p-1", "deviceId": "x\ud800", "attestation": {"type": "x"}}'
    Path("a.ndjson").write_text(record + "\n")

    apply(cli, "a.ndjson", "--mode", "create", "--failures", "failed.ndjson", code=1)

    assert r'"deviceId": "x\ud800"' in Path("failed.ndjson").read_text()


def test_a_member_twice_comes_back(cli: Run) -> None:
    """A record that a JSON parser would repair silently is written as it was."""
    record = '{"registrationId": "p-1", "registrationId": "p-2", "attestation": {"type": "tpm"}}'
    Path("a.ndjson").write_text(record + "\n")

    apply(cli, "a.ndjson", "--mode", "create", "--failures", "failed.ndjson", code=1)

    assert Path("failed.ndjson").read_text().splitlines()[1] == record


def test_empty_keys_are_made(cli: Run) -> None:
    """Keys that are empty or null are made, like those that are missing."""
    keys = {"primaryKey": "", "secondaryKey": None}
    record = {
        "registrationId": "p-1",
        "attestation": {"type": "symmetricKey", "symmetricKey": keys},
    }
    Path("a.ndjson").write_text(json.dumps(record) + "\n")

    apply(cli, "a.ndjson", "--mode", "create", "--keys", "keys.csv")

    assert len(Path("keys.csv").read_text().splitlines()) == 2


def test_failures_that_cannot_be_written(cli: Run) -> None:
    """A file of failures that cannot be written is an error after the report."""
    write_csv(["bad id!,symmetricKey,a"])
    Path("failed.csv").symlink_to("missing/failed.csv")

    ran = cli("apply", "devices.csv", "--mode", "create", "--failures", "failed.csv", "--json")

    assert (ran.code, ran.json["failed"]) == (3, 1)
    assert "The failed rows cannot be written" in ran.err


def test_a_conflict_is_unchanged_or_failed(cli: Run, app: httpx.Client) -> None:
    """A create of a record that is there is unchanged if it is as asked for, else failed."""
    write_csv(device_rows(30))
    apply(cli, "devices.csv", "--mode", "create")
    app.patch("/enrollments/press-0007", json={"initialTwin": {"tags": {"plant": "1"}}})

    report = apply(cli, "devices.csv", "--mode", "create", code=1)

    assert counts(report) == NONE | {"unchanged": 29, "failed": 1}
    assert [(f["line"], f["code"]) for f in report["failures"]] == [(9, 409201)]


def test_upsert_keeps_keys(cli: Run, app: httpx.Client) -> None:
    """An upsert creates and replaces; keys of records that exist are kept."""
    write_csv(device_rows(5))
    apply(cli, "devices.csv", "--mode", "create")
    before = attestation(app, "press-0001")
    write_csv(device_rows(7, tag="008"))

    report = apply(cli, "devices.csv", "--mode", "upsert")

    assert counts(report) == NONE | {"done": 7}
    assert attestation(app, "press-0001") == before
    assert {r["initialTwin"]["tags"]["plant"] for r in stored(app).values()} == {"008"}


def test_update_changes_only_records_that_exist(cli: Run, app: httpx.Client) -> None:
    """An update of a record that is missing, or has another etag, fails; the others keep keys."""
    write_csv(device_rows(4))
    apply(cli, "devices.csv", "--mode", "create")
    before = [attestation(app, id) for id in ("press-0000", "press-0003")]
    etags = {id: record["etag"] for id, record in stored(app).items()}
    rows = [
        "press-0000,symmetricKey,008,",
        f"press-0001,symmetricKey,008,{etags['press-0000']}",
        "new,symmetricKey,1,",
        f'press-0003,symmetricKey,008,"""{etags["press-0003"]}"""',
        f"new-2,symmetricKey,1,{etags['press-0002']}",
    ]
    write_csv(rows, header="registrationId,attestation.type,initialTwin.tags.plant,etag")

    report = apply(cli, "devices.csv", "--mode", "update", code=1)

    records = stored(app)
    assert [(f["line"], f["code"] // 1000) for f in report["failures"]] == [
        (3, 412),
        (4, 404),
        (6, 404),
    ]
    assert sorted(records) == sorted(etags)
    tags = [records[id]["initialTwin"]["tags"]["plant"] for id in sorted(records)]
    assert tags == ["008", "007", "007", "008"]
    assert [attestation(app, id) for id in ("press-0000", "press-0003")] == before


def test_delete(cli: Run, app: httpx.Client) -> None:
    """A delete removes the records; one that is missing is a failure."""
    write_csv(device_rows(15))
    apply(cli, "devices.csv", "--mode", "create")
    write_csv([f"press-{n:04}" for n in range(16)], header="registrationId")

    report = apply(cli, "devices.csv", "--mode", "delete", code=1)

    assert counts(report) == NONE | {"done": 15, "failed": 1}
    assert stored(app) == {}


def test_keys_are_made_here(cli: Run, app: httpx.Client) -> None:
    """The keys in the file are those in DPS, its mode is 0600, and no key is read from DPS."""
    write_csv([*device_rows(40), "tpm-1,none,x"])

    ran = cli("apply", "devices.csv", "--mode", "create", "--keys", "keys.csv")

    rows = {
        row["registrationId"]: row
        for row in csv.DictReader(Path("keys.csv").read_text().splitlines())
    }
    assert ran.code == 0
    assert stat.S_IMODE(Path("keys.csv").stat().st_mode) == 0o600
    assert sorted(rows) == [f"press-{number:04}" for number in range(40)]
    for id in ("press-0000", "press-0039"):
        keys = attestation(app, id)["symmetricKey"]
        assert keys == {name: rows[id][name] for name in ("primaryKey", "secondaryKey")}
    assert not any(row["primaryKey"] in ran.out + ran.err for row in rows.values())


def test_rows_with_the_same_constant_have_keys_of_their_own(cli: Run) -> None:
    """A constant is a value of each row, not one object of all."""
    write_csv(["press-1", "press-2"], header="registrationId")
    constant = 'attestation:json={"type": "symmetricKey"}'

    apply(cli, "devices.csv", "--mode", "create", "--keys", "keys.csv", "--set", constant)

    with Path("keys.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    secret_factory.created.extend(row["primaryKey"] for row in rows)
    assert [row["registrationId"] for row in rows] == ["press-1", "press-2"]
    assert len({row["primaryKey"] for row in rows}) == 2


def test_keys_failures_and_state_are_different_files(cli: Run, stack: Stack) -> None:
    """One would overwrite the only copy of the keys, or the state."""
    write_csv(["press-1,symmetricKey"], header="registrationId,attestation.type")

    for name in ("keys.csv", "devices.csv.apply"):
        options = ("--mode", "create", "--keys", "keys.csv", "--failures", name)
        ran = cli("apply", "devices.csv", *options)
        assert (ran.code, "--failures must differ" in ran.err) == (2, True)

    assert stack.dps.requests == []


def test_a_record_with_other_keys_is_failed(cli: Run, stack: Stack) -> None:
    """A record that exists is not the row's if it has other keys: only those are read."""
    write_csv(device_rows(10))
    apply(cli, "devices.csv", "--mode", "create")
    before = len(stack.dps.requests)

    report = apply(cli, "devices.csv", "--mode", "create", "--keys", "keys.csv", code=1)

    assert counts(report) == NONE | {"failed": 10}
    assert "--mode upsert keeps them" in report["failures"][0]["reason"]
    paths = [request.path for request in list(stack.dps.requests)[before:]]
    assert [path.rpartition("/")[2] for path in paths] == ["enrollments"] + [
        "attestationmechanism"
    ] * 10


def test_keys_cost_no_operation(cli: Run, stack: Stack) -> None:
    """With keys DPS gets the same calls as without: one for ten rows."""
    write_csv(device_rows(100))

    cli("apply", "devices.csv", "--mode", "create", "--keys", "keys.csv")

    assert [request.method for request in stack.dps.requests] == ["POST"] * 10


def test_keys_of_failed_rows_are_removed(cli: Run, app: httpx.Client) -> None:
    """A record that was there keeps its key, and the file of keys has none for it."""
    write_csv(device_rows(1))
    apply(cli, "devices.csv", "--mode", "create")
    before = attestation(app, "press-0000")
    write_csv(device_rows(12))

    report = apply(cli, "devices.csv", "--mode", "create", "--keys", "keys.csv", code=1)

    lines = Path("keys.csv").read_text().splitlines()
    assert counts(report) == NONE | {"done": 11, "failed": 1}
    assert len(lines) == 12
    assert not any(line.startswith("press-0000,") for line in lines)
    assert attestation(app, "press-0000") == before


def test_a_file_of_keys_is_never_overwritten(cli: Run, stack: Stack) -> None:
    """A file of keys that exists is a usage error; nothing is sent."""
    write_csv(device_rows(2))
    Path("keys.csv").write_text("the only copy")

    ran = cli("apply", "devices.csv", "--mode", "create", "--keys", "keys.csv")

    assert ran.code == 2
    assert Path("keys.csv").read_text() == "the only copy"
    assert list(stack.dps.requests) == []
    assert not Path("devices.csv.apply").exists()


@pytest.mark.parametrize("mode", ["upsert", "update", "delete"])
def test_keys_are_for_create_only(cli: Run, stack: Stack, mode: str) -> None:
    """With another mode new keys would lock devices out."""
    write_csv(device_rows(2))

    assert cli("apply", "devices.csv", "--mode", mode, "--keys", "keys.csv").code == 2
    assert list(stack.dps.requests) == []


def test_a_faulty_header_sends_nothing(cli: Run, stack: Stack) -> None:
    """A column that is unknown ends the command before anything is sent."""
    write_csv(["press-1,symmetricKey,x"], header="registrationId,attestation.type,tgs")

    assert cli("apply", "devices.csv", "--mode", "create").code == 2
    assert list(stack.dps.requests) == []


def test_a_broken_row_sends_nothing(cli: Run, stack: Stack) -> None:
    """A quote that is not closed ends the command: the rows after it are unknown."""
    write_csv([*device_rows(20), '"press-x,symmetricKey,x'])

    assert cli("apply", "devices.csv", "--mode", "create", "--keys", "keys.csv").code == 2
    assert list(stack.dps.requests) == []
    assert [file.name for file in Path().iterdir()] == ["devices.csv"]


def test_lost_responses_of_dps(
    cli: Run, app: httpx.Client, set_faults: Callable[..., None]
) -> None:
    """Rows whose response was lost between app and DPS are done, once, and none is reported wrong."""
    write_csv(device_rows(200))
    set_faults(
        {"match": {"method": "POST"}, "every": 3, "do": {"resetAfterCommit": True}},
        {"match": {"method": "GET"}, "every": 4, "do": {"status": 503}},
    )

    report = apply(cli, "devices.csv", "--mode", "create")

    set_faults()
    assert counts(report) == NONE | {"done": 200}
    assert len(stored(app)) == 200


def test_dps_away_for_a_while(cli: Run, app: httpx.Client, set_faults: Callable[..., None]) -> None:
    """While DPS cannot be reached the run waits, then goes on."""
    write_csv(device_rows(60))
    set_faults({"times": 30, "do": {"resetBefore": True}})

    report = apply(cli, "devices.csv", "--mode", "create")

    assert counts(report) == NONE | {"done": 60}
    assert len(stored(app)) == 60


def test_a_wrong_address(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address without the app's routes ends the run at once, with what to do."""
    write_csv(device_rows(2))
    monkeypatch.setenv("ENROLLMENT_URL", os.environ["ENROLLMENT_URL"] + "/no-app")  # noqa: TID251

    ran = cli("apply", "devices.csv", "--mode", "create", "--json")

    assert ran.code == 3
    assert counts(ran.json) == NONE | {"notAttempted": 2}
    assert "no such route" in ran.err
    assert [file.name for file in Path().iterdir()] == ["devices.csv"]


@pytest.mark.parametrize("options", [(), ("--key", secret_factory.function_key())])
def test_keys_do_not_travel_in_plain_text(run_cli: Run, options: tuple[str, ...]) -> None:
    """Nothing is sent over http to another machine; the message has no key."""
    write_csv(device_rows(1))

    ran = run_cli(
        *("apply", "devices.csv", "--mode", "create", "--url", "http://10.0.0.1"), *options
    )

    assert ran.code == 2
    assert "https://" in ran.err


@pytest.mark.long
def test_large_records(cli: Run, app: httpx.Client) -> None:
    """Records are applied however large they are together."""
    write_csv([f"press-{n},symmetricKey,{'x' * 900_000}" for n in range(12)])

    assert apply(cli, "devices.csv", "--mode", "create")["done"] == 12
    assert len(stored(app)) == 12


def test_failures_are_for_their_owner_only(cli: Run) -> None:
    """The file of failed rows, which may have keys, is readable by its owner only."""
    write_csv(["bad id!,symmetricKey,a"])

    apply(cli, "devices.csv", "--mode", "create", "--failures", "failed.csv", code=1)

    assert stat.S_IMODE(Path("failed.csv").stat().st_mode) == 0o600


def test_failed_json_of_another_encoding(cli: Run) -> None:
    """Failed records of a JSON file in another encoding can be applied with the same options."""
    record = {
        "registrationId": "p-1",
        "attestation": {"type": "x"},
        "initialTwin": {"tags": {"c": "Łódź"}},
    }
    Path("a.ndjson").write_bytes(json.dumps(record, ensure_ascii=False).encode("cp1250"))
    options = ("--encoding", "windows-1250")
    apply(cli, "a.ndjson", "--mode", "create", *options, "--failures", "failed.ndjson", code=1)
    corrected = Path("failed.ndjson").read_bytes().replace(b'"x"', b'"symmetricKey"')
    Path("corrected.ndjson").write_bytes(corrected)

    apply(cli, "corrected.ndjson", "--mode", "create", *options)

    exported = json.loads(cli("export", "--format", "ndjson").out)
    assert exported["initialTwin"] == record["initialTwin"]


@pytest.mark.parametrize("content", ["my notes", "my notes\n", '{"version": 99}\n', "[1]\n"])
def test_a_file_in_place_of_the_state(cli: Run, stack: Stack, content: str) -> None:
    """A file that is no state, or of another version, is not overwritten."""
    write_csv(device_rows(1))
    Path("devices.csv.apply").write_text(content)

    ran = cli("apply", "devices.csv", "--mode", "create")

    assert (ran.code, Path("devices.csv.apply").read_text()) == (2, content)
    assert list(stack.dps.requests) == []


def test_every_fault_of_the_header_is_reported(cli: Run) -> None:
    """A header with faults ends the command with all of them."""
    write_csv(["x"], header="Serial,Remark")

    err = cli("apply", "devices.csv", "--mode", "create").err

    assert [name in err for name in ("Serial:", "Remark:", "registrationId:")] == [True] * 3


def test_a_run_that_has_ended_cannot_be_continued(cli: Run) -> None:
    """After a run in which each row has its outcome, no state is left, and --resume is refused."""
    write_csv([*device_rows(3), "press-x,fingerprint,x"])
    apply(cli, "devices.csv", "--mode", "create", code=1)

    again = cli("apply", "devices.csv", "--mode", "create", "--resume")

    assert again.code == 2
    assert "no run of this file to continue" in again.err
    assert [file.name for file in Path().iterdir()] == ["devices.csv"]


def test_corrections_are_not_overwritten(cli: Run, stack: Stack) -> None:
    """A file of failures that exists, in which rows may be corrected, ends the command."""
    write_csv(device_rows(1))
    Path("failed.csv").write_text("corrected")

    ran = cli("apply", "devices.csv", "--mode", "create", "--failures", "failed.csv")

    assert (ran.code, Path("failed.csv").read_text()) == (2, "corrected")
    assert list(stack.dps.requests) == []


def test_keys_of_no_row(cli: Run) -> None:
    """If no row gets keys, there is no file of keys, and that is said."""
    rows = [f"press-1,tpm,{secret_factory.endorsement_key()}"]
    write_csv(rows, header="registrationId,attestation.type,attestation.tpm.endorsementKey")

    ran = cli("apply", "devices.csv", "--mode", "create", "--keys", "keys.csv")

    assert ran.code == 0
    assert "No record has keys that were made here" in ran.err
    assert not Path("keys.csv").exists()
