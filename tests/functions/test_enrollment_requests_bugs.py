"""A fault of the app itself: Service Bus delivers the message again, and keeps it in the end."""

import json
from typing import Any

import pytest

from functions import _handling
from shared.dps.bulk_writer import BulkWriter
from tests.functions.queue_messages import data
from tests.functions.queue_requests import CREATE, asked, enrollment
from tests.functions.queue_stack import BULK, MOST_DELIVERIES, REJECTED, Queues


@pytest.fixture
def bug(monkeypatch) -> None:
    """Whoever asks for the record `bug`, or `bug-1`, meets one."""
    sound = BulkWriter.apply

    async def apply(self: BulkWriter, change: Any) -> Any:
        if change.id.startswith("bug"):
            raise KeyError("bug")
        return await sound(self, change)

    monkeypatch.setattr(BulkWriter, "apply", apply)


@pytest.mark.usefixtures("bug")
def test_message_that_meets_a_bug_is_a_dead_letter_in_the_end(queues: Queues):
    """After all its deliveries, with all of its body; its sender has been told nothing."""
    queues.request(asked(CREATE, "bug"), message_id="m-1")
    queues.request(asked(CREATE, "sound"))

    [found] = queues.dead_letters()

    assert [told["registrationId"] for told in data(queues.results())] == ["sound"]
    assert json.loads(found["body"]) == asked(CREATE, "bug")
    assert found["message_id"] == "m-1"
    assert queues.broker.statistics.abandoned == MOST_DELIVERIES
    assert queues.broker.queue(REJECTED).active == 0


def test_bug_that_is_mended_meanwhile_costs_nothing(queues: Queues, monkeypatch):
    """A message that is delivered again is handled as if nothing had been."""
    sound, calls = _handling.read_request, []

    def read(message: Any) -> Any:
        calls.append(message)
        if len(calls) == 1:
            raise KeyError("bug")
        return sound(message)

    monkeypatch.setattr(_handling, "read_request", read)

    queues.request(asked(CREATE))

    assert data(queues.results())[0]["status"] == "succeeded"
    assert queues.broker.statistics.abandoned == 1


@pytest.mark.usefixtures("bug")
def test_item_that_meets_a_bug_goes_on_alone(queues: Queues):
    """The others of its message are done, once; it alone ends as a dead letter."""
    records = [enrollment("a"), enrollment("bug"), enrollment("b")]

    queues.bulk({"mode": "create", "enrollments": records})
    told = data(queues.results(2))
    [alone] = queues.put_off(queue=BULK)
    queues.let_pass(60)
    [found] = queues.dead_letters(queue=BULK)

    assert {one["registrationId"] for one in told} == {"a", "b"}
    assert json.loads(alone["body"]) == {"mode": "create", "enrollments": [enrollment("bug")]}
    assert found["body"] == alone["body"]
    assert len(queues.results(2)) == 2


@pytest.mark.usefixtures("bug")
def test_items_that_meet_bugs_part(queues: Queues):
    """Each goes on in a message of its own: one that is mended is not kept back by another."""
    records = [enrollment("bug-1"), enrollment("a"), enrollment("bug-2")]

    queues.bulk({"mode": "create", "enrollments": records})

    bodies = [json.loads(copy["body"]) for copy in queues.put_off(2, queue=BULK)]
    assert bodies == [{"mode": "create", "enrollments": [records[place]]} for place in (0, 2)]


@pytest.mark.usefixtures("bug")
def test_bug_is_logged(queues: Queues, caplog):
    """With what finds the message."""
    queues.bulk(
        {"mode": "create", "enrollments": [enrollment("a"), enrollment("bug")]}, message_id="m-1"
    )
    queues.results()

    assert "item 1 of message 'm-1' failed" in caplog.messages
