"""Messages for many records: each record has an outcome of its own."""

import json

import pytest

from tests.functions.queue_messages import Document, data
from tests.functions.queue_requests import Dps, enrollment, group, with_keys
from tests.functions.queue_stack import BULK, REJECTED, Queues

EVENT = {"specversion": "1.0", "id": "e-1", "source": "/erp", "type": "shipped", "plant": "graz"}


def bulk(mode: str, *records: Document) -> Document:
    """A request for these enrollments."""
    return {"mode": mode, "enrollments": list(records)}


def statuses(results: list[Document]) -> dict[str, str]:
    """How it ended, by record."""
    return {told["registrationId"]: told["status"] for told in data(results)}


def test_life_of_many_records(queues: Queues, dps_of_queues: Dps):
    """Created, updated, written over, updated by their etags, and deleted."""
    ids = [f"dev-{number}" for number in range(25)]
    stored = [enrollment(id) for id in ids]
    count = 0
    for mode, status in [
        ("create", "disabled"),
        ("update", "enabled"),
        ("upsert", "disabled"),
        ("updateIfMatchETag", "enabled"),
        ("delete", None),
    ]:
        etags = mode == "updateIfMatchETag"
        records = [
            enrollment(id, provisioningStatus=status or "enabled")
            | ({"etag": (dps_of_queues.get(enrollment(id)) or {})["etag"]} if etags else {})
            for id in ids
        ]
        queues.bulk(bulk(mode, *records))

        count += len(ids)
        told = data(queues.results(count))[-len(ids) :]
        assert {one["status"] for one in told} == {"succeeded"}
        assert {one["registrationId"] for one in told} == set(ids)
        found = [dps_of_queues.get(record) for record in stored[:3]]
        assert {one and one["provisioningStatus"] for one in found} == {status}


def test_groups_can_be_asked_for(queues: Queues, dps_of_queues: Dps):
    """And their results name them as such."""
    queues.bulk({"mode": "create", "enrollmentGroups": [group("a"), group("b")]})

    told = data(queues.results(2))

    assert {one["enrollmentGroupId"] for one in told} == {"a", "b"}
    assert {one["operation"] for one in told} == {"create"}
    assert dps_of_queues.get(group("b"))


def test_records_go_ten_in_a_call(queues: Queues, dps_of_queues: Dps):
    """As DPS takes them."""
    queues.bulk(bulk("create", *(enrollment(f"dev-{number}") for number in range(100))))

    queues.results(100)

    assert dps_of_queues.calls == ["enrollments.bulk"] * 10


def test_record_that_is_wrong_is_parked_alone(queues: Queues, dps_of_queues: Dps):
    """With its own reason, in a message that holds nothing else; the others are done."""
    dps_of_queues.put(enrollment("taken"))
    wrong = [
        {"registrationId": "no-attestation"},
        enrollment("taken"),
        enrollment("bad id"),
        ["no object"],
    ]
    queues.bulk(
        bulk("create", enrollment("a"), *wrong, enrollment("b")),
        message_id="m-1",
        correlation_id="order-1",
        application_properties={"line": 4},
    )

    results, parked = queues.results(6), queues.parked(4)

    assert sorted(result["event"]["data"]["status"] for result in results) == (
        ["rejected"] * 4 + ["succeeded"] * 2
    )
    assert {result["correlation_id"] for result in results} == {"order-1"}
    bodies = [json.loads(copy["body"]) for copy in parked]
    assert all(bulk("create", record) in bodies for record in wrong)
    by_body = {json.dumps(json.loads(copy["body"])): copy for copy in parked}
    reasons = [
        by_body[json.dumps(bulk("create", record))]["properties"]["reason"] for record in wrong
    ]
    assert reasons == ["InvalidRequest", "DpsConflict", "InvalidRequest", "InvalidRequest"]
    for copy in parked:
        properties = copy["properties"]
        assert (properties["sourceQueue"], properties["sourceMessageId"]) == (BULK, "m-1")
        assert (properties["line"], properties["attempt"]) == (4, 1)
        assert copy["correlation_id"] == "order-1"


