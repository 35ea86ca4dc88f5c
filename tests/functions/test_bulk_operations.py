"""Bulk messages: each item has its own outcome, and the rest of a message is sent on."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pytest

from functions import runtime
from shared.messaging.processor import MessageProcessor
from tests.functions.queue_stack import (
    BULK,
    REJECTED,
    REQUESTS,
    RESULTS,
    Dps,
    Queues,
    outcomes,
    to_document,
    until,
)
from tests.functions.samples import (
    STALLED,
    THROTTLED,
    Document,
    bulk_fault,
    bulk_request,
    enrollment,
    enrollment_with_keys,
    enrollments,
    group,
    ids_in_body,
    record_fault,
    request_for,
)

EVENT = {"specversion": "1.0", "id": "e-1", "source": "/erp", "type": "shipped", "plant": "graz"}


class MessagingWithShortSlotTimeout(runtime.Messaging):
    """Messaging whose processor waits only briefly for a slot."""

    @cached_property
    def processor(self) -> MessageProcessor:
        """The processor."""
        return MessageProcessor(
            self.settings,
            self.settings_fault,
            self.sender,
            lambda: runtime.services().writer,
            slot_timeout=0.3,
        )


@pytest.fixture
def short_slot_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bulk messages wait only briefly for a slot."""
    monkeypatch.setattr(runtime.messaging, "create", MessagingWithShortSlotTimeout)


def statuses(results: list[Document]) -> dict[str, str]:
    """Returns the status of each record."""
    return {outcome["registrationId"]: outcome["status"] for outcome in outcomes(results)}


def test_names_and_values_may_be_in_any_case(queues: Queues, queue_dps: Dps) -> None:
    """Those of the request and of its records."""
    record = {"REGISTRATIONID": "dev-1", "attestation": {"Type": "SYMMETRICKEY"}}
    queues.bulk(
        {"Mode": "Upsert", "Enrollments": [record, {**record, "ProvisioningStatus": "DISABLED"}]}
    )

    assert statuses(queues.results(2)) == {"dev-1": "succeeded"}
    stored = queue_dps.stored(enrollment("dev-1"))
    assert (stored["attestation"], stored["provisioningStatus"]) == (
        {"type": "symmetricKey"},
        "disabled",
    )


@pytest.mark.parametrize(
    ("start", "fault"),
    [
        (b'"mode": "creat"', "/mode"),
        (b'"mode": "create", "mode": "create"', "/mode"),
        (b'"mode": "create", "Mode": "create"', "/Mode"),
    ],
)
def test_refused_request_has_the_faults_of_its_records(
    queues: Queues, start: bytes, fault: str
) -> None:
    """It is rejected as a whole, so that no record has a result of its own."""
    body = (
        b"{" + start + b', "enrollments": [{"registrationId": "?", "iotHub": 1}, {"a": 1, "a": 1}]}'
    )
    queues.bulk(body)

    assert set(queues.outcomes()[0]["info"]) == {
        fault,
        "/enrollments/0/registrationId",
        "/enrollments/0/attestation",
        "/enrollments/0/iotHub",
        "/enrollments/1/registrationId",
        "/enrollments/1/attestation",
        "/enrollments/1/a",
    }


def test_records_are_created_updated_and_deleted(queues: Queues, queue_dps: Dps) -> None:
    """In every mode."""
    ids = [f"dev-{number}" for number in range(25)]
    count = 0
    for mode, status in [
        ("create", "disabled"),
        ("update", "enabled"),
        ("upsert", "disabled"),
        ("updateIfMatchETag", "enabled"),
        ("delete", None),
    ]:
        has_etags = mode == "updateIfMatchETag"
        records = [
            enrollment(id, provisioningStatus=status or "enabled")
            | ({"etag": queue_dps.stored(enrollment(id))["etag"]} if has_etags else {})
            for id in ids
        ]
        queues.bulk(bulk_request(mode, *records))

        count += len(ids)
        items = queues.outcomes(count)[-len(ids) :]
        assert {outcome["status"] for outcome in items} == {"succeeded"}
        assert {outcome["registrationId"] for outcome in items} == set(ids)
        stored = [queue_dps.get(enrollment(id)) for id in ids[:3]]
        assert {record and record["provisioningStatus"] for record in stored} == {status}


