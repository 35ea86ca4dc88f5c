"""The messages of `python -m local.demo`: which are sent, and what must come of them."""

import json
import re
from pathlib import Path

import pytest

from local.demo.deliveries import BULK, REQUESTS
from local.demo.examples import ExamplesError, load
from local.stack import ROOT
from tests.local.demo_runs import demo, enrollment, rows, told

MESSAGES = load(ROOT / "examples").messages
BROKEN = sorted((ROOT / "examples" / "messages" / "broken").glob("*"))


def create(registration_id, **members):
    """A request for one device with a symmetric key."""
    record = {"registrationId": registration_id, "attestation": {"type": "symmetricKey"}}
    return {"operation": "create", "enrollment": {**record, **members}}


def write(directory: Path, name, body):
    """A file of `messages/`."""
    (directory / "messages").mkdir(exist_ok=True)
    (directory / "messages" / name).write_text(json.dumps(body))


def list_(directory: Path, *entries):
    """The file that says what is sent."""
    (directory / "messages.json").write_text(json.dumps(entries))


@pytest.fixture
def directory(tmp_path):
    """Files for a demo, with one message."""
    enrollment(tmp_path, "good-1")
    write(tmp_path, "one.json", create("m-1"))
    return tmp_path


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory):
    """
    A run on messages that end otherwise than they should, and on one that does not.

    The environment names another Service Bus.
    """
    directory = tmp_path_factory.mktemp("examples")
    enrollment(directory, "good-1")
    write(directory, "good.json", create("m-1"))
    write(directory, "device-2.json", create("m-2", allocationPolicy="nearest"))
    list_(
        directory,
        {"file": "good.json", "shows": "said to be refused", "expect": {"m-1": "DpsConflict"}},
        {
            "file": "good.json",
            "shows": "refused as it should be",
            "message": {"message_id": "again"},
            "expect": {"m-1": "DpsConflict"},
        },
    )
    host = "somebodys.servicebus.windows.net"
    return demo("--examples", directory, ServiceBus__fullyQualifiedNamespace=host)


def row(run, what):
    """The row with these words."""
    return next(line for line in run.stdout.splitlines() if f" {what} " in line)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.shows)
def test_every_message_of_the_examples_is_sent(shown, message):
    """It has a row of its own; what is broken on purpose is shown with its reason."""
    text = told(shown)

    assert f" queue {message.shows} " in text
    for id_, reason in message.rejections.items():
        assert f"{id_} rejected: {reason}".lstrip() in text


def test_every_broken_example_is_expected_to_be_rejected():
    """The list sends each of them, and says what is wrong."""
    bodies = {message.body for message in MESSAGES if message.rejections}

    assert [path.name for path in BROKEN if path.read_bytes() not in bodies] == []


@pytest.mark.parametrize(
    "text",
    [
        r"all succeeded in [5-7] calls of DPS",
        "created once; no conflict",
        r"4 InvalidRequest; a key in one is \*{4}",
        "would replay the 4 of reason InvalidRequest",
        "by a merge patch: press-0119 succeeded",
        "discarded; 5 others stay",
    ],
)
def test_what_can_go_wrong_is_shown(shown, text):
    """Throttling, a second delivery, and what is done about rejected messages."""
    assert re.search(text, told(shown))


def test_message_that_ends_otherwise_fails_the_demo(mistaken):
    """A success fails as well, where a rejection is expected."""
    assert mistaken.returncode == 1
    assert row(mistaken, "said to be refused").startswith("✗")
    assert "expected m-1 DpsConflict; got m-1 succeeded" in mistaken.stdout


def test_message_that_is_not_listed_must_succeed(mistaken):
    """Its row says what is wrong where."""
    assert row(mistaken, "device-2").startswith("✗")
    assert "/enrollment/allocationPolicy must be one of" in mistaken.stdout


def test_other_service_bus_is_left_alone(mistaken):
    """What the environment names has nothing to do with it: messages reach the broker."""
    assert row(mistaken, "refused as it should be").startswith("✓")


def test_failed_message_keeps_none_from_running(mistaken):
    """All other steps run, and what messages made is deleted."""
    marks = [mark for mark, _, _, _ in rows(mistaken)]

    assert marks.count("✗") == 2
    assert len(marks) == int(rows(mistaken)[0][2])
    assert "0 enrollments, groups, registrations" in mistaken.stdout


def test_listed_messages_come_first(directory):
    """In the order of the list, then the others by their names."""
    write(directory, "another.json", create("m-2"))
    write(directory, "zebra.json", create("m-3"))
    list_(directory, {"file": "zebra.json"})

    assert [found.shows for found in load(directory).messages] == ["zebra", "another", "one"]


def test_result_is_not_sent(directory):
    """An example of what comes back is no request."""
    write(directory, "result.json", {"type": "EnrollmentFunctions.RequestCompleted", "data": {}})

    assert [found.shows for found in load(directory).messages] == ["one"]


@pytest.mark.parametrize(
    ("body", "queue"),
    [
        (create("m-1"), REQUESTS),
        ({"mode": "create", "enrollments": []}, BULK),
        ({"specversion": "1.0", "data": {"mode": "create"}}, BULK),
        (["no", "request"], REQUESTS),
    ],
    ids=["one record", "many", "an event about many", "nothing known"],
)
def test_message_goes_to_its_queue(directory, body, queue):
    """By what it asks."""
    write(directory, "one.json", body)

    (message,) = load(directory).messages
    assert message.queue == queue


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([{"file": "none.json"}], "none.json cannot be read"),
        ([{"shows": "nothing"}], "entry 0 must be an object with file"),
        ([{"file": "one.json", "expects": {}}], "entry 0 has expects, which nobody knows"),
        ([{"file": "one.json", "expect": []}], "entry 0 has expect, which is no object"),
        (
            [{"file": "one.json", "message": {"id": "1"}}],
            "entry 0 has id in message, which nobody knows",
        ),
        ([{"file": "one.json"}, {"file": "one.json"}], "two have message_id one"),
    ],
)
def test_list_that_is_wrong_is_named(directory, entries, words):
    """Before anything is started, with the file and the place in it."""
    list_(directory, *entries)

    with pytest.raises(ExamplesError, match=words):
        load(directory)


def test_list_that_is_no_json_is_named(directory):
    """As any file that cannot be read."""
    (directory / "messages.json").write_text("[")

    with pytest.raises(ExamplesError, match=r"messages\.json cannot be read as JSON"):
        load(directory)
