"""The routes of rejected messages: list, discard and replay."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from local.servicebus import QueueCounts
from tests.functions.queue_stack import (
    BULK,
    MAX_DELIVERY_COUNT,
    REJECTED,
    REQUESTS,
    Dps,
    Queues,
    message,
    outcomes,
    to_document,
)
from tests.functions.samples import (
    CREATE,
    UPDATE,
    Document,
    bulk_request,
    enrollment,
    enrollment_with_keys,
    ids_in_body,
    request_for,
)


def numbers(response: httpx.Response) -> list[int]:
    """Returns the sequence numbers on a page."""
    return [message["sequenceNumber"] for message in response.raise_for_status().json()["messages"]]


@pytest.fixture
def three_rejected(queues: Queues) -> set[int]:
    """Three rejected messages: updates of missing records `a` and `b`, and one that is no JSON."""
    bodies = (request_for(UPDATE, "a"), request_for(UPDATE, "b"), b"nonsense")
    for number, body in enumerate(bodies, start=1):
        queues.request(body, message_id=f"m-{number}", correlation_id=f"c-{number}")
    queues.rejected(3)
    return {received.sequence_number or 0 for received in queues.peek(REJECTED)}


@pytest.mark.usefixtures("three_rejected")
def test_list_has_messages_with_reasons(queue_app: httpx.Client) -> None:
    """With their origin, and the body if it is JSON."""
    response = queue_app.get("/rejected")

    page = response.json()
    entries = {entry["sourceMessageId"]: entry for entry in page["messages"]}
    assert response.headers["cache-control"] == "no-store"
    assert page["next"] is None
    first, last = entries["m-1"], entries["m-3"]
    assert (first["reason"], first["errorCode"], first["attempt"]) == ("DpsNotFound", 404201, 1)
    assert (first["sourceQueue"], first["correlationId"]) == (REQUESTS, "c-1")
    assert (first["ids"], first["body"]) == (["a"], request_for(UPDATE, "a"))
    assert last["body"] is None
    assert last["unreadableBody"]["length"] == len(b"nonsense")


@pytest.mark.usefixtures("three_rejected")
def test_list_can_be_filtered(queue_app: httpx.Client) -> None:
    """By reason, id, age and queue."""
    later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    for parameters, ids in [
        ({"reason": "DpsNotFound", "olderThan": later}, {"m-1", "m-2"}),
        ({"id": "B", "queue": REJECTED.upper(), "code": "function-key"}, {"m-2"}),
    ]:
        response = queue_app.get("/rejected", params=parameters).raise_for_status()

        entries = response.json()["messages"]
        assert {entry["sourceMessageId"] for entry in entries} == ids, parameters


def test_pages_follow_each_other(queue_app: httpx.Client, three_rejected: set[int]) -> None:
    """`next` is the start of the next page; the last page has none."""
    listed: list[int] = []
    start: int | None = 0
    while start is not None:
        response = queue_app.get("/rejected", params={"top": 2, "start": start})
        assert len(numbers(response)) in {1, 2}
        listed += numbers(response)
        start = response.json()["next"]

    assert listed == sorted(three_rejected)


def test_keys_are_masked(queue_app: httpx.Client, queues: Queues) -> None:
    """No key is in a listing."""
    queues.request({"operation": UPDATE, "enrollment": enrollment_with_keys("a")})
    [copy] = queues.rejected()
    keys = json.loads(copy["body"])["enrollment"]["attestation"]["symmetricKey"]

    response = queue_app.get("/rejected")

    masked = response.json()["messages"][0]["body"]["enrollment"]["attestation"]["symmetricKey"]
    assert set(keys) == set(masked) == {"primaryKey", "secondaryKey"}
    assert not any(key in response.text for key in keys.values())
    assert all(key.endswith("****") for key in masked.values())


def test_dead_letters_can_be_listed(queue_app: httpx.Client, queues: Queues) -> None:
    """With the reason that Service Bus gives."""
    body = b"x" * (queues.broker.options.max_message_bytes - 128)
    queues.send(REQUESTS, message(body))
    queues.dead_letters()

    parameters = {"queue": f"{REQUESTS}/$deadletterqueue"}
    [entry] = queue_app.get("/rejected", params=parameters).json()["messages"]

    assert (entry["reason"], entry["deliveryCount"]) == (
        "MaxDeliveryCountExceeded",
        MAX_DELIVERY_COUNT,
    )


@pytest.mark.usefixtures("internal_error")
def test_senders_property_of_a_dead_letter_is_not_taken_for_the_apps(
    queue_app: httpx.Client, queues: Queues
) -> None:
    """Neither in the list nor by a replay, which keeps the message's time to live."""
    names = {"errorCode": 7, "attempt": 9, "sourceQueue": BULK, "reason": "restock"}
    queues.request(
        request_for(CREATE, "bug"),
        time_to_live=timedelta(hours=1),
        application_properties=names | {"sourceMessageId": "erp-1"},
    )
    queues.dead_letters()
    dead_letters = {"queue": f"{REQUESTS}/$DeadLetterQueue"}
    [entry] = queue_app.get("/rejected", params=dead_letters).json()["messages"]

    queue_app.post("/rejected/replay", json=dead_letters).raise_for_status()
    queues.dead_letters()

    [again] = queues.peek(REQUESTS, "deadletter")
    assert {entry[name] for name in names if name != "reason"} == {None}
    assert again.time_to_live
    assert again.time_to_live <= timedelta(hours=1)
    assert to_document(again)["properties"]["sourceQueue"] == REQUESTS


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"top": "0", "start": "-1"}, {"top", "start"}),
        ({"top": "many"}, {"top"}),
        ({"top": "101"}, {"top"}),
        ({"olderThan": "yesterday"}, {"olderThan"}),
        ({"olderThan": "2026-11-22T12:00:00"}, {"olderThan"}),
        ({"olderThan": "5"}, {"olderThan"}),
        ({"olderThan": "P999999999D"}, {"olderThan"}),
        ({"reasn": "Bug"}, {"reasn"}),
        ({"queue": "other", "top": "0"}, {"queue", "top"}),
    ],
)
def test_invalid_parameters_are_reported_together(
    queue_app: httpx.Client, parameters: dict[str, Any], names: set[str]
) -> None:
    """With a fault for each."""
    response = queue_app.get("/rejected", params=parameters)

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
    assert set(response.json()["info"]) == names