def test_bulk_message_may_be_for_groups(queues: Queues, queue_dps: Dps) -> None:
    """Their results have the group's id."""
    queues.bulk({"mode": "create", "enrollmentGroups": [group("a"), group("b")]})

    items = queues.outcomes(2)

    assert {outcome["enrollmentGroupId"] for outcome in items} == {"a", "b"}
    assert {outcome["operation"] for outcome in items} == {"create"}
    assert queue_dps.get(group("b"))


def test_calls_have_ten_records(queues: Queues, queue_dps: Dps) -> None:
    """As many as DPS accepts."""
    queues.bulk(bulk_request("create", *(enrollment(f"dev-{number}") for number in range(100))))

    queues.results(100)

    assert queue_dps.calls == ["enrollments.bulk"] * 10


def test_invalid_item_is_rejected_alone(queues: Queues, queue_dps: Dps) -> None:
    """With its own reason, in a message that has no other item; the others are applied."""
    queue_dps.put(enrollment("taken"))
    wrong = [
        {"registrationId": "no-attestation"},
        enrollment("taken"),
        enrollment("bad id"),
        ["no object"],
    ]
    queues.bulk(
        bulk_request("create", enrollment("a"), *wrong, enrollment("b")),
        message_id="m-1",
        correlation_id="order-1",
        application_properties={"line": 4},
    )

    results, rejected = queues.results(6), queues.rejected(4)

    assert sorted(result["event"]["data"]["status"] for result in results) == (
        ["rejected"] * 4 + ["succeeded"] * 2
    )
    assert {result["correlation_id"] for result in results} == {"order-1"}
    bodies = [json.loads(copy["body"]) for copy in rejected]
    assert all(bulk_request("create", record) in bodies for record in wrong)
    by_body = {json.dumps(json.loads(copy["body"])): copy for copy in rejected}
    reasons = [
        by_body[json.dumps(bulk_request("create", record))]["properties"]["reason"]
        for record in wrong
    ]
    assert reasons == ["InvalidRequest", "DpsConflict", "InvalidRequest", "InvalidRequest"]
    for copy in rejected:
        properties = copy["properties"]
        assert (properties["sourceQueue"], properties["sourceMessageId"]) == (BULK, "m-1")
        assert (properties["line"], properties["attempt"]) == (4, 1)
        assert copy["correlation_id"] == "order-1"


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        bulk_request("move", enrollment()),
        {"mode": "create"},
        {"mode": "create", "enrollments": {}},
        {"mode": "create", "enrollments": [enrollment()], "enrollmentGroups": [group()]},
    ],
    ids=["unreadable", "mode", "no list", "object for list", "two lists"],
)
def test_invalid_bulk_message_is_rejected_unchanged(
    queues: Queues, body: bytes | dict[str, Any]
) -> None:
    """With one result."""
    raw = body if isinstance(body, bytes) else json.dumps(body, indent=1).encode()

    queues.bulk(raw)

    [rejected] = queues.rejected()
    assert rejected["body"] == raw
    assert rejected["properties"]["reason"] == "InvalidRequest"
    assert queues.outcomes()[0]["status"] == "rejected"


def test_bulk_message_without_items_is_completed(queues: Queues, queue_dps: Dps) -> None:
    """DPS is not called, and there is no result."""
    queues.bulk(bulk_request("create"))

    queues.wait_until_completed(1)

    assert queue_dps.calls == []
    assert queues.broker.queue(REJECTED).active == 0


def test_items_of_one_record_are_applied_in_order(queues: Queues, queue_dps: Dps) -> None:
    """Ids are case-insensitive; the last item determines the record."""
    changes = ["disabled", "enabled", "disabled", "enabled", "disabled"]
    records = [
        enrollment("dev-1" if number % 2 else "DEV-1", provisioningStatus=status)
        for number, status in enumerate(changes)
    ]

    queues.bulk(bulk_request("upsert", *records))

    results = queues.results(5)
    assert queue_dps.stored(enrollment())["provisioningStatus"] == "disabled"
    assert len({result["message_id"] for result in results}) == 5


