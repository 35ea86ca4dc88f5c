"""Copies of messages: their properties, ids and times to live, and sending of rejected copies."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage

from local.servicebus import Broker, QueueCounts
from shared.errors import MessageTooLargeError
from shared.messaging.copies import (
    Part,
    RejectionReason,
    delay_after,
    reject,
    rejected_copy,
    replayed_copy,
    scheduled_copy,
)
from shared.messaging.messages import Message, OutgoingMessage
from shared.messaging.sender import MessageSender
from shared.settings import ServiceBusSettings
from tests.shared.messaging.samples import (
    MESSAGE,
    MINUTE,
    ORIGIN_PROPERTIES,
    REASON,
    SENDER_PROPERTIES,
    CreateQueues,
    Peek,
    Put,
)

COPIES = [
    pytest.param(
        lambda m, **options: scheduled_copy(m, delay=MINUTE, attempt=2, **options), id="scheduled"
    ),
    pytest.param(lambda m, **options: rejected_copy(m, REASON, **options), id="rejected"),
    pytest.param(replayed_copy, id="replayed"),
]


def received(copy: Any, *, queue: Any = "requests", number: Any = 8) -> Message:
    """Returns the copy as the app would receive it."""
    return Message(
        body=copy.body,
        queue=queue,
        sequence_number=number,
        message_id=copy.message_id,
        application_properties=copy.application_properties,
    )


@pytest.mark.parametrize("make_copy", COPIES)
def test_copy_keeps_body_and_properties(make_copy: Callable[..., OutgoingMessage]) -> None:
    """A copy keeps body, properties and the origin of the first message."""
    copy = make_copy(MESSAGE)

    assert copy.body == MESSAGE.body
    assert (copy.content_type, copy.correlation_id) == ("application/json", "correlation")
    assert (copy.subject, copy.reply_to) == ("subject", "replies")
    assert (SENDER_PROPERTIES | ORIGIN_PROPERTIES).items() <= copy.application_properties.items()


@pytest.mark.parametrize("make_copy", COPIES)
def test_sender_cannot_forge_the_origin(make_copy: Callable[..., OutgoingMessage]) -> None:
    """A sender's own properties of the same names are replaced: a replay relies on them."""
    forged = {"sourceQueue": "sap", "sourceMessageId": "x", "enqueuedTimeUtc": "noon"}
    first = replace(MESSAGE, application_properties=forged)
    if make_copy is replayed_copy:
        first = replace(first, queue="requests/$DeadLetterQueue")

    copy = make_copy(first)

    assert ORIGIN_PROPERTIES.items() <= copy.application_properties.items()


@pytest.mark.parametrize("make_copy", COPIES)
def test_id_of_a_copy_is_deterministic(make_copy: Callable[..., OutgoingMessage]) -> None:
    """Copying again gives the same id; a copy of another message has another."""
    copy_id = make_copy(MESSAGE).message_id

    assert copy_id == make_copy(MESSAGE).message_id
    assert copy_id.endswith("-requests-7")
    assert copy_id != make_copy(replace(MESSAGE, sequence_number=8)).message_id


@pytest.mark.parametrize("make_copy", COPIES)
def test_copies_with_different_bodies_have_different_ids(
    make_copy: Callable[..., OutgoingMessage],
) -> None:
    """Parts of one message differ from each other and from the copy of the whole message."""
    whole = make_copy(MESSAGE).message_id

    parts = {make_copy(MESSAGE, part=Part(body)).message_id for body in (b"a", b"b")}

    assert len(parts | {whole}) == 3
    assert make_copy(MESSAGE, part=Part(MESSAGE.body)).message_id == whole


@pytest.mark.parametrize("make_copy", COPIES)
def test_id_of_a_copy_is_within_the_limit(make_copy: Callable[..., OutgoingMessage]) -> None:
    """Ids are short even for long queue names, and differ between two such names."""
    names = ("q" * 259 + "a", "q" * 259 + "b")

    ids = {make_copy(replace(MESSAGE, queue=name), part=Part(b"part")).message_id for name in names}

    assert len(ids) == 2
    assert max(map(len, ids)) <= 128


LITERAL = Message(
    body=b'{"operation": "create", "enrollment": {"registrationId": "Press-0117", '
    b'"attestation": {"type": "symmetricKey"}}}',
    queue="enrollment-requests",
    sequence_number=41,
    message_id="order-7",
)
LONG_NAME = "ff550476527be4d27b596094d6cc4f8f"
"""The hash of a queue name of 200 letters q."""