def test_fault_of_a_record_is_told_at_its_place(queues: Queues):
    """Its pointer leads into the body as it was sent."""
    queues.bulk(bulk("create", enrollment("a"), {"registrationId": "b"}))

    told = {one["registrationId"]: one for one in data(queues.results(2))}

    assert list(told["b"]["info"]) == ["/enrollments/1/attestation"]


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        {"mode": "move", "enrollments": [enrollment()]},
        {"mode": "create"},
        {"mode": "create", "enrollments": {}},
        {"mode": "create", "enrollments": [enrollment()], "enrollmentGroups": [group()]},
    ],
    ids=["unreadable", "mode", "no list", "no list but an object", "two lists"],
)
def test_message_that_is_wrong_as_a_whole_is_parked_whole(queues: Queues, body):
    """Untouched, with one result."""
    raw = body if isinstance(body, bytes) else json.dumps(body, indent=1).encode()

    queues.bulk(raw)

    [parked] = queues.parked()
    assert parked["body"] == raw
    assert parked["properties"]["reason"] == "InvalidRequest"
    assert data(queues.results())[0]["status"] == "rejected"


def test_more_than_ten_thousand_records_are_refused(queues: Queues):
    """As over HTTP."""
    queues.bulk({"mode": "delete", "enrollments": [{}] * 10_001})

    assert queues.parked()[0]["properties"]["reason"] == "DocumentTooLarge"


def test_message_without_records_asks_nothing(queues: Queues, dps_of_queues: Dps):
    """It is completed; there is nobody to tell of."""
    queues.bulk(bulk("create"))

    queues.wait_until_done(1)

    assert dps_of_queues.calls == []
    assert queues.broker.queue(REJECTED).active == 0


def test_one_id_is_changed_in_the_order_of_the_message(queues: Queues, dps_of_queues: Dps):
    """However often it comes, in whatever case: the last one holds."""
    statuses_asked = ["disabled", "enabled", "disabled", "enabled", "disabled"]
    records = [
        enrollment("dev-1" if number % 2 else "DEV-1", provisioningStatus=status)
        for number, status in enumerate(statuses_asked)
    ]

    queues.bulk(bulk("upsert", *records))

    results = queues.results(5)
    stored = dps_of_queues.get(enrollment())
    assert stored
    assert stored["provisioningStatus"] == "disabled"
    assert len({result["message_id"] for result in results}) == 5


def test_part_of_an_event_is_an_event(queues: Queues):
    """What is parked of a CloudEvent keeps its attributes."""
    request = bulk("create", enrollment("a"), {"registrationId": "b"})

    queues.bulk(EVENT | {"data": request}, content_type="application/cloudevents+json")

    [parked] = queues.parked()
    assert json.loads(parked["body"]) == EVENT | {"data": bulk("create", {"registrationId": "b"})}
    assert parked["content_type"] == "application/cloudevents+json"


def test_key_of_a_record_is_in_no_result(queues: Queues):
    """Nor in the properties of what is parked; the parked body keeps it."""
    wrong = with_keys("b")
    wrong["attestation"]["type"] = "x509"

    queues.bulk(bulk("create", with_keys("a"), wrong))

    assert statuses(queues.results(2)) == {"a": "succeeded", "b": "rejected"}
    [parked] = queues.parked()
    assert json.loads(parked["body"])["enrollments"] == [wrong]


def test_delivery_that_comes_again_tells_the_same(queues: Queues):
    """Each record has the result that it had, under the same id."""
    records = [enrollment(f"dev-{number}") for number in range(12)]

    queues.deliver_twice(bulk("create", *records, {"registrationId": "wrong"}), queue=BULK)

    results = queues.results(26)
    ids = [result["message_id"] for result in results]
    assert len(set(ids)) == 13
    assert statuses(results) == {record["registrationId"]: "succeeded" for record in records} | {
        "wrong": "rejected"
    }


def test_a_thousand_records_that_are_wrong_hold_nobody_up(queues: Queues):
    """Each is parked alone, and the message is read once for all of them."""
    wrong = [{"registrationId": f"device-{number:04}!"} for number in range(1000)]

    queues.bulk(bulk("delete", *wrong))

    assert len(queues.parked(1000)) == 1000
    assert len(queues.results(1000)) == 1000
