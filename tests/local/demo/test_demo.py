"""`python -m local.demo` as a process: its rows, exit code and output."""

import re
from pathlib import Path

import pytest

from local.demo.examples import load_examples
from local.stack import ROOT
from tests import secret_factory
from tests.local.demo.demo_runs import DemoRun, run_demo, write_enrollment, write_fleet

EXAMPLES = load_examples(ROOT / "examples")
KEY_MATERIAL = re.compile(r"[A-Za-z0-9+/]{40,}")


@pytest.fixture(scope="module")
def invalid_key() -> str:
    """A key that is too long for DPS."""
    return secret_factory.symmetric_key(100)


@pytest.fixture(scope="module")
def failed_run(tmp_path_factory: pytest.TempPathFactory, invalid_key: str) -> DemoRun:
    """A run with two valid enrollments, and one with an invalid policy and an invalid key."""
    directory = tmp_path_factory.mktemp("examples")
    write_enrollment(directory, "good-1")
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": invalid_key}}
    write_enrollment(directory, "wrong-2", allocationPolicy="nearest", attestation=attestation)
    hubs = ["mine.azure-devices.net"]
    write_enrollment(directory, "good-3", allocationPolicy="static", iotHubs=hubs)
    return run_demo("--examples", directory)


@pytest.mark.long
def test_exits_with_0(full_run: DemoRun) -> None:
    """With the examples of the repository no step fails, and stderr is empty."""
    assert (full_run.exit_code, full_run.stderr) == (0, ""), full_run.stdout


@pytest.mark.long
def test_every_step_has_a_row(full_run: DemoRun) -> None:
    """The rows are numbered without gaps, and each is marked as passed."""
    total = full_run.rows[0].total

    rows = [(row.mark, row.number) for row in full_run.rows]

    assert rows == [("✓", number) for number in range(1, total + 1)]


@pytest.mark.long
def test_every_client_is_used(full_run: DemoRun) -> None:
    """The steps use the SDK with and without asyncio, plain HTTP, queues and devices."""
    clients = {row.client for row in full_run.rows}

    assert {"SDK", "SDK aio", "HTTP", "queue", "device"} <= clients


@pytest.mark.long
def test_every_example_record_is_created(full_run: DemoRun) -> None:
    """Each file of an enrollment or a group has its own row."""
    ids = [example.document["registrationId"] for example in EXAMPLES.enrollments]
    ids += [example.document["enrollmentGroupId"] for example in EXAMPLES.groups]

    assert [id_ for id_ in ids if f" create {id_} " not in full_run.stdout] == []


@pytest.mark.long
def test_every_fleet_device_is_registered(full_run: DemoRun) -> None:
    """Each device has a row with its hub, rule and twin, or with the rule that refused it."""
    devices = [device for fleet in EXAMPLES.fleets for device in fleet.devices]

    assert len(devices) == 9
    for device in devices:
        assigned = rf"hub-\d by rule '{device.rule}'; (no )?twin"
        row = rf" register {device.id} ({assigned}|refused with 400207 by rule '{device.rule}') "
        assert re.search(row, full_run.text), device.id


@pytest.mark.long
@pytest.mark.parametrize(
    ("rule", "exit_code", "text"),
    [("right", 0, "hub-1 by rule 'right'; no twin"), ("wrong", 1, "expected wrong, got right")],
)
def test_fleet_is_assigned_by_its_policies(
    tmp_path: Path, rule: str, exit_code: int, text: str
) -> None:
    """The run fails if another rule than the one in the fleet's file decides."""
    write_enrollment(tmp_path, "good-1")
    write_fleet(tmp_path, rule=rule)

    run = run_demo("--examples", tmp_path)

    assert (run.exit_code, text in run.stdout) == (exit_code, True), run.stdout


@pytest.mark.long
def test_lines_have_at_most_100_columns(full_run: DemoRun) -> None:
    """No line is wider than 100 columns."""
    assert [line for line in full_run.stdout.splitlines() if len(line) > 100] == []


@pytest.mark.long
def test_prints_no_key(full_run: DemoRun) -> None:
    """Nothing in the output could be a key, although the run reads many."""
    assert KEY_MATERIAL.findall(full_run.stdout + full_run.stderr) == []


@pytest.mark.long
def test_output_to_a_file_has_no_colours(full_run: DemoRun) -> None:
    """Output that does not go to a terminal holds no escape codes."""
    assert "\x1b" not in full_run.stdout


@pytest.mark.long
def test_ascii_terminal_gets_ascii(tmp_path: Path) -> None:
    """Where the output's encoding is not UTF-8, the table has ASCII characters only."""
    write_enrollment(tmp_path, "good-1")

    run = run_demo("--examples", tmp_path, PYTHONIOENCODING="ascii")

    assert run.exit_code == 0
    assert run.stdout.isascii()
    assert {row.mark for row in run.rows} == {"+", "-"}


@pytest.mark.long
def test_dps_of_the_environment_is_not_used(tmp_path: Path) -> None:
    """A DPS that the environment names is not called."""
    write_enrollment(tmp_path, "good-1")

    run = run_demo("--examples", tmp_path, DPS_ENDPOINT="other.azure-devices-provisioning.net")

    assert run.exit_code == 0


def test_failed_step_exits_with_1(failed_run: DemoRun) -> None:
    """One invalid enrollment makes the run fail."""
    assert failed_run.exit_code == 1


def test_failed_step_has_a_reason(failed_run: DemoRun) -> None:
    """The row is marked as failed, and the error and its pointer follow."""
    assert failed_run.line("create wrong-2").startswith("✗")
    assert "HTTP 400, 400004" in failed_run.stdout
    assert "/allocationPolicy must be one of" in failed_run.stdout


def test_steps_after_a_failed_one_run(failed_run: DemoRun) -> None:
    """All other steps run and pass, including one with a hub that only the files name."""
    marks = [row.mark for row in failed_run.rows]

    assert marks.count("✗") == 1
    assert marks.count("✓") > 20
    assert len(marks) == failed_run.rows[0].total


def test_failed_step_prints_no_key(failed_run: DemoRun, invalid_key: str) -> None:
    """The reason does not hold the invalid key."""
    assert invalid_key[:20] not in failed_run.stdout + failed_run.stderr


def test_directory_without_enrollments_is_rejected(tmp_path: Path) -> None:
    """Without any enrollment the exit code is 1, with one line on stderr."""
    run = run_demo("--examples", tmp_path)

    assert (run.exit_code, run.stdout) == (1, "")
    assert run.stderr == f"{tmp_path / 'enrollments'} must hold at least one *.json file\n"