@pytest.mark.parametrize(
    ("message", "suffix"),
    [
        pytest.param(LITERAL, "enrollment-requests-41", id="queue"),
        pytest.param(replace(LITERAL, queue="q" * 200), f"{LONG_NAME}-41", id="long name"),
    ],
)
def test_ids_of_copies_are_the_same_in_every_version(message: Message, suffix: str) -> None:
    """A message that two versions process must not have two copies."""
    copies = (
        scheduled_copy(message, delay=MINUTE, attempt=2),
        rejected_copy(message, REASON),
        replayed_copy(message),
    )

    assert [copy.message_id for copy in copies] == [
        f"rescheduled-{suffix}",
        f"parked-{suffix}",
        f"replayed-{suffix}",
    ]


def test_id_of_a_partial_copy_is_the_same_in_every_version() -> None:
    """The id ends with a hash of the copy's body."""
    copy = rejected_copy(LITERAL, REASON, part=Part(b"other"))

    assert copy.message_id == "parked-enrollment-requests-41-d9298a10d1b07358"


def test_properties_of_a_rejected_copy_are_the_same_in_every_version() -> None:
    """Operators filter by these properties, and a replay reads them."""
    reason = RejectionReason(
        reason="InvalidRequest", description="d", error_code=400004, tracking_id="t"
    )

    assert rejected_copy(LITERAL, reason).application_properties == {
        "sourceQueue": "enrollment-requests",
        "sourceMessageId": "order-7",
        "reason": "InvalidRequest",
        "description": "d",
        "errorCode": 400004,
        "trackingId": "t",
        "attempt": 1,
        "copyId": "parked-enrollment-requests-41",
    }


def test_delays_of_all_attempts_are_more_than_a_day() -> None:
    """An outage of a day rejects no message, and no result."""
    attempts = ServiceBusSettings.model_fields["message_max_attempts"].default

    assert sum((delay_after(n) for n in range(1, attempts)), timedelta()) > timedelta(hours=24)


@pytest.mark.parametrize("make_copy", COPIES)
def test_partial_copy_has_the_positions_of_its_records(
    make_copy: Callable[..., OutgoingMessage],
) -> None:
    """A sender's own property is not kept: in a copy it would be taken for the app's."""
    names = {"positions": "7", "postponedResults": 1, "copyId": "x"}
    first = replace(MESSAGE, application_properties=names)
    if make_copy is replayed_copy:
        first = replace(first, queue="requests/$DeadLetterQueue")

    whole = make_copy(first).application_properties
    part = make_copy(first, part=Part(b"[]", [0, 1, 5])).application_properties

    assert {"positions", "postponedResults"}.isdisjoint(whole)
    assert part["positions"] == "0-1,5"
    assert part["copyId"] != "x"


def test_copy_of_a_part_keeps_the_positions() -> None:
    """They are those in the sender's message through all copies."""
    part = received(scheduled_copy(MESSAGE, delay=MINUTE, attempt=2, part=Part(b"[]", [5])))

    assert replayed_copy(part).application_properties["positions"] == "5"


def test_copies_of_copies_keep_the_origin() -> None:
    """The origin is kept through rescheduling, rejection and replay."""
    second = received(scheduled_copy(MESSAGE, delay=MINUTE, attempt=2))
    third = received(rejected_copy(second, REASON), queue="rejected", number=1)

    copy = replayed_copy(third)

    expected = SENDER_PROPERTIES | ORIGIN_PROPERTIES | {"copyId": copy.message_id}
    assert copy.application_properties == expected
    assert (second.attempt, second.original_id, second.is_redelivery) == (2, "first", True)


def test_rejected_copy_has_the_reason() -> None:
    """The application properties have the reason and the attempt."""
    third = replace(
        MESSAGE,
        message_id="rescheduled-requests-6",
        application_properties=ORIGIN_PROPERTIES | {"attempt": 3},
    )

    copy = rejected_copy(third, REASON)

    assert copy.application_properties == ORIGIN_PROPERTIES | {
        "copyId": copy.message_id,
        "reason": "Invalid",
        "description": "Wrong.",
        "errorCode": 400004,
        "trackingId": "track",
        "attempt": 3,
    }


def test_replayed_dead_letter_has_no_dead_letter_properties() -> None:
    """The source of the copy is the queue itself, not the dead-letter queue."""
    properties = {"DeadLetterReason": "x", "DeadLetterErrorDescription": "y"}
    dead = replace(MESSAGE, queue="requests/$DeadLetterQueue", application_properties=properties)

    copy = replayed_copy(dead)

    assert copy.application_properties == ORIGIN_PROPERTIES | {"copyId": copy.message_id}


def test_scheduled_copy_expires_with_the_message() -> None:
    """The time to live counts from the scheduled time."""
    expires = datetime.now(UTC) + timedelta(minutes=10)

    copy = scheduled_copy(replace(MESSAGE, expires_at_utc=expires), delay=MINUTE, attempt=2)

    assert copy.scheduled_enqueue_time_utc
    assert copy.time_to_live
    assert copy.scheduled_enqueue_time_utc + copy.time_to_live == expires