def test_rejected_item_of_an_event_is_an_event(queues: Queues) -> None:
    """It keeps the attributes of the CloudEvent."""
    request = bulk_request("create", enrollment("a"), {"registrationId": "b"})

    queues.bulk(EVENT | {"data": request}, content_type="application/cloudevents+json")

    [rejected] = queues.rejected()
    assert json.loads(rejected["body"]) == EVENT | {
        "data": bulk_request("create", {"registrationId": "b"})
    }
    assert rejected["content_type"] == "application/cloudevents+json"


def test_key_in_a_rejected_item_is_only_in_its_body(queues: Queues) -> None:
    """Not in the result and not in the properties."""
    wrong = enrollment_with_keys("b")
    wrong["attestation"]["type"] = "x509"

    queues.bulk(bulk_request("create", enrollment_with_keys("a"), wrong))

    assert statuses(queues.results(2)) == {"a": "succeeded", "b": "rejected"}
    [rejected] = queues.rejected()
    assert json.loads(rejected["body"])["enrollments"] == [wrong]


def test_redelivery_has_the_same_results(queues: Queues) -> None:
    """Each item's result has the same id again."""
    records = [enrollment(f"dev-{number}") for number in range(12)]

    queues.deliver_twice(bulk_request("create", *records, {"registrationId": "wrong"}), queue=BULK)

    results = queues.results(26)
    ids = [result["message_id"] for result in results]
    assert len(set(ids)) == 13
    assert statuses(results) == {record["registrationId"]: "succeeded" for record in records} | {
        "wrong": "rejected"
    }


def test_equal_items_are_rejected_each(queues: Queues) -> None:
    """Duplicate detection drops none of them."""
    queues.bulk(bulk_request("create", *[{"registrationId": "no-attestation"}] * 2))

    rejected = queues.rejected(2)

    assert {copy["properties"]["positions"] for copy in rejected} == {"0", "1"}
    assert len(queues.results(2)) == 2


def test_thousand_invalid_items_are_rejected_quickly(queues: Queues) -> None:
    """The message is parsed once for all of them."""
    wrong = [{"registrationId": f"device-{number:04}!"} for number in range(1000)]

    queues.bulk(bulk_request("delete", *wrong))

    assert len(queues.rejected(1000)) == 1000
    assert len(queues.results(1000)) == 1000


@pytest.mark.usefixtures("short_budget")
def test_items_to_retry_go_into_one_message(queues: Queues, queue_dps: Dps) -> None:
    """Applied and rejected items are not in it."""
    for name in ("a", "b", "c"):
        queue_dps.put(enrollment(name))
    queue_dps.faults(record_fault("a"), record_fault("b"))
    records = [*(enrollment(name) for name in "abc"), {"registrationId": "d"}]

    queues.bulk(bulk_request("update", *records), message_id="m-1")

    assert statuses(queues.results(2)) == {"c": "succeeded", "d": "rejected"}
    [copy] = queues.postponed(queue=BULK)
    assert ids_in_body(copy) == ["a", "b"]
    assert (copy["properties"]["attempt"], copy["properties"]["sourceMessageId"]) == (2, "m-1")

    queue_dps.faults()
    queues.advance(60)

    assert {outcome["status"] for outcome in queues.outcomes(4)} == {"succeeded", "rejected"}
    assert queues.broker.queue(REJECTED).active == 1


