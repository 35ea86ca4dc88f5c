"""The example messages: which are sent, to which queue, and the outcomes they must have."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from local.demo.example_messages import BULK, REQUESTS, ExampleMessage
from local.demo.examples import ExamplesError, load_examples
from local.stack import ROOT
from tests.local.demo.demo_runs import DemoRun, run_demo, write_enrollment

MESSAGES = load_examples(ROOT / "examples").messages
BROKEN = sorted((ROOT / "examples" / "messages" / "broken").glob("*"))


def create_request(registration_id: str, **members: object) -> dict[str, Any]:
    """Returns a request to create one enrollment with a symmetric key."""
    record = {"registrationId": registration_id, "attestation": {"type": "symmetricKey"}}
    return {"operation": "create", "enrollment": {**record, **members}}


def write_message(directory: Path, name: str, body: object) -> None:
    """Writes a file of `messages/`."""
    (directory / "messages").mkdir(exist_ok=True)
    (directory / "messages" / name).write_text(json.dumps(body))


def write_list(directory: Path, *entries: object) -> None:
    """Writes `messages.json`."""
    (directory / "messages.json").write_text(json.dumps(entries))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Example files with one message."""
    write_enrollment(tmp_path, "good-1")
    write_message(tmp_path, "one.json", create_request("m-1"))
    return tmp_path


@pytest.fixture(scope="module")
def failed_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """
    A run with two messages whose outcomes are not as expected, and one whose outcome is.

    The environment names another Service Bus namespace.
    """
    directory = tmp_path_factory.mktemp("examples")
    write_enrollment(directory, "good-1")
    write_message(directory, "good.json", create_request("m-1"))
    write_message(directory, "device-2.json", create_request("m-2", allocationPolicy="nearest"))
    write_list(
        directory,
        {"file": "good.json", "shows": "not rejected", "expect": {"m-1": "DpsConflict"}},
        {
            "file": "good.json",
            "shows": "rejected as expected",
            "message": {"message_id": "again"},
            "expect": {"m-1": "DpsConflict"},
        },
    )
    namespace = "other.servicebus.windows.net"
    return run_demo("--examples", directory, ServiceBus__fullyQualifiedNamespace=namespace)


@pytest.mark.long
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.title)
def test_every_example_message_is_sent(full_run: DemoRun, message: ExampleMessage) -> None:
    """Each message has a row; a rejected one has its reason there."""
    text = full_run.text

    assert f" queue {message.title} " in text
    for id_, reason in message.rejections.items():
        assert f"{id_} rejected: {reason}".lstrip() in text


def test_every_broken_example_must_be_rejected() -> None:
    """Each file of `messages/broken` is listed with the reason of its rejection."""
    bodies = {message.body for message in MESSAGES if message.rejections}

    assert [path.name for path in BROKEN if path.read_bytes() not in bodies] == []


@pytest.mark.long
@pytest.mark.parametrize(
    "text",
    [
        r"all succeeded: [5-7] calls to DPS",
        "created once, no conflict",
        "4 InvalidRequest; keys masked",
        "would replay the 4 with reason InvalidRequest",
        "press-0119 succeeded after a merge patch",
        "discarded; 5 others remain",
    ],
)
def test_faults_are_shown(full_run: DemoRun, text: str) -> None:
    """The demo shows throttling, redelivery, and the handling of rejected messages."""
    assert re.search(text, full_run.text)


@pytest.mark.long
def test_unexpected_success_fails_the_demo(failed_run: DemoRun) -> None:
    """A success fails the demo where a rejection is expected."""
    assert failed_run.exit_code == 1
    assert failed_run.line("not rejected").startswith("✗")
    assert "expected m-1 DpsConflict; got m-1 succeeded" in failed_run.stdout


@pytest.mark.long
def test_message_that_is_not_listed_must_succeed(failed_run: DemoRun) -> None:
    """The rejection of a message that is not listed fails its step, with the fault."""
    assert failed_run.line("device-2").startswith("✗")
    assert "/enrollment/allocationPolicy must be one of" in failed_run.stdout


@pytest.mark.long
def test_service_bus_of_the_environment_is_not_used(failed_run: DemoRun) -> None:
    """Messages go to the broker although the environment names another namespace."""
    assert failed_run.line("rejected as expected").startswith("✓")


@pytest.mark.long
def test_records_are_deleted_after_a_failed_step(failed_run: DemoRun) -> None:
    """Only the two steps fail, all others run, and the records from messages are deleted."""
    assert [row.mark for row in failed_run.rows].count("✗") == 2
    assert len(failed_run.rows) == failed_run.rows[0].total
    assert "0 enrollments, groups and states" in failed_run.stdout


def test_listed_messages_are_first(directory: Path) -> None:
    """Listed messages are sent in the order of the list, then the others by name."""
    write_message(directory, "another.json", create_request("m-2"))
    write_message(directory, "zebra.json", create_request("m-3"))
    write_list(directory, {"file": "zebra.json"})

    titles = [message.title for message in load_examples(directory).messages]

    assert titles == ["zebra", "another", "one"]


def test_result_is_not_sent(directory: Path) -> None:
    """A file with a result event is not sent."""
    result = {"type": "EnrollmentFunctions.RequestCompleted", "data": {}}
    write_message(directory, "result.json", result)

    assert [message.title for message in load_examples(directory).messages] == ["one"]


@pytest.mark.parametrize(
    ("body", "queue"),
    [
        (create_request("m-1"), REQUESTS),
        ({"mode": "create", "enrollments": []}, BULK),
        ({"specversion": "1.0", "data": {"mode": "create"}}, BULK),
        (["no", "request"], REQUESTS),
    ],
    ids=["one record", "many", "an event about many", "no request"],
)
def test_request_selects_the_queue(directory: Path, body: object, queue: str) -> None:
    """A request with a mode goes to the queue for bulk operations."""
    write_message(directory, "one.json", body)

    (message,) = load_examples(directory).messages
    assert message.queue == queue


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ([{"file": "none.json"}], "none.json cannot be read"),
        ([{"shows": "nothing"}], "entry 0 must be an object with the string member file"),
        ([{"file": "one.json", "expects": {}}], "entry 0 has unknown members: expects"),
        ([{"file": "one.json", "expect": []}], "entry 0 must have an object as expect"),
        (
            [{"file": "one.json", "message": {"id": "1"}}],
            "entry 0 has unknown members in message: id",
        ),
        ([{"file": "one.json"}, {"file": "one.json"}], "two messages have the message_id one"),
    ],
)
def test_invalid_list_is_rejected(directory: Path, entries: list[object], fault: str) -> None:
    """The error names the entry and its fault."""
    write_list(directory, *entries)

    with pytest.raises(ExamplesError, match=fault):
        load_examples(directory)


def test_list_that_is_not_json_is_rejected(directory: Path) -> None:
    """The error names the file."""
    (directory / "messages.json").write_text("[")

    with pytest.raises(ExamplesError, match=r"messages\.json cannot be read as JSON"):
        load_examples(directory)
