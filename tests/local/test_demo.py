"""`python -m local.demo`, as whoever runs it sees it."""

import json
import re

import pytest

from local.demo.checks import expect_same
from local.demo.examples import ExamplesError, load
from local.demo.steps import UnexpectedError
from local.stack import ROOT
from tests import secret_factory
from tests.local.demo_runs import demo, enrollment, fleet, rows

EXAMPLES = ROOT / "examples"
KEY_MATERIAL = re.compile(r"[A-Za-z0-9+/]{40,}")


@pytest.fixture(scope="module")
def given_key():
    """A key that DPS refuses for its length."""
    return secret_factory.symmetric_key(100)


@pytest.fixture(scope="module")
def failed(tmp_path_factory, given_key):
    """One run on two good devices and one that names no policy there is, and a key too long."""
    directory = tmp_path_factory.mktemp("examples")
    enrollment(directory, "good-1")
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": given_key}}
    enrollment(directory, "wrong-2", allocationPolicy="nearest", attestation=attestation)
    enrollment(directory, "good-3", allocationPolicy="static", iotHubs=["mine.azure-devices.net"])
    return demo("--examples", directory)


def test_exits_0(shown):
    """Every step does what it should, and nothing is on stderr."""
    assert (shown.returncode, shown.stderr) == (0, ""), shown.stdout


def test_every_step_has_its_row(shown):
    """The rows are numbered from the first to the last, and each is marked as done."""
    total = int(rows(shown)[0][2])

    assert [(mark, int(number)) for mark, number, _, _ in rows(shown)] == [
        ("✓", number) for number in range(1, total + 1)
    ]


def test_every_client_is_shown(shown):
    """The SDK calls the app, sync and aio, plain HTTP does, and messages reach it by queues."""
    clients = {client.strip() for _, _, _, client in rows(shown)}

    assert {"SDK", "SDK aio", "HTTP", "queue"} <= clients


def test_every_device_of_the_examples_is_created(shown):
    """Each file of enrollments and groups has a row of its own."""
    examples = load(EXAMPLES)
    ids = [example.document["registrationId"] for example in examples.enrollments]
    ids += [example.document["enrollmentGroupId"] for example in examples.groups]

    assert [id_ for id_ in ids if f" create {id_} " not in shown.stdout] == []


def test_every_device_of_the_fleets_is_registered(shown):
    """Each has a row with its hub, rule and twin, or the code and rule it is refused with."""
    text = " ".join(shown.stdout.split())
    devices = [device for fleet in load(EXAMPLES).fleets for device in fleet.devices]

    assert len(devices) == 9
    for device in devices:
        lands = rf"hub-\d by rule {device.rule}; (no )?twin"
        row = rf" register {device.id} ({lands}|400207, refused by rule {device.rule}) "
        assert re.search(row, text), device.id


@pytest.mark.parametrize(
    ("rule", "exit_code", "text"),
    [("right", 0, "hub-1 by rule right; no twin"), ("wrong", 1, "expected wrong, got right")],
)
def test_own_fleet_is_placed_by_own_policies(tmp_path, rule, exit_code, text):
    """The run fails if a device is not decided by the rule that its file names."""
    enrollment(tmp_path, "good-1")
    fleet(tmp_path, rule=rule)

    run = demo("--examples", tmp_path)

    assert (run.returncode, text in run.stdout) == (exit_code, True), run.stdout


def test_rows_fit_a_page(shown):
    """No line is wider than 100 columns."""
    assert [line for line in shown.stdout.splitlines() if len(line) > 100] == []


def test_shows_no_key(shown):
    """Nothing that could be a key is in the output, though the run reads many."""
    assert KEY_MATERIAL.findall(shown.stdout + shown.stderr) == []


def test_is_not_coloured_in_a_file(shown):
    """Output that goes nowhere near a terminal holds no escape codes."""
    assert "\x1b" not in shown.stdout


def test_writes_ascii_where_nothing_else_can_be_shown(tmp_path):
    """A terminal without Unicode gets the same table."""
    enrollment(tmp_path, "good-1")

    run = demo("--examples", tmp_path, PYTHONIOENCODING="ascii")

    assert run.returncode == 0
    assert run.stdout.isascii()
    assert {mark for mark, _, _, _ in rows(run)} == {"+", "-"}


def test_talks_to_no_other_dps(tmp_path):
    """A DPS that the environment names is left alone."""
    enrollment(tmp_path, "good-1")

    run = demo("--examples", tmp_path, DPS_ENDPOINT="somebodys.azure-devices-provisioning.net")

    assert run.returncode == 0


def test_failed_step_exits_1(failed):
    """One device that is refused makes the run fail."""
    assert failed.returncode == 1


def test_failed_step_is_named_with_its_reason(failed):
    """Its row is marked, and says what was refused where."""
    row = next(row for row in failed.stdout.splitlines() if " create wrong-2 " in row)

    assert row.startswith("✗")
    assert "HTTP 400, 400004" in failed.stdout
    assert "/allocationPolicy must be one of" in failed.stdout


def test_failed_step_keeps_none_from_running(failed):
    """All others run and are fine, the hub that only the files know included."""
    marks = [mark for mark, _, _, _ in rows(failed)]

    assert marks.count("✗") == 1
    assert marks.count("✓") > 20
    assert len(marks) == int(rows(failed)[0][2])


def test_failed_step_shows_no_key(failed, given_key):
    """The key of a device that was refused is not in the reason."""
    assert given_key[:20] not in failed.stdout + failed.stderr


@pytest.mark.parametrize("text", ["{", "[]", '{"registrationId": 1}', "\udcff"])
def test_file_that_is_no_enrollment_is_named(tmp_path, text):
    """Before anything is started, a file without an id is refused by name."""
    enrollment(tmp_path, "good-1")
    broken = tmp_path / "enrollments" / "broken.json"
    broken.write_text(text, "utf-8", "surrogateescape")

    with pytest.raises(ExamplesError, match=re.escape(str(broken))):
        load(tmp_path)


def test_file_that_is_no_fleet_is_named(tmp_path):
    """Before anything is started, a fleet whose devices have no ids is refused by name."""
    enrollment(tmp_path, "good-1")
    (tmp_path / "fleets").mkdir()
    broken = tmp_path / "fleets" / "broken.json"
    group = {"enrollmentGroupId": "g"}
    broken.write_text(json.dumps({"policy": "p", "enrollmentGroup": group, "devices": [{}]}))

    with pytest.raises(ExamplesError, match=re.escape(str(broken))):
        load(tmp_path)


def test_directory_without_enrollments_is_refused(tmp_path):
    """A wrong directory is no success without steps: exit code 1, and no traceback."""
    run = demo("--examples", tmp_path)

    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == f"{tmp_path / 'enrollments'} holds no *.json\n"


@pytest.mark.parametrize(
    ("got", "place"),
    [({"tags": {"count": 4}}, "/tags/count"), ({"tags": {}}, "/tags/count"), ({}, "/tags")],
    ids=["changed", "missing", "parent missing"],
)
def test_member_that_did_not_come_back_is_noticed(got, place):
    """The checks name the place of a value that was lost or changed."""
    with pytest.raises(UnexpectedError, match=f"{place}$"):
        expect_same("twin", {"tags": {"count": 3}}, got)


def test_null_may_come_back_as_absent():
    """DPS drops members that are null."""
    expect_same("enrollment", {"deviceId": None}, {})