def test_message_is_discarded(queue_app: httpx.Client, three_rejected: set[int]) -> None:
    """And no other."""
    number = sorted(three_rejected)[1]

    response = queue_app.delete(f"/rejected/{number}").raise_for_status()

    assert (response.json()["discarded"], response.json()["sequenceNumbers"]) == (1, [number])
    assert set(numbers(queue_app.get("/rejected"))) == three_rejected - {number}


@pytest.mark.parametrize(
    ("number", "status"), [("123456", 404), ("first", 400), ("-1", 400), ("9" * 5000, 400)]
)
def test_discard_of_a_missing_message_is_404(
    queue_app: httpx.Client, number: str, status: int
) -> None:
    """An invalid sequence number is 400."""
    response = queue_app.delete(f"/rejected/{number}")

    assert response.status_code == status
    assert response.json()["errorCode"] == {404: 404002, 400: 400004}[status]


def test_routes_do_not_need_dps_settings(
    queue_app: httpx.Client, configure: Callable[..., None], three_rejected: set[int]
) -> None:
    """They work while the settings for DPS are missing."""
    configure(DPS_CONNECTION_STRING="")

    listed = numbers(queue_app.get("/rejected"))

    assert set(listed) == three_rejected
    assert queue_app.delete(f"/rejected/{listed[0]}").is_success


@pytest.fixture
def rejected(queues: Queues) -> dict[str, int]:
    """The sequence numbers of five rejected updates of missing records `a` to `e`, by id."""
    for name in "abcde":
        queues.request(request_for(UPDATE, name), message_id=name)
    queues.rejected(5)
    return {
        to_document(copy)["properties"]["sourceMessageId"]: copy.sequence_number or 0
        for copy in queues.peek(REJECTED)
    }


def replay(app: httpx.Client, **body: Any) -> Document:
    """Returns the report of a replay."""
    return dict(app.post("/rejected/replay", json=body).raise_for_status().json())


def test_all_messages_are_replayed(
    queue_app: httpx.Client, queues: Queues, queue_dps: Dps, rejected: dict[str, int]
) -> None:
    """They succeed once the records exist, with new results for the same requests."""
    for name in rejected:
        queue_dps.put(enrollment(name))

    report = replay(queue_app)

    assert (report["replayed"], report["sequenceNumbers"]) == (5, sorted(rejected.values()))
    results = queues.results(10)
    statuses = [outcome["status"] for outcome in outcomes(results)]
    assert statuses == ["rejected"] * 5 + ["succeeded"] * 5
    assert {result["correlation_id"] for result in results[5:]} == set("abcde")
    assert len({result["message_id"] for result in results}) == 10
    assert queues.broker.queue(REJECTED) == QueueCounts()


