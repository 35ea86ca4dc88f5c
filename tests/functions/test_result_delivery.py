"""Results that their queue does not accept: postponed, then sent or rejected; nothing is repeated."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from functions import runtime
from local.servicebus import QueueCounts, Step
from local.servicebus.amqp.errors import Condition
from shared.messaging.sender import MessageSender
from tests.functions.queue_stack import (
    BULK,
    REJECTED,
    REPLIES,
    REQUESTS,
    RESULTS,
    Dps,
    Queues,
    to_document,
    until,
)
from tests.functions.samples import (
    CREATE,
    DELETE,
    STALLED,
    Document,
    bulk_fault,
    bulk_request,
    enrollments,
    request_for,
)
from tests.local.servicebus.handlers import LEAVES_SOCKETS

pytestmark = LEAVES_SOCKETS

FULL = Condition.RESOURCE_LIMIT_EXCEEDED
MANY = 1_000_000


def refuse(queues: Queues, queue: str = RESULTS, condition: str = FULL, times: int = MANY) -> None:
    """Makes a queue refuse what is sent to it."""
    queues.broker.refuse(Step.SEND, condition, times=times, queue=queue)


def ids_of(postponed: Document) -> list[str]:
    """Returns the ids of postponed results."""
    return [event["id"] for event in postponed["event"]]


@pytest.mark.parametrize(
    "condition",
    [
        FULL,
        pytest.param("amqp:unauthorized-access", marks=pytest.mark.long),
        pytest.param("amqp:not-found", marks=pytest.mark.long),
    ],
)
def test_result_is_postponed_while_its_queue_refuses_it(
    queues: Queues, queue_dps: Dps, condition: str
) -> None:
    """It arrives later, with the same id and without repeating the operation."""
    refuse(queues, condition=condition)
    queues.request(request_for(CREATE), message_id="m-1")
    for attempt in (2, 3):
        [postponed] = queues.postponed()
        assert postponed["properties"]["attempt"] == attempt
        if attempt == 2:
            queues.advance(60)
            until(lambda: queues.broker.statistics.completed == 2)
    queues.broker.clear_faults()
    queues.advance(120)

    [result] = queues.results()

    assert (result["correlation_id"], result["event"]["data"]["status"]) == ("m-1", "succeeded")
    assert [result["message_id"]] == ids_of(postponed)
    assert queue_dps.calls == ["enrollments.bulk"]
    assert queues.broker.queue(REQUESTS) == QueueCounts()


def test_postponed_result_has_the_outcome_only(queues: Queues) -> None:
    """No key and no property of the request but its trace; it does not expire with the request."""
    refuse(queues)

    queues.request(
        request_for(CREATE),
        message_id="m-1",
        time_to_live=timedelta(hours=1),
        application_properties={"plant": "graz", "traceparent": TRACE},
    )

    [postponed], [peeked] = queues.postponed(), queues.peek(REQUESTS)
    enqueued = postponed["properties"].pop("enqueuedTimeUtc")
    assert datetime.fromisoformat(enqueued) < datetime.now(UTC)
    assert postponed["properties"] == {
        "copyId": postponed["message_id"],
        "postponedResults": 1,
        "attempt": 2,
        "sourceQueue": REQUESTS,
        "sourceMessageId": "m-1",
        "traceparent": TRACE,
    }
    [event] = postponed["event"]
    assert event["data"].keys() == {"operation", "status", "registrationId"}
    assert peeked.time_to_live is None


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class MessagingWithShortSends(runtime.Messaging):
    """Messaging that gives up on a queue after three seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.sender = MessageSender(self.settings, timeout=3, attempt_timeout=2)


