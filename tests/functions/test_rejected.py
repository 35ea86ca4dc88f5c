"""The rejected routes: what an operator sees of rejected messages, and does with them."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.functions.queue_messages import message
from tests.functions.queue_requests import UPDATE, asked, with_keys
from tests.functions.queue_stack import MOST_DELIVERIES, REJECTED, REQUESTS, Queues


def numbers(reply: httpx.Response) -> list[int]:
    """The messages of a page."""
    return [found["sequenceNumber"] for found in reply.raise_for_status().json()["messages"]]


@pytest.fixture
def three(queues: Queues) -> set[int]:
    """The numbers of three messages: updates of `a` and of `b`, that are not there, and nonsense."""
    bodies = (asked(UPDATE, "a"), asked(UPDATE, "b"), b"nonsense")
    for number, body in enumerate(bodies, start=1):
        queues.request(body, message_id=f"m-{number}", correlation_id=f"c-{number}")
    queues.parked(3)
    return {found.sequence_number or 0 for found in queues.peek(REJECTED)}


@pytest.mark.usefixtures("three")
def test_page_shows_what_was_rejected_and_why(app_of_queues: httpx.Client):
    """With all that was noted."""
    reply = app_of_queues.get("/rejected")

    found = reply.json()
    shown = {entry["sourceMessageId"]: entry for entry in found["messages"]}
    assert reply.headers["cache-control"] == "no-store"
    assert found["next"] is None
    first, last = shown["m-1"], shown["m-3"]
    assert (first["reason"], first["errorCode"], first["attempt"]) == ("DpsNotFound", 404201, 1)
    assert (first["sourceQueue"], first["correlationId"]) == (REQUESTS, "c-1")
    assert (first["ids"], first["body"]) == (["a"], asked(UPDATE, "a"))
    assert last["body"] is None
    assert last["unreadableBody"]["length"] == len(b"nonsense")


@pytest.mark.usefixtures("three")
def test_page_can_be_narrowed(app_of_queues: httpx.Client):
    """By reason, record, age and place."""
    later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    for parameters, ids in [
        ({"reason": "DpsNotFound", "olderThan": later}, {"m-1", "m-2"}),
        ({"id": "B", "queue": REJECTED.upper(), "code": "function-key"}, {"m-2"}),
    ]:
        reply = app_of_queues.get("/rejected", params=parameters).raise_for_status()

        shown = {entry["sourceMessageId"] for entry in reply.json()["messages"]}
        assert shown == ids, parameters


def test_pages_follow_each_other(app_of_queues: httpx.Client, three: set[int]):
    """Each says where the next begins, the last that there is none."""
    found: list[int] = []
    start: int | None = 0
    while start is not None:
        reply = app_of_queues.get("/rejected", params={"top": 2, "start": start})
        assert len(numbers(reply)) in {1, 2}
        found += numbers(reply)
        start = reply.json()["next"]

    assert found == sorted(three)


def test_keys_are_asterisks(app_of_queues: httpx.Client, queues: Queues):
    """Nobody reads a key from a listing."""
    queues.request({"operation": UPDATE, "enrollment": with_keys("a")})
    [parked] = queues.parked()
    keys = json.loads(parked["body"])["enrollment"]["attestation"]["symmetricKey"]

    reply = app_of_queues.get("/rejected")

    shown = reply.json()["messages"][0]["body"]["enrollment"]["attestation"]["symmetricKey"]
    assert set(keys) == set(shown) == {"primaryKey", "secondaryKey"}
    assert not any(key in reply.text for key in keys.values())
    assert all(key.endswith("****") for key in shown.values())


def test_dead_letters_are_shown_too(app_of_queues: httpx.Client, queues: Queues):
    """With the reason that Service Bus gives."""
    no_room = b"x" * (queues.broker.options.max_message_bytes - 128)
    queues.send(REQUESTS, message(no_room))
    queues.dead_letters()

    place = {"queue": f"{REQUESTS}/$deadletterqueue"}
    [found] = app_of_queues.get("/rejected", params=place).json()["messages"]

    assert (found["reason"], found["deliveryCount"]) == (
        "MaxDeliveryCountExceeded",
        MOST_DELIVERIES,
    )


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
        ({"queue": "other"}, {"queue"}),
    ],
)
def test_parameters_that_are_wrong_are_named(
    app_of_queues: httpx.Client, parameters, names: set[str]
):
    """All of them at once."""
    reply = app_of_queues.get("/rejected", params=parameters)

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
    assert set(reply.json()["info"]) == names


def test_message_is_discarded(app_of_queues: httpx.Client, three: set[int]):
    """For good, and no other."""
    number = sorted(three)[1]

    reply = app_of_queues.delete(f"/rejected/{number}").raise_for_status()

    assert (reply.json()["discarded"], reply.json()["sequenceNumbers"]) == (1, [number])
    assert set(numbers(app_of_queues.get("/rejected"))) == three - {number}


@pytest.mark.parametrize(
    ("number", "status"), [("123456", 404), ("first", 400), ("-1", 400), ("9" * 5000, 400)]
)
def test_message_that_is_not_there_is_not_discarded(
    app_of_queues: httpx.Client, number: str, status: int
):
    """A number that is none is told from one that nothing has."""
    reply = app_of_queues.delete(f"/rejected/{number}")

    assert reply.status_code == status
    assert reply.json()["errorCode"] == {404: 404002, 400: 400004}[status]


def test_routes_need_no_settings_of_dps(app_of_queues: httpx.Client, configure, three: set[int]):
    """While the way to DPS is mended, rejected messages can be looked at."""
    configure(DPS_CONNECTION_STRING="")

    found = numbers(app_of_queues.get("/rejected"))

    assert set(found) == three
    assert app_of_queues.delete(f"/rejected/{found[0]}").is_success