def test_dry_run_changes_nothing(
    queue_app: httpx.Client, queues: Queues, rejected: dict[str, int]
) -> None:
    """It reports the messages that the filter selects."""
    selections: list[tuple[Document, list[int]]] = [
        ({"id": "C"}, [rejected["c"]]),
        ({"reason": "DpsNotFound", "max": 3}, sorted(rejected.values())[:3]),
    ]
    for filter, numbers in selections:
        report = replay(queue_app, **filter, dryRun=True)

        assert (report["replayed"], report["sequenceNumbers"]) == (0, numbers)
    assert queues.broker.queue(REJECTED) == QueueCounts(active=5)


@pytest.mark.parametrize(("filter", "number"), [({"id": "C"}, 1), ({"max": 2}, 2)])
def test_selected_messages_are_replayed(
    queue_app: httpx.Client,
    queues: Queues,
    rejected: dict[str, int],
    filter: dict[str, Any],
    number: int,
) -> None:
    """The delivery count of the others is 1 at most."""
    report = replay(queue_app, **filter)

    assert report["replayed"] == number
    queues.results(5 + number)
    left = [copy for copy in queues.peek(REJECTED) if copy.sequence_number in rejected.values()]
    assert len(left) == 5 - number
    assert {copy.delivery_count for copy in left} <= {0, 1}


def test_message_is_patched_and_replayed(
    queue_app: httpx.Client, queues: Queues, queue_dps: Dps
) -> None:
    """With a merge patch for its body."""
    queues.request({"operation": CREATE, "enrollment": {"registrationId": "dev-1", "typo": 1}})
    queues.rejected()
    [received] = queues.peek(REJECTED)
    patch = {"enrollment": {"attestation": {"type": "symmetricKey"}, "typo": None}}

    report = replay(queue_app, sequenceNumber=received.sequence_number, patch=patch)

    assert report["replayed"] == 1
    assert [outcome["status"] for outcome in queues.outcomes(2)] == ["rejected", "succeeded"]
    assert queue_dps.get(enrollment())


@pytest.mark.parametrize("is_event", [False, True], ids=["plain", "event"])
def test_patch_of_a_message_may_be_in_any_case(
    queue_app: httpx.Client, queues: Queues, queue_dps: Dps, is_event: bool
) -> None:
    """So may the message be, and the filter that finds it; neither leads to a second spelling."""
    record = {"RegistrationId": "dev-1", "Attestation": {"Type": "tpm"}, "DEVICEID": "old"}
    request: Document = {"Operation": "Create", "Enrollment": record}
    patch: Document = {"enrollment": {"attestation": {"type": "SymmetricKey"}, "DeviceId": "new"}}
    if is_event:
        event = {"specversion": "1.0", "id": "e", "source": "/erp", "type": "t"}
        request, patch = {**event, "data": request}, {"data": patch}
    queues.request(request)
    queues.rejected()
    filter = {"ID": "DEV-1", "Reason": "invalidREQUEST"}
    [entry] = queue_app.get("/rejected", params=filter).json()["messages"]

    report = replay(queue_app, SequenceNumber=entry["sequenceNumber"], patch=patch)

    assert entry["ids"] == ["dev-1"]
    assert report["replayed"] == 1
    assert [outcome["status"] for outcome in queues.outcomes(2)] == ["rejected", "succeeded"]
    assert queue_dps.stored(enrollment())["deviceId"] == "new"


def test_message_is_replayed_unchanged(
    queue_app: httpx.Client, queues: Queues, queue_dps: Dps, rejected: dict[str, int]
) -> None:
    """Without a patch."""
    queue_dps.put(enrollment("b"))

    report = replay(queue_app, sequenceNumber=rejected["b"])

    assert report["sequenceNumbers"] == [rejected["b"]]
    assert queues.outcomes(6)[-1]["registrationId"] == "b"


def test_replayed_message_can_be_rejected_again(queue_app: httpx.Client, queues: Queues) -> None:
    """No copy is dropped as a duplicate, however often it is replayed."""
    queues.request(request_for(UPDATE), message_id="m-1")
    for number in (1, 2):
        queues.rejected()
        assert replay(queue_app)["replayed"] == 1
        assert len(queues.results(number + 1)) == number + 1

    [copy] = queues.rejected()
    properties = copy["properties"]
    assert (properties["sourceMessageId"], properties["attempt"]) == ("m-1", 1)
    assert properties["sourceQueue"] == REQUESTS
    assert queues.broker.statistics.duplicates == 0


