"""What is left of a message for many records goes on by itself."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.functions.queue_messages import Document, data, read
from tests.functions.queue_requests import Dps, body_of, enrollment, failing, group, records
from tests.functions.queue_stack import BULK, REJECTED, RESULTS, Queues, until

EVENT = {"specversion": "1.0", "id": "e-1", "source": "/erp", "type": "shipped"}


def failing_alone(id: str) -> Document:
    """A fault of DPS's that strikes calls for this record only."""
    return {"match": {"path": f"^/enrollments/{id}$"}, "do": {"status": 500}}


@pytest.mark.usefixtures("hasty")
def test_records_that_may_succeed_later_go_on_in_one_message(queues: Queues, dps_of_queues: Dps):
    """Those that were done are not asked for again, those that were rejected are parked."""
    for name in ("a", "b", "c"):
        dps_of_queues.put(enrollment(name))
    dps_of_queues.faults(failing_alone("a"), failing_alone("b"))
    asked = {"mode": "update", "enrollments": [enrollment(name) for name in "abc"]}
    asked["enrollments"].append({"registrationId": "d"})

    queues.bulk(asked, message_id="m-1")

    told = {one["registrationId"]: one["status"] for one in data(queues.results(2))}
    [copy] = queues.put_off(queue=BULK)
    assert told == {"c": "succeeded", "d": "rejected"}
    assert body_of(copy) == ["a", "b"]
    assert (copy["properties"]["attempt"], copy["properties"]["sourceMessageId"]) == (2, "m-1")

    dps_of_queues.faults()
    queues.let_pass(60)

    assert {one["status"] for one in data(queues.results(4))} == {"succeeded", "rejected"}
    assert queues.broker.queue(REJECTED).active == 1


@pytest.mark.usefixtures("hasty")
def test_records_that_were_tried_too_often_are_parked_each(queues: Queues, dps_of_queues: Dps):
    """The attempts of what is left go on counting."""
    dps_of_queues.faults(failing())
    queues.bulk({"mode": "create", "enrollments": records(3)})
    for attempt in (2, 3):
        [copy] = queues.put_off(queue=BULK)
        assert copy["properties"]["attempt"] == attempt
        queues.let_pass(100)

    parked = queues.parked(3)

    assert [body_of(copy) for copy in parked] == [["dev-0"], ["dev-1"], ["dev-2"]]
    assert {copy["properties"]["reason"] for copy in parked} == {"RetriesExhausted"}
    assert {one["errorCode"] for one in data(queues.results(3))} == {503009}


@pytest.mark.usefixtures("hasty")
def test_message_of_which_nothing_was_done_goes_on_as_it_came(queues: Queues, dps_of_queues: Dps):
    """Byte for byte."""
    dps_of_queues.faults(failing())
    body = json.dumps({"mode": "create", "enrollments": records(3)}, indent=3).encode()

    queues.bulk(body)

    assert queues.put_off(queue=BULK)[0]["body"] == body


@pytest.mark.usefixtures("hasty")
def test_rest_of_an_event_is_an_event(queues: Queues, dps_of_queues: Dps):
    """It keeps its attributes."""
    dps_of_queues.put(enrollment("a"))
    dps_of_queues.put(enrollment("b"))
    dps_of_queues.faults(failing_alone("a"))
    request = {"mode": "update", "enrollments": [enrollment("a"), enrollment("b")]}

    queues.bulk(EVENT | {"data": request})

    [copy] = queues.put_off(queue=BULK)
    rest = {"mode": "update", "enrollments": [enrollment("a")]}
    assert json.loads(copy["body"]) == EVENT | {"data": rest}


def test_what_could_not_be_started_goes_on_at_once_in_smaller_messages(
    queues: Queues, dps_of_queues: Dps, configure
):
    """So that a message for many needs no longer than its lock; no attempt is counted for it."""
    configure(MESSAGE_BUDGET_SECONDS="1", DPS_OPERATIONS_PER_MINUTE="300", DPS_PACING_START="300")

    queues.bulk({"mode": "create", "enrollments": records(200)}, message_id="m-1")

    # A second has ten calls for it, of ten records each: what comes then has come on by itself.
    until(lambda: queues.broker.queue(RESULTS).active > 120)
    attempts = queues.work_off(200)

    results = queues.results(200)
    statistics = queues.broker.statistics
    assert {one["status"] for one in data(results)} == {"succeeded"}
    assert attempts <= {1}
    assert len({result["message_id"] for result in results}) == 200
    assert {result["correlation_id"] for result in results} == {"m-1"}
    assert dps_of_queues.stats["records"]["enrollments"] == 200
    assert statistics.abandoned == 0