@pytest.mark.usefixtures("short_budget")
def test_items_are_rejected_individually_after_the_last_attempt(
    queues: Queues, queue_dps: Dps
) -> None:
    """The attempts of the rest are counted on."""
    queue_dps.faults(bulk_fault())
    queues.bulk(bulk_request("create", *enrollments(3)))
    for attempt in (2, 3):
        [copy] = queues.postponed(queue=BULK)
        assert copy["properties"]["attempt"] == attempt
        queues.advance(100)

    rejected = queues.rejected(3)

    assert [ids_in_body(copy) for copy in rejected] == [["dev-0"], ["dev-1"], ["dev-2"]]
    assert {copy["properties"]["reason"] for copy in rejected} == {"RetriesExhausted"}
    assert {outcome["errorCode"] for outcome in queues.outcomes(3)} == {503009}


@pytest.mark.usefixtures("short_budget")
def test_message_without_applied_items_is_retried_unchanged(queues: Queues, queue_dps: Dps) -> None:
    """Byte for byte."""
    queue_dps.faults(bulk_fault())
    body = json.dumps(bulk_request("create", *enrollments(3)), indent=3).encode()

    queues.bulk(body)

    assert queues.postponed(queue=BULK)[0]["body"] == body


@pytest.mark.usefixtures("short_budget")
def test_rest_of_an_event_is_an_event(queues: Queues, queue_dps: Dps) -> None:
    """It keeps the attributes of the CloudEvent."""
    queue_dps.put(enrollment("a"))
    queue_dps.put(enrollment("b"))
    queue_dps.faults(record_fault("a"))
    request = bulk_request("update", enrollment("a"), enrollment("b"))

    queues.bulk(EVENT | {"data": request})

    [copy] = queues.postponed(queue=BULK)
    rest = bulk_request("update", enrollment("a"))
    assert json.loads(copy["body"]) == EVENT | {"data": rest}


def test_items_without_a_permit_go_into_smaller_messages(
    queues: Queues, queue_dps: Dps, configure: Callable[..., None]
) -> None:
    """At once, so that a delivery does not outlast its lock; no attempt is counted."""
    configure(MESSAGE_BUDGET_SECONDS="1", DPS_OPERATIONS_PER_MINUTE="300", DPS_PACING_START="300")

    queues.bulk(bulk_request("create", *enrollments(200)), message_id="m-1")

    # One second is enough for ten calls of ten records: the others are in smaller messages.
    until(lambda: queues.broker.queue(RESULTS).active > 120)
    attempts = queues.drain(200)

    results = queues.results(200)
    statistics = queues.broker.statistics
    assert {outcome["status"] for outcome in outcomes(results)} == {"succeeded"}
    assert attempts <= {1}
    assert len({result["message_id"] for result in results}) == 200
    assert {result["correlation_id"] for result in results} == {"m-1"}
    assert queue_dps.stats["records"]["enrollments"] == 200
    assert statistics.abandoned == 0


@pytest.mark.usefixtures("short_budget")
def test_throttling_is_not_counted_as_attempt(queues: Queues, queue_dps: Dps) -> None:
    """A bulk message may be postponed any number of times."""
    queue_dps.faults(bulk_fault() | THROTTLED)
    queues.bulk(bulk_request("create", *enrollments(3)))
    for _ in range(5):
        assert queues.postponed(queue=BULK)[0]["properties"]["attempt"] == 1
        queues.advance(200)
    queues.postponed(queue=BULK)

    queues.stack.restart_app()
    queue_dps.faults()
    queues.drain(3)

    assert {outcome["status"] for outcome in queues.outcomes(3)} == {"succeeded"}


@pytest.mark.usefixtures("short_slot_timeout")
def test_message_without_a_slot_is_postponed(
    queues: Queues, queue_dps: Dps, configure: Callable[..., None]
) -> None:
    """A process applies `BULK_CONCURRENCY` bulk messages at a time."""
    configure(BULK_CONCURRENCY="1")
    queue_dps.faults(STALLED)
    queues.bulk(bulk_request("create", *enrollments(2)))
    until(lambda: bool(queue_dps.calls))

    queues.bulk({"mode": "create", "enrollmentGroups": [group()]}, message_id="m-2")

    until(lambda: queues.broker.queue(BULK).scheduled == 1)
    copy = to_document(queues.peek(BULK)[-1])
    assert copy["properties"]["attempt"] == 1
    assert copy["properties"]["sourceMessageId"] == "m-2"

    queue_dps.clear_faults()
    queues.results(2)
    queues.advance(50)
    assert {outcome["status"] for outcome in queues.outcomes(3)} == {"succeeded"}