def test_item_is_replayed_to_the_bulk_queue(
    queue_app: httpx.Client, queues: Queues, queue_dps: Dps
) -> None:
    """As a bulk message with one record."""
    queues.bulk(bulk_request("update", enrollment("a")))
    queues.rejected()
    queue_dps.put(enrollment("a"))

    replay(queue_app)

    assert [outcome["status"] for outcome in queues.outcomes(2)] == ["rejected", "succeeded"]
    assert queues.broker.queue(BULK) == QueueCounts()


def test_replayed_item_keeps_its_pointer(queue_app: httpx.Client, queues: Queues) -> None:
    """In the result, into the sender's message; in the rejected copy, into its own body."""
    queues.bulk(bulk_request("update", *(enrollment(id, etag=7) for id in "abcd")))
    queues.rejected(4)

    replay(queue_app)
    results = queues.results(8)

    infos = [r["event"]["data"]["info"] for r in results if r["subject"] == "d"]
    assert [list(info) for info in infos] == [["/enrollments/3/etag"]] * 2
    [copy] = [copy for copy in queues.rejected(4) if ids_in_body(copy) == ["d"]]
    assert copy["properties"]["positions"] == "3"
    assert "/enrollments/0/etag" in copy["properties"]["description"]


def test_replay_of_a_missing_message_is_404(queue_app: httpx.Client) -> None:
    """With its own error code."""
    response = queue_app.post("/rejected/replay", json={"sequenceNumber": 123456})

    assert (response.status_code, response.json()["errorCode"]) == (404, 404002)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"max": 0, "dryRun": "perhaps"}, {"/max", "/dryRun"}),
        ({"max": 1001}, {"/max"}),
        ({"olderThan": "yesterday"}, {"/olderThan"}),
        ({"top": 1}, {"/top"}),
        ({"sequenceNumber": "one"}, {"/sequenceNumber"}),
        ({"sequenceNumber": 1, "max": 1}, {"/max"}),
        ({"patch": {}}, {"/patch"}),
        ({"queue": "other", "max": 0}, {"/queue", "/max"}),
        ([], {""}),
    ],
)
def test_invalid_members_are_reported_together(
    queue_app: httpx.Client, body: list[Any] | dict[str, Any], names: set[str]
) -> None:
    """And nothing is replayed."""
    response = queue_app.post("/rejected/replay", json=body)

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
    assert set(response.json()["info"]) == names


def test_mask_in_a_patch_is_a_fault(queue_app: httpx.Client, rejected: dict[str, int]) -> None:
    """The mask of a listing must not replace the key."""
    patch = {"enrollment": {"attestation": {"symmetricKey": {"primaryKey": "****"}}}}

    response = queue_app.post(
        "/rejected/replay", json={"sequenceNumber": rejected["a"], "patch": patch}
    )

    assert response.status_code == 400
    assert list(response.json()["info"]) == ["/enrollment/attestation/symmetricKey/primaryKey"]


def test_undecodable_message_is_passed(
    queue_app: httpx.Client, queues: Queues, queue_dps: Dps, rejected: dict[str, int]
) -> None:
    """It is listed with what is wrong; replay refuses it and replays those behind it; discard works."""
    properties: dict[str | bytes, Any] = {"price": Decimal("1.5"), "sourceQueue": REQUESTS}
    queues.send(REJECTED, message(request_for(UPDATE, "z"), application_properties=properties))
    queues.request(request_for(UPDATE, "f"))
    queues.results(6)
    queue_dps.put(enrollment("f"))
    number = max(rejected.values()) + 1

    listed = {
        entry["sequenceNumber"]: entry for entry in queue_app.get("/rejected").json()["messages"]
    }
    report = replay(queue_app, start=number)
    refused = queue_app.post("/rejected/replay", json={"sequenceNumber": number})
    discarded = queue_app.delete(f"/rejected/{number}").raise_for_status().json()

    assert len(listed) == 7
    assert listed[number]["undecodable"] == ["application property price"]
    assert (report["sequenceNumbers"], report["refused"]) == ([number + 1], [number])
    assert refused.status_code == 400
    assert discarded["sequenceNumbers"] == [number]
    assert queues.broker.queue(REJECTED).active + queues.broker.queue(REJECTED).deferred == 5


def test_wrong_queue_hides_no_other_fault(queue_app: httpx.Client) -> None:
    """All parameters of a query, and the sequence number of the path, are checked together."""
    listed = queue_app.get("/rejected", params={"queue": "other", "top": "0", "typo": "1"})
    discarded = queue_app.delete("/rejected/first", params={"queue": "other", "typo": "1"})

    assert set(listed.json()["info"]) == {"queue", "top", "typo"}
    assert set(discarded.json()["info"]) == {"queue", "sequenceNumber", "typo"}