@pytest.mark.usefixtures("hasty")
def test_congestion_never_counts(queues: Queues, dps_of_queues: Dps):
    """A message for many is put off as often as it takes."""
    busy = {"do": {"status": 429, "headers": {"Retry-After": "30"}}}
    dps_of_queues.faults(failing() | busy)
    queues.bulk({"mode": "create", "enrollments": records(3)})
    for _ in range(5):
        assert queues.put_off(queue=BULK)[0]["properties"]["attempt"] == 1
        queues.let_pass(200)
    queues.put_off(queue=BULK)

    queues.stack.restart_app()
    dps_of_queues.faults()
    queues.work_off(3)

    assert {one["status"] for one in data(queues.results(3))} == {"succeeded"}


def test_message_that_gets_no_place_is_put_off(
    queues: Queues, dps_of_queues: Dps, configure, monkeypatch
):
    """A process handles so many messages for many as BULK_CONCURRENCY says."""
    monkeypatch.setattr("functions._handling._PLACE_WITHIN", 0.3)
    configure(BULK_CONCURRENCY="1")
    dps_of_queues.faults({"match": {"path": "^/enrollments$"}, "do": {"stall": True}})
    queues.bulk({"mode": "create", "enrollments": records(2)})
    until(lambda: bool(dps_of_queues.calls))

    queues.bulk({"mode": "create", "enrollmentGroups": [group()]}, message_id="m-2")

    until(lambda: queues.broker.queue(BULK).scheduled == 1)
    waiting = [read(found) for found in queues.peek(BULK)]
    assert waiting[-1]["properties"]["attempt"] == 1
    assert waiting[-1]["properties"]["sourceMessageId"] == "m-2"

    dps_of_queues.release()
    queues.results(2)
    queues.let_pass(50)
    assert {one["status"] for one in data(queues.results(3))} == {"succeeded"}


def test_single_requests_need_no_place(queues: Queues, dps_of_queues: Dps, configure):
    """They are handled while a message for many takes the only one."""
    configure(BULK_CONCURRENCY="1")
    dps_of_queues.faults({"match": {"path": "^/enrollments$"}, "do": {"stall": True}})
    queues.bulk({"mode": "create", "enrollments": records(2)})
    until(lambda: bool(dps_of_queues.calls))

    queues.request({"operation": "create", "enrollmentGroup": group()})

    until(lambda: queues.broker.queue(RESULTS).active == 1)
    dps_of_queues.release()
    assert {one["status"] for one in data(queues.results(3))} == {"succeeded"}


@pytest.mark.usefixtures("hasty")
def test_rest_of_a_message_as_large_as_any_is_sent(queues: Queues, dps_of_queues: Dps):
    """It is no longer than it came: in its own letters, without a space between."""
    room = queues.broker.options.max_message_bytes - 1024
    tags = {"tags": {"note": "ü" * (room // 40 - 60)}}
    asked = {
        "mode": "create",
        "enrollments": [record | {"initialTwin": tags} for record in records(20)],
    }
    body = json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode()
    busy = {"do": {"status": 429, "headers": {"Retry-After": "30"}}}
    dps_of_queues.faults(failing(every=2) | busy)

    queues.bulk(body)

    assert len(queues.results(10)) == 10
    [copy] = queues.put_off(queue=BULK)
    assert len(copy["body"]) < len(body) * 0.55
    assert len(body_of(copy)) == 10


@pytest.mark.usefixtures("hasty")
def test_quota_that_opens_in_years_is_asked_sooner(queues: Queues, dps_of_queues: Dps):
    """However long DPS, or something before it, says that it wants to be left alone."""
    busy = {"do": {"status": 429, "headers": {"Retry-After": "999999999"}}}
    dps_of_queues.faults(failing() | busy)

    queues.bulk({"mode": "create", "enrollments": records(2)})

    queues.put_off(queue=BULK)
    [copy] = queues.peek(BULK)
    pause = copy.scheduled_enqueue_time_utc - datetime.now(UTC)
    assert pause < timedelta(hours=2)
