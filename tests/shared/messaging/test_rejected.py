"""Rejected messages as an operator sees them, and taking one away."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.amqp import AmqpAnnotatedMessage

from local.servicebus import Broker, QueueCounts
from shared.errors import (
    InvalidRequestError,
    QueueRefusedError,
    QueueUnreachableError,
)
from shared.messaging.rejected import RejectedMessages
from shared.messaging.rejections import Filter
from tests import secret_factory
from tests.local.servicebus.handlers import leaves_sockets
from tests.shared.messaging.requesting import request

ENQUEUED = datetime(2026, 11, 1, 12, tzinfo=UTC)


async def numbers(rejected: RejectedMessages, *wanted: Filter, **options) -> list[int]:
    """The sequence numbers on a page of the rejected queue."""
    page = await rejected.page(None, *wanted, **options)
    return [found["sequenceNumber"] for found in page["messages"]]


async def test_entry_tells_all_of_a_message(rejected, park_one, messaging, rejected_queue):
    """What, why, whence and since when."""
    await park_one(request(), correlation_id="correlation", subject="subject")

    page = await rejected.page()

    [found] = page["messages"]
    assert page["next"] is None
    assert datetime.fromisoformat(found.pop("rejectedTimeUtc")) > ENQUEUED
    assert found == {
        "sequenceNumber": 1,
        "queue": rejected_queue,
        "state": "active",
        "reason": "Invalid",
        "description": "d",
        "errorCode": 400,
        "trackingId": "t",
        "attempt": 1,
        "sourceQueue": messaging.enrollment_requests_queue,
        "sourceMessageId": "first-1",
        "messageId": f"parked-{messaging.enrollment_requests_queue}-1",
        "correlationId": "correlation",
        "subject": "subject",
        "enqueuedTimeUtc": ENQUEUED.isoformat(),
        "deliveryCount": 0,
        "size": len(request()),
        "ids": ["dev-1"],
        "body": {"operation": "delete", "registrationId": "dev-1"},
    }


@pytest.mark.long
async def test_dead_letter_tells_why(rejected, client, put, requests_queue):
    """The reason that the queue or its receiver gave."""
    await put(requests_queue, ServiceBusMessage(request()))
    async with client.get_queue_receiver(requests_queue) as receiver:
        [message] = await receiver.receive_messages(1, max_wait_time=5)
        await receiver.dead_letter_message(message, reason="Bad", error_description="because")

    page = await rejected.page(f"{requests_queue}/$deadletterqueue")

    [found] = page["messages"]
    assert (found["reason"], found["description"]) == ("Bad", "because")
    assert found["queue"] == f"{requests_queue}/$DeadLetterQueue"


@pytest.mark.long
async def test_places_are_all_queues_of_the_app(rejected, messaging):
    """The rejected queue, and the dead letters of each."""
    queues = (
        *messaging.input_queues,
        messaging.enrollment_rejected_queue,
        messaging.enrollment_results_queue,
    )

    dead_letters = [f"{queue}/$DeadLetterQueue" for queue in queues]

    assert list(rejected.places) == [messaging.enrollment_rejected_queue, *dead_letters]
    for place in rejected.places:
        assert (await rejected.page(place))["messages"] == []


async def test_other_queues_are_no_places(rejected, requests_queue):
    """The requests that wait are not to be taken."""
    with pytest.raises(InvalidRequestError) as caught:
        await rejected.page(requests_queue)

    assert list(caught.value.faults) == ["queue"]


async def test_keys_are_masked(rejected, park_one):
    """As members, in JSON that lies in JSON as text, and in what a CloudEvent holds."""
    key = secret_factory.symmetric_key()
    mechanism = {"type": "symmetricKey", "symmetricKey": {"primaryKey": key}}
    enrollment = {"registrationId": "dev-1", "attestation": mechanism}
    await park_one(json.dumps({"enrollment": enrollment}).encode())
    await park_one(json.dumps({"data": json.dumps(enrollment)}).encode())
    await park_one(json.dumps({"specversion": "1.0", "data_base64": key}).encode())
    await park_one(json.dumps(json.dumps(enrollment)).encode())
    await park_one(json.dumps(enrollment).encode()[:-1])

    page = await rejected.page()

    assert len(page["messages"]) == 5
    assert key not in json.dumps(page)
    masked = page["messages"][0]["body"]["enrollment"]["attestation"]["symmetricKey"]
    assert masked == {"primaryKey": "****"}


async def test_unreadable_body_is_not_shown(rejected, park_one):
    """Its length and hash are, and where it cannot be read."""
    faults = {
        b'{"registrationId": "dev-1"': "is not JSON: Expecting ',' delimiter (line 1, column 27)",
        b"\xff": "is not UTF-8",
        b"": "a JSON document is required",
        b'"text"': "is neither an object nor a list",
        b'{"secret": 1, "secret": 2}': "stands there more than once",
    }
    for body in faults:
        await park_one(body)

    entries = (await rejected.page())["messages"]

    assert [entry["body"] for entry in entries] == [None] * len(faults)
    assert [entry["unreadableBody"] for entry in entries] == [
        {"length": len(body), "sha256": hashlib.sha256(body).hexdigest(), "fault": fault}
        for body, fault in faults.items()
    ]


async def test_ids_are_those_of_the_records(rejected, park_one):
    """Wherever a request names them."""
    bodies = [
        {"enrollment": {"registrationId": "a"}},
        {"enrollmentGroup": {"enrollmentGroupId": "a"}},
        {"enrollments": [{"registrationId": "a"}, 7, {"registrationId": "b"}]},
        {"enrollmentGroups": [{"enrollmentGroupId": "a"}]},
        {"specversion": "1.0", "data": {"registrationId": "a"}},
        [{"registrationId": "a"}],
        {"registrationId": 7, "enrollments": 7},
    ]
    for body in bodies:
        await park_one(json.dumps(body).encode())

    entries = (await rejected.page())["messages"]

    ids = [["a"], ["a"], ["a", "b"], ["a"], ["a"], [], []]
    assert [entry["ids"] for entry in entries] == ids


async def test_body_of_another_kind_is_read(rejected, put, rejected_queue):
    """AMQP has values beside bytes; no SDK sends a request so unasked."""
    await put(
        rejected_queue,
        AmqpAnnotatedMessage(value_body='{"registrationId": "a"}'),
        AmqpAnnotatedMessage(value_body={"registrationId": "b"}),
        AmqpAnnotatedMessage(value_body=None),
        AmqpAnnotatedMessage(sequence_body=[{"registrationId": "c"}, 7]),
    )

    first, second, third, fourth = (await rejected.page())["messages"]

    assert (first["ids"], second["ids"], third["size"]) == (["a"], ["b"], 0)
    assert fourth["body"] == [{"registrationId": "c"}, 7]


async def test_page_leads_to_the_next(rejected, park_one):
    """Until nothing is left."""
    for number in range(5):
        await park_one(request(f"dev-{number}"))

    first = await rejected.page(top=3)
    second = await rejected.page(top=3, start=first["next"])

    assert [len(page["messages"]) for page in (first, second)] == [3, 2]
    assert second["next"] is None


async def test_page_looks_at_so_many(messaging, sender, park_one):
    """Of a long queue with few that match it may be empty before the last."""
    for number in range(5):
        await park_one(request(f"dev-{number}"))
    rejected = RejectedMessages(messaging, sender, looked_at=4)

    first = await rejected.page(None, Filter(id="dev-4"))
    second = await rejected.page(None, Filter(id="dev-4"), start=first["next"])

    assert (first["messages"], first["next"]) == ([], 5)
    assert [found["ids"] for found in second["messages"]] == [["dev-4"]]


@pytest.mark.long
async def test_filter_finds_what_is_meant(rejected, park_one):
    """By reason, by record in any case, by age."""
    await park_one(request("dev-1"), reason="Invalid")
    await park_one(request("dev-2"), reason="Conflict")
    later = datetime.now(UTC) + timedelta(minutes=1)

    assert await numbers(rejected, Filter(reason="Conflict")) == [2]
    assert await numbers(rejected, Filter(id="DEV-1")) == [1]
    assert await numbers(rejected, Filter(reason="Conflict", id="dev-1")) == []
    assert await numbers(rejected, Filter(older_than=later)) == [1, 2]
    assert await numbers(rejected, Filter(older_than=later.replace(tzinfo=None))) == [1, 2]
    assert await numbers(rejected, Filter(older_than=timedelta(hours=1))) == []


@pytest.mark.long
async def test_looking_takes_nothing(broker: Broker, rejected, park_one, rejected_queue):
    """And counts as no delivery, though the SDK opens a receiver for it."""
    await park_one(request())

    for _ in range(3):
        page = await rejected.page()

    assert page["messages"][0]["deliveryCount"] == 0
    assert broker.queue(rejected_queue) == QueueCounts(active=1)


@leaves_sockets
async def test_missing_place_is_told(app, sender):
    """By the name of the queue."""
    settings = app().model_copy(update={"enrollment_rejected_queue": "nowhere"})

    with pytest.raises(QueueRefusedError, match="nowhere"):
        await RejectedMessages(settings, sender).page()


@leaves_sockets
async def test_silence_ends_in_time(messaging, sender, broker: Broker):
    """Whatever is asked."""
    broker.silence()
    rejected = RejectedMessages(messaging, sender, seconds=0.5)

    for asked in (rejected.page, rejected.replay):
        with pytest.raises(QueueUnreachableError):
            await asked()
