"""Replaying rejected messages over HTTP: they are handled as if they had just come."""

import httpx
import pytest

from local.servicebus import QueueCounts
from tests.functions.queue_messages import Document, data, read
from tests.functions.queue_requests import CREATE, UPDATE, Dps, asked, enrollment
from tests.functions.queue_stack import BULK, REJECTED, REQUESTS, Queues


@pytest.fixture
def rejected(queues: Queues) -> dict[str, int]:
    """The numbers of five updates, of `a` to `e`, that have no record."""
    for name in "abcde":
        queues.request(asked(UPDATE, name), message_id=name)
    queues.parked(5)
    return {
        read(found)["properties"]["sourceMessageId"]: found.sequence_number or 0
        for found in queues.peek(REJECTED)
    }


def replay(app: httpx.Client, **wanted) -> Document:
    """What the route answers."""
    return dict(app.post("/rejected/replay", json=wanted).raise_for_status().json())


def test_all_are_replayed(
    app_of_queues, queues: Queues, dps_of_queues: Dps, rejected: dict[str, int]
):
    """And done, once what was missing is there; their results are new ones of the same requests."""
    for name in rejected:
        dps_of_queues.put(enrollment(name))

    told = replay(app_of_queues)

    assert (told["replayed"], told["sequenceNumbers"]) == (5, sorted(rejected.values()))
    results = queues.results(10)
    assert [one["status"] for one in data(results)] == ["rejected"] * 5 + ["succeeded"] * 5
    assert {result["correlation_id"] for result in results[5:]} == set("abcde")
    assert len({result["message_id"] for result in results}) == 10
    assert queues.broker.queue(REJECTED) == QueueCounts()


def test_dry_run_says_what_would_be_replayed(
    app_of_queues, queues: Queues, rejected: dict[str, int]
):
    """What matches, at most so many; and leaves it where it is."""
    for wanted, numbers in [
        ({"id": "C"}, [rejected["c"]]),
        ({"reason": "DpsNotFound", "max": 3}, sorted(rejected.values())[:3]),
    ]:
        told = replay(app_of_queues, **wanted, dryRun=True)

        assert (told["replayed"], told["sequenceNumbers"]) == (0, numbers)
    assert queues.broker.queue(REJECTED) == QueueCounts(active=5)


@pytest.mark.parametrize(("wanted", "number"), [({"id": "C"}, 1), ({"max": 2}, 2)])
def test_some_are_replayed(app_of_queues, queues: Queues, rejected, wanted, number: int):
    """The others stay, and count as delivered once at most."""
    told = replay(app_of_queues, **wanted)

    assert told["replayed"] == number
    queues.results(5 + number)
    left = [found for found in queues.peek(REJECTED) if found.sequence_number in rejected.values()]
    assert len(left) == 5 - number
    assert {found.delivery_count for found in left} <= {0, 1}


def test_one_is_mended_and_replayed(app_of_queues, queues: Queues, dps_of_queues: Dps):
    """By a merge patch on its body, after which it is applied."""
    queues.request({"operation": CREATE, "enrollment": {"registrationId": "dev-1", "typo": 1}})
    queues.parked()
    [found] = queues.peek(REJECTED)
    patch = {"enrollment": {"attestation": {"type": "symmetricKey"}, "typo": None}}

    told = replay(app_of_queues, sequenceNumber=found.sequence_number, patch=patch)

    assert told["replayed"] == 1
    assert [one["status"] for one in data(queues.results(2))] == ["rejected", "succeeded"]
    assert dps_of_queues.get(enrollment())


def test_one_is_replayed_as_it_is(
    app_of_queues, queues: Queues, dps_of_queues: Dps, rejected: dict[str, int]
):
    """Without a patch."""
    dps_of_queues.put(enrollment("b"))

    told = replay(app_of_queues, sequenceNumber=rejected["b"])

    assert told["sequenceNumbers"] == [rejected["b"]]

    assert data(queues.results(6))[-1]["registrationId"] == "b"


def test_what_is_rejected_once_more_lies_there_once_more(app_of_queues, queues: Queues):
    """No copy is taken for a duplicate of another, however often it goes round."""
    queues.request(asked(UPDATE), message_id="m-1")
    for number in (1, 2):
        queues.parked()
        assert replay(app_of_queues)["replayed"] == 1
        assert len(queues.results(number + 1)) == number + 1

    [parked] = queues.parked()
    assert (parked["properties"]["sourceMessageId"], parked["properties"]["attempt"]) == ("m-1", 1)
    assert parked["properties"]["sourceQueue"] == REQUESTS
    assert queues.broker.statistics.duplicates == 0


def test_item_of_many_goes_back_to_its_queue(app_of_queues, queues: Queues, dps_of_queues: Dps):
    """As a message for many with one record."""
    queues.bulk({"mode": "update", "enrollments": [enrollment("a")]})
    queues.parked()
    dps_of_queues.put(enrollment("a"))

    replay(app_of_queues)

    assert [one["status"] for one in data(queues.results(2))] == ["rejected", "succeeded"]
    assert queues.broker.queue(BULK) == QueueCounts()


def test_number_that_nothing_has_is_not_found(app_of_queues):
    """With the code for it."""
    reply = app_of_queues.post("/rejected/replay", json={"sequenceNumber": 123456})

    assert (reply.status_code, reply.json()["errorCode"]) == (404, 404002)


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
        ({"queue": "other"}, {"queue"}),
        ([], {""}),
    ],
)
def test_members_that_are_wrong_are_named(app_of_queues, body, names: set[str]):
    """All of them at once, and nothing is done."""
    reply = app_of_queues.post("/rejected/replay", json=body)

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
    assert set(reply.json()["info"]) == names


def test_asterisks_do_not_become_keys(app_of_queues, rejected: dict[str, int]):
    """What a listing hides cannot be sent back."""
    patch = {"enrollment": {"attestation": {"symmetricKey": {"primaryKey": "****"}}}}

    reply = app_of_queues.post(
        "/rejected/replay", json={"sequenceNumber": rejected["a"], "patch": patch}
    )

    assert reply.status_code == 400
    assert list(reply.json()["info"]) == ["/enrollment/attestation/symmetricKey/primaryKey"]