def test_scheduled_copy_lives_for_at_least_a_second() -> None:
    """A time to live of zero would mean no limit."""
    soon = datetime.now(UTC) + timedelta(seconds=1)

    copy = scheduled_copy(replace(MESSAGE, expires_at_utc=soon), delay=MINUTE, attempt=2)

    assert copy.time_to_live == timedelta(seconds=1)


def test_rejected_copy_does_not_expire() -> None:
    """The message's time to live is dropped."""
    soon = datetime.now(UTC) + MINUTE

    assert rejected_copy(replace(MESSAGE, expires_at_utc=soon), REASON).time_to_live is None


def test_replayed_dead_letter_keeps_its_expiry() -> None:
    """The sender did not want the message processed later."""
    soon = datetime.now(UTC) + MINUTE

    time_to_live = replayed_copy(replace(MESSAGE, expires_at_utc=soon)).time_to_live

    assert time_to_live
    assert time_to_live <= MINUTE


@pytest.mark.parametrize(
    "unlimited",
    [
        replace(MESSAGE, expires_at_utc=datetime.now(UTC) - MINUTE),
        replace(
            MESSAGE,
            message_id="parked-requests-7",
            expires_at_utc=datetime.now(UTC) + MINUTE,
            application_properties={"reason": "Invalid", "sourceMessageId": "first"},
        ),
    ],
    ids=["expired", "rejected"],
)
def test_replayed_copy_may_have_no_expiry(unlimited: Any) -> None:
    """An expired message and one in the rejected queue have no time to keep."""
    assert replayed_copy(unlimited).time_to_live is None


def test_long_description_is_shortened() -> None:
    """A property may have 32 KB."""
    long = rejected_copy(MESSAGE, replace(REASON, description="d" * 100_000))

    assert len(long.application_properties["description"]) < 32_000


# Against the Service Bus stand-in


@pytest.fixture
def deduplicating(create_queues: CreateQueues) -> ServiceBusSettings:
    """An app whose queues detect duplicates."""
    return create_queues(duplicate_detection=600)


@pytest.fixture
async def deduplicating_sender(deduplicating: ServiceBusSettings) -> AsyncIterator[MessageSender]:
    """A sender to queues that detect duplicates."""
    made = MessageSender(deduplicating)
    yield made
    await made.aclose()


@pytest.mark.parametrize("make_copy", COPIES)
async def test_duplicate_detection_keeps_one_copy(
    broker: Broker,
    deduplicating: ServiceBusSettings,
    deduplicating_sender: MessageSender,
    make_copy: Callable[..., OutgoingMessage],
    put: Put,
) -> None:
    """Of message, copy and repeated copy only the last is dropped."""
    queue = deduplicating.enrollment_requests_queue
    await put(queue, ServiceBusMessage("x", message_id="first"))

    for _ in range(2):
        await deduplicating_sender.send(
            queue, replace(make_copy(MESSAGE), scheduled_enqueue_time_utc=None)
        )

    assert broker.queue(queue) == QueueCounts(active=2)


async def test_reject_sends_the_copy(
    sender: MessageSender, rejected_queue: str, peek: Peek
) -> None:
    """The copy has the reason and no time to live."""
    await reject(sender, rejected_queue, MESSAGE, REASON)

    [received] = await peek(rejected_queue)
    assert received.application_properties[b"reason"] == b"Invalid"
    assert received.time_to_live is None


@pytest.mark.parametrize(
    ("free_bytes", "kept"),
    [
        (600, {b"reason", b"description", b"trackingId", b"errorCode", b"attempt", b"copyId"}),
        (400, {b"reason", b"trackingId", b"errorCode", b"attempt", b"copyId"}),
        (260, {b"reason", b"attempt"}),
        (220, {b"reason"}),
    ],
)
async def test_reason_is_reduced_to_fit_the_size_limit(
    sender: MessageSender, rejected_queue: str, peek: Peek, free_bytes: int, kept: Any
) -> None:
    """The description is shortened, then dropped; the reason stays."""
    body = b"x" * (256 * 1024 - free_bytes)
    reason = replace(REASON, description="d" * 1000)

    await reject(sender, rejected_queue, replace(MESSAGE, body=body), reason)

    [received] = await peek(rejected_queue)
    others = {name.encode() for name in SENDER_PROPERTIES | ORIGIN_PROPERTIES}
    assert received.application_properties.keys() - others == kept
    assert b"sourceQueue" in received.application_properties


async def test_message_at_the_size_limit_cannot_be_rejected(
    sender: MessageSender, rejected_queue: str
) -> None:
    """After its last delivery the queue dead-letters the message."""
    body = b"x" * 256 * 1024

    with pytest.raises(MessageTooLargeError):
        await reject(sender, rejected_queue, replace(MESSAGE, body=body), REASON)