def test_single_requests_need_no_slot(
    queues: Queues, queue_dps: Dps, configure: Callable[..., None]
) -> None:
    """They are applied while a bulk message has the only slot."""
    configure(BULK_CONCURRENCY="1")
    queue_dps.faults(STALLED)
    queues.bulk(bulk_request("create", *enrollments(2)))
    until(lambda: bool(queue_dps.calls))

    queues.request({"operation": "create", "enrollmentGroup": group()})

    until(lambda: queues.broker.queue(RESULTS).active == 1)
    queue_dps.clear_faults()
    assert {outcome["status"] for outcome in queues.outcomes(3)} == {"succeeded"}


@pytest.mark.usefixtures("short_budget")
def test_rest_of_a_message_at_the_size_limit_is_sent(queues: Queues, queue_dps: Dps) -> None:
    """It is compact and keeps characters unescaped, so it is not larger than the message."""
    size = queues.broker.options.max_message_bytes - 1024
    tags = {"tags": {"note": "ü" * (size // 40 - 60)}}
    records = [record | {"initialTwin": tags} for record in enrollments(20)]
    body = json.dumps(
        bulk_request("create", *records), ensure_ascii=False, separators=(",", ":")
    ).encode()
    queue_dps.faults(bulk_fault(every=2) | THROTTLED)

    queues.bulk(body)

    assert len(queues.results(10)) == 10
    [copy] = queues.postponed(queue=BULK)
    assert len(copy["body"]) < len(body) * 0.55
    assert len(ids_in_body(copy)) == 10


@pytest.mark.usefixtures("short_budget")
def test_long_retry_after_is_capped(queues: Queues, queue_dps: Dps) -> None:
    """Whatever DPS, or a proxy before it, says."""
    queue_dps.faults(
        bulk_fault() | {"do": {"status": 429, "headers": {"Retry-After": "999999999"}}}
    )

    queues.bulk(bulk_request("create", *enrollments(2)))

    queues.postponed(queue=BULK)
    [copy] = queues.peek(BULK)
    assert copy.scheduled_enqueue_time_utc
    assert copy.scheduled_enqueue_time_utc - datetime.now(UTC) < timedelta(hours=2)


def assert_both_changes_are_retried(queues: Queues, dps: Dps) -> None:
    """
    Both changes of record `a` are postponed in one message, and the newer one is applied last.
    """
    [copy] = queues.postponed(queue=BULK)
    assert ids_in_body(copy) == ["a", "A"]
    queues.advance(60)
    queues.results(3)
    assert dps.stored(enrollment("a"))["deviceId"] == "newest"


@pytest.mark.usefixtures("short_budget")
def test_later_change_is_postponed_with_the_change_before_it(
    queues: Queues, queue_dps: Dps
) -> None:
    """In a message of its own it could be applied first, and then be overwritten."""
    queue_dps.put(enrollment("a"))
    queue_dps.put(enrollment("b"))
    stalling = {"match": {"path": "^/enrollments/a$"}, "times": 1, "do": {"stall": True}}
    queue_dps.faults(stalling)
    changes = [enrollment(id, provisioningStatus="disabled") for id in "ba"]

    queues.bulk(bulk_request("update", *changes, enrollment("A", deviceId="newest")))

    assert_both_changes_are_retried(queues, queue_dps)


def test_later_change_does_not_overtake_a_retried_one(queues: Queues, queue_dps: Dps) -> None:
    """Although DPS would accept it now: the older change would overwrite it."""
    for id in "ab":
        queue_dps.put(enrollment(id))
    refused = {"match": {"path": "^/enrollments/a$"}, "times": 1, "do": {"status": 401}}
    queue_dps.faults(refused)
    changes = [enrollment("a", provisioningStatus="disabled"), enrollment("A", deviceId="newest")]

    queues.bulk(bulk_request("update", *changes, enrollment("b")))

    assert_both_changes_are_retried(queues, queue_dps)


@pytest.mark.long
def test_smaller_messages_do_not_share_a_record(
    queues: Queues, queue_dps: Dps, configure: Callable[..., None]
) -> None:
    """They are processed concurrently: the older change could be applied last."""
    configure(MESSAGE_BUDGET_SECONDS="1", DPS_OPERATIONS_PER_MINUTE="300", DPS_PACING_START="300")
    last = enrollment("dev-150", deviceId="newest")

    queues.bulk(bulk_request("upsert", *enrollments(190), last))
    queues.wait_until_completed(1)
    sent = queues.broker.queue(BULK)
    queues.drain(191)

    assert sent.active + sent.locked + sent.scheduled == 1
    assert {outcome["status"] for outcome in queues.outcomes(191)} == {"succeeded"}
    assert queue_dps.stored(last)["deviceId"] == "newest"


@pytest.mark.usefixtures("short_budget")
def test_message_without_any_permit_is_not_split(queues: Queues, queue_dps: Dps) -> None:
    """A rejected item does not show how many items fit into one delivery."""
    queue_dps.faults(bulk_fault() | THROTTLED)
    queues.request(request_for("create"))
    queues.postponed(queue=REQUESTS)

    queues.bulk(bulk_request("create", {"registrationId": "wrong"}, *enrollments(30)))

    assert len(queues.rejected()) == 1
    [copy] = queues.postponed(queue=BULK)
    assert len(ids_in_body(copy)) == 30


@pytest.mark.usefixtures("short_slot_timeout")
def test_message_is_not_parsed_before_it_has_a_slot(
    queues: Queues, queue_dps: Dps, configure: Callable[..., None]
) -> None:
    """Waiting messages may be many and large."""
    configure(BULK_CONCURRENCY="1")
    queue_dps.faults(STALLED)
    queues.bulk(bulk_request("create", *enrollments(2)))
    until(lambda: bool(queue_dps.calls))

    queues.bulk(b"no JSON")

    until(lambda: queues.broker.queue(BULK).scheduled == 1)
    assert queues.broker.queue(REJECTED).active == 0
    queue_dps.clear_faults()
    queues.results(2)
    queues.advance(50)
    assert queues.rejected()[0]["body"] == b"no JSON"


@pytest.mark.usefixtures("internal_error")
def test_item_with_an_internal_error_is_retried_alone(queues: Queues) -> None:
    """The others are applied once; it is dead-lettered in the end."""
    documents = [enrollment("a"), enrollment("bug"), enrollment("b")]

    queues.bulk(bulk_request("create", *documents))
    items = queues.outcomes(2)
    [copy] = queues.postponed(queue=BULK)
    queues.advance(60)
    [dead_letter] = queues.dead_letters(queue=BULK)

    assert {outcome["registrationId"] for outcome in items} == {"a", "b"}
    assert json.loads(copy["body"]) == bulk_request("create", enrollment("bug"))
    assert dead_letter["body"] == copy["body"]
    assert len(queues.results(2)) == 2


@pytest.mark.usefixtures("internal_error")
def test_items_with_internal_errors_are_retried_separately(queues: Queues) -> None:
    """One that succeeds later must not be dead-lettered with another."""
    documents = [enrollment("bug-1"), enrollment("a"), enrollment("bug-2")]

    queues.bulk(bulk_request("create", *documents))

    bodies = [json.loads(copy["body"]) for copy in queues.postponed(2, queue=BULK)]
    assert bodies == [bulk_request("create", documents[position]) for position in (0, 2)]


@pytest.mark.usefixtures("internal_error")
def test_internal_error_is_logged(queues: Queues, caplog: pytest.LogCaptureFixture) -> None:
    """With position and message id."""
    queues.bulk(bulk_request("create", enrollment("a"), enrollment("bug")), message_id="m-1")
    queues.results()

    assert "item 1 of message 'm-1' failed" in caplog.messages
