"""Into how many messages a message for many records falls, and that none overtakes another."""

import pytest

from tests.functions.queue_messages import data
from tests.functions.queue_requests import Dps, asked, body_of, enrollment, failing, records
from tests.functions.queue_stack import BULK, REJECTED, REQUESTS, Queues, until


def assert_both_go_on(queues: Queues, dps: Dps) -> None:
    """Both changes of "a" are put off in one message, and the newest is what holds in the end."""
    [copy] = queues.put_off(queue=BULK)
    assert body_of(copy) == ["a", "A"]
    queues.let_pass(60)
    queues.results(3)
    stored = dps.get(enrollment("a"))
    assert stored
    assert stored["deviceId"] == "newest"


@pytest.mark.usefixtures("hasty")
def test_what_waited_for_a_change_of_its_record_goes_on_with_it(queues: Queues, dps_of_queues: Dps):
    """Had it gone on by itself, and first, the older change would undo it in the end."""
    dps_of_queues.put(enrollment("a"))
    dps_of_queues.put(enrollment("b"))
    stalling = {"match": {"path": "^/enrollments/a$"}, "times": 1, "do": {"stall": True}}
    dps_of_queues.faults(stalling)
    changes = [enrollment(id, provisioningStatus="disabled") for id in "ba"]

    queues.bulk({"mode": "update", "enrollments": [*changes, enrollment("A", deviceId="newest")]})

    assert_both_go_on(queues, dps_of_queues)


def test_nothing_passes_a_change_of_its_record_that_is_tried_again(
    queues: Queues, dps_of_queues: Dps
):
    """It waits with it, though DPS would take it now: the older one would undo it in the end."""
    for id in "ab":
        dps_of_queues.put(enrollment(id))
    refused = {"match": {"path": "^/enrollments/a$"}, "times": 1, "do": {"status": 401}}
    dps_of_queues.faults(refused)
    changes = [enrollment("a", provisioningStatus="disabled"), enrollment("A", deviceId="newest")]

    queues.bulk({"mode": "update", "enrollments": [*changes, enrollment("b")]})

    assert_both_go_on(queues, dps_of_queues)


@pytest.mark.long
def test_one_record_is_not_in_two_smaller_messages(queues: Queues, dps_of_queues: Dps, configure):
    """They are handled side by side: the older change could come last."""
    configure(MESSAGE_BUDGET_SECONDS="1", DPS_OPERATIONS_PER_MINUTE="300", DPS_PACING_START="300")
    last = enrollment("dev-150", deviceId="newest")

    queues.bulk({"mode": "upsert", "enrollments": [*records(190), last]})
    queues.wait_until_done(1)
    sent = queues.broker.queue(BULK)
    queues.work_off(191)

    assert sent.active + sent.locked + sent.scheduled == 1
    assert {one["status"] for one in data(queues.results(191))} == {"succeeded"}
    stored = dps_of_queues.get(last)
    assert stored
    assert stored["deviceId"] == "newest"


@pytest.mark.usefixtures("hasty")
def test_message_that_had_no_turn_is_not_parted(queues: Queues, dps_of_queues: Dps):
    """What is parked because it is not valid has taken no time from the others."""
    busy = {"do": {"status": 429, "headers": {"Retry-After": "30"}}}
    dps_of_queues.faults(failing() | busy)
    queues.request(asked("create"))
    queues.put_off(queue=REQUESTS)

    queues.bulk({"mode": "create", "enrollments": [{"registrationId": "wrong"}, *records(30)]})

    assert len(queues.parked()) == 1
    [copy] = queues.put_off(queue=BULK)
    assert len(body_of(copy)) == 30


def test_message_that_waits_for_a_place_is_not_read(
    queues: Queues, dps_of_queues: Dps, configure, monkeypatch
):
    """Those that wait may be many and large: only those that have a place are taken apart."""
    monkeypatch.setattr("functions._handling._PLACE_WITHIN", 0.3)
    configure(BULK_CONCURRENCY="1")
    dps_of_queues.faults({"match": {"path": "^/enrollments$"}, "do": {"stall": True}})
    queues.bulk({"mode": "create", "enrollments": records(2)})
    until(lambda: bool(dps_of_queues.calls))

    queues.bulk(b"no JSON")

    until(lambda: queues.broker.queue(BULK).scheduled == 1)
    assert queues.broker.queue(REJECTED).active == 0
    dps_of_queues.release()
    queues.results(2)
    queues.let_pass(50)
    assert queues.parked()[0]["body"] == b"no JSON"