def test_result_is_postponed_while_its_queue_does_not_respond(
    queues: Queues,
    queue_dps: Dps,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Like one that is refused."""
    monkeypatch.setattr(runtime.messaging, "create", MessagingWithShortSends)
    configure()
    queues.broker.ignore(Step.SEND, times=MANY, queue=RESULTS)
    queues.request(request_for(CREATE))
    queues.postponed()

    queues.broker.clear_faults()
    queues.drain(1)

    assert queues.outcomes()[0]["status"] == "succeeded"
    assert queue_dps.calls == ["enrollments.bulk"]


def test_result_waits_for_a_missing_queue(
    queues: Queues, queue_dps: Dps, configure: Callable[..., None]
) -> None:
    """Until it is created."""
    configure(ENROLLMENT_RESULTS_QUEUE="created-later")
    queues.request(request_for(CREATE))
    queues.postponed()

    queues.broker.add_queue("created-later")
    queues.advance(60)

    assert queues.outcomes(queue="created-later")[0]["status"] == "succeeded"
    assert queue_dps.calls == ["enrollments.bulk"]


def test_result_waits_for_its_reply_queue(
    queues: Queues, queue_dps: Dps, configure: Callable[..., None]
) -> None:
    """If there is no results queue that accepts it."""
    configure(ENROLLMENT_RESULTS_QUEUE="")
    refuse(queues, REPLIES)
    queues.request(request_for(CREATE), reply_to=REPLIES)
    queues.postponed()

    queues.broker.clear_faults()
    queues.advance(60)

    assert queues.outcomes(queue=REPLIES)[0]["status"] == "succeeded"
    assert queue_dps.calls == ["enrollments.bulk"]


def test_results_of_a_bulk_message_are_postponed_together(queues: Queues, queue_dps: Dps) -> None:
    """As many in a message as it can hold."""
    records = enrollments(900)
    refuse(queues)
    queues.bulk(bulk_request(CREATE, *records), message_id="m-1")
    postponed = queues.postponed(3, queue=BULK)
    assert sum(copy["properties"]["postponedResults"] for copy in postponed) == len(records)
    queues.broker.clear_faults()
    calls = queue_dps.calls

    queues.advance(60)
    results = queues.results(len(records))

    assert {result["subject"] for result in results} == {r["registrationId"] for r in records}
    assert {result["correlation_id"] for result in results} == {"m-1"}
    assert queue_dps.calls == calls


def test_result_is_rejected_after_the_last_attempt(
    queues: Queues, queue_dps: Dps, queue_app: httpx.Client
) -> None:
    """After increasing delays; a replay sends the result and repeats no operation."""
    refuse(queues)
    queues.request(request_for(CREATE), message_id="m-1")
    for attempt, (shortest, longest) in [(2, (25, 46)), (3, (55, 91))]:
        [postponed], [peeked] = queues.postponed(), queues.peek(REQUESTS)
        assert postponed["properties"]["attempt"] == attempt
        assert peeked.scheduled_enqueue_time_utc
        delay = peeked.scheduled_enqueue_time_utc - datetime.now(UTC)
        assert shortest < delay.total_seconds() < longest
        queues.advance(longest)
    [rejected] = queues.rejected()
    [entry] = queue_app.get("/rejected", params={"id": "dev-1"}).json()["messages"]
    queues.broker.clear_faults()

    replayed = queue_app.post("/rejected/replay", json={"reason": "ResultUndeliverable"}).json()
    [result] = queues.results()

    assert {name: entry[name] for name in ("reason", "errorCode", "attempt", "sourceQueue")} == {
        "reason": "ResultUndeliverable",
        "errorCode": 502006,
        "attempt": 3,
        "sourceQueue": REQUESTS,
    }
    assert "is full" in entry["description"]
    assert entry["ids"] == ["dev-1"]
    assert entry["body"] == rejected["event"]
    assert replayed["replayed"] == 1
    assert (result["correlation_id"], [result["message_id"]]) == ("m-1", ids_of(rejected))
    assert queue_dps.calls == ["enrollments.bulk"]


def test_replayed_result_can_be_postponed_again(queues: Queues, queue_app: httpx.Client) -> None:
    """Its attempts start again; it cannot be patched."""
    refuse(queues)
    queues.request(request_for(CREATE))
    for _ in range(2):
        queues.postponed()
        queues.advance(91)
    queues.rejected()
    [entry] = queue_app.get("/rejected").json()["messages"]
    patch = {"sequenceNumber": entry["sequenceNumber"], "patch": {"mode": "create"}}

    refused = queue_app.post("/rejected/replay", json=patch)
    queue_app.post("/rejected/replay", json={})

    [postponed] = queues.postponed()
    assert postponed["properties"]["attempt"] == 2
    assert ids_of(postponed) == [event["id"] for event in entry["body"]]
    assert (refused.status_code, refused.json()["info"].keys()) == (400, {"patch"})


def test_dead_lettered_result_is_replayed_as_a_result(
    queues: Queues, queue_dps: Dps, queue_app: httpx.Client, configure: Callable[..., None]
) -> None:
    """If the rejected queue refuses it too, Service Bus dead-letters it; nothing is lost."""
    configure(MESSAGE_MAX_ATTEMPTS="1")
    refuse(queues)
    refuse(queues, REJECTED)
    queues.request(request_for(CREATE))
    queues.postponed()
    queues.advance(60)
    [dead_letter] = queues.dead_letters()
    queues.broker.clear_faults()

    dead_letters = {"queue": f"{REQUESTS}/$DeadLetterQueue"}
    queue_app.post("/rejected/replay", json=dead_letters).raise_for_status()

    assert [result["message_id"] for result in queues.results()] == ids_of(dead_letter)
    assert queue_dps.calls == ["enrollments.bulk"]


def test_message_is_redelivered_if_its_own_queue_accepts_no_result(
    queues: Queues, queue_dps: Dps
) -> None:
    """The repeated operation is recognised as such: the delete of a missing record succeeds."""
    queue_dps.put(request_for(CREATE)["enrollment"])
    queue_dps.faults(STALLED)
    queues.request(request_for(DELETE))
    until(lambda: len(queue_dps.calls) > 1)
    refuse(queues, times=4)
    refuse(queues, REQUESTS, times=2)

    queue_dps.clear_faults()
    until(lambda: queues.broker.statistics.abandoned == 1)
    queues.postponed()
    queues.advance(60)

    assert queues.outcomes()[0]["status"] == "succeeded"
    assert queue_dps.calls[-2:] == ["enrollments.delete", "enrollments.bulk"]


def test_postponed_result_waits_for_valid_settings(
    queues: Queues, queue_dps: Dps, configure: Callable[..., None]
) -> None:
    """Invalid ones do not say where it goes; the attempt is not counted."""
    refuse(queues)
    queues.request(request_for(CREATE))
    queues.postponed()
    queues.broker.clear_faults()
    configure(MESSAGE_BUDGET_SECONDS="soon")

    for _ in range(4):
        queues.advance(100)
        assert queues.postponed()[0]["properties"]["attempt"] == 2
    configure(**queues.stack.settings)
    queues.advance(100)

    assert queues.outcomes()[0]["status"] == "succeeded"
    assert queue_dps.calls == ["enrollments.bulk"]


FORGED: list[dict[str, Any]] = [
    {"postponedResults": 1},
    {"postponedResults": 1, "copyId": "another"},
    {"postponedResults": 1, "sourceMessageId": "m-0", "positions": "7", "attempt": 3},
]


@pytest.mark.usefixtures("short_budget")
def test_request_with_the_property_of_results_is_a_request(queues: Queues, queue_dps: Dps) -> None:
    """Also in a copy of it, which has none of the sender's properties of that name."""
    ids = [f"dev-{number}" for number in range(len(FORGED))]
    queue_dps.faults(bulk_fault())
    for id, properties in zip(ids, FORGED, strict=True):
        request = request_for(CREATE, id)
        queues.request(request, message_id=f"m-{id}", application_properties=properties)
    copies = queues.postponed(len(FORGED))
    queue_dps.faults()
    queues.advance(60)

    outcomes = queues.outcomes(len(FORGED))
    assert sorted(outcome["registrationId"] for outcome in outcomes) == ids
    for copy in copies:
        assert {"postponedResults", "positions"}.isdisjoint(copy["properties"])
        assert copy["properties"]["attempt"] == 2


def test_unreadable_results_are_rejected(queues: Queues) -> None:
    """A message that only looks like one of the app's."""
    own = {"copyId": "m-1", "postponedResults": 1}

    queues.request([{"id": 1}], message_id="m-1", application_properties=own)

    [rejected] = queues.rejected()
    assert rejected["properties"]["reason"] == "InvalidRequest"
    assert json.loads(rejected["body"]) == [{"id": 1}]
    assert queues.broker.statistics.abandoned == 0
    assert [to_document(copy) for copy in queues.peek(RESULTS)] == []
