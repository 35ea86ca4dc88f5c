"""Copies of messages: what they carry, and under which id."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import ServiceBusMessage

from local.servicebus import Broker, QueueCounts
from shared.messaging.copies import parked, replayed, rescheduled
from shared.messaging.messages import Message
from shared.messaging.sending import Sender
from shared.settings import MessagingSettings
from tests.shared.messaging.copied import CARRIED, FIRST_OF_CHAIN, MESSAGE, MINUTE, REASON

COPIES = [
    pytest.param(lambda m, **options: rescheduled(m, delay=MINUTE, attempt=2, **options), id="r"),
    pytest.param(lambda m, **options: parked(m, REASON, **options), id="p"),
    pytest.param(replayed, id="y"),
]


def as_message(copy, *, queue="requests", number=8) -> Message:
    """The copy as it comes out of a queue."""
    return Message(
        body=copy.body,
        queue=queue,
        sequence_number=number,
        message_id=copy.message_id,
        application_properties=copy.application_properties,
    )


@pytest.mark.parametrize("copied", COPIES)
def test_copy_carries_what_the_message_carries(copied: Callable):
    """Body, properties and who was the first of the chain."""
    copy = copied(MESSAGE)

    assert copy.body == MESSAGE.body
    assert (copy.content_type, copy.correlation_id) == ("application/json", "correlation")
    assert (copy.subject, copy.reply_to) == ("subject", "replies")
    assert (CARRIED | FIRST_OF_CHAIN).items() <= copy.application_properties.items()


@pytest.mark.parametrize("copied", COPIES)
def test_sender_cannot_say_where_a_message_came_from(copied: Callable):
    """Properties of its own by the same names: a rejected message would not find its way back."""
    named = {"sourceQueue": "sap", "enqueuedTimeUtc": "noon"}

    first = replace(MESSAGE, application_properties=named)
    if copied is replayed:
        first = replace(first, queue="requests/$DeadLetterQueue")

    copy = copied(first)

    assert FIRST_OF_CHAIN.items() <= copy.application_properties.items()


@pytest.mark.parametrize("copied", COPIES)
def test_id_of_a_copy_is_stable_and_not_the_messages(copied: Callable):
    """A repeated copy has it again; a copy of another message has not."""
    copy_id = copied(MESSAGE).message_id

    assert copy_id == copied(MESSAGE).message_id
    assert copy_id.endswith("-requests-7")
    assert copy_id != copied(replace(MESSAGE, sequence_number=8)).message_id


@pytest.mark.parametrize("copied", COPIES)
def test_copy_of_a_part_has_an_id_of_its_own(copied: Callable):
    """Two parts of one message are two messages; the whole is no part."""
    whole = copied(MESSAGE).message_id

    parts = {copied(MESSAGE, body=body).message_id for body in (b"a", b"b")}

    assert len(parts | {whole}) == 3
    assert copied(MESSAGE, body=MESSAGE.body).message_id == whole


@pytest.mark.parametrize("copied", COPIES)
def test_id_fits(copied: Callable):
    """However long the queue's name is; two queues do not share ids."""
    names = ("q" * 259 + "a", "q" * 259 + "b")

    ids = {copied(replace(MESSAGE, queue=name), body=b"part").message_id for name in names}

    assert len(ids) == 2
    assert max(map(len, ids)) <= 128


def test_chain_of_copies_remembers_its_first():
    """Through rescheduling, parking and replaying."""
    second = as_message(rescheduled(MESSAGE, delay=MINUTE, attempt=2))
    third = as_message(parked(second, REASON), queue="rejected", number=1)

    found = replayed(third)

    assert found.application_properties == CARRIED | FIRST_OF_CHAIN
    assert (second.attempt, second.original_id, second.is_repeated) == (2, "first", True)


def test_parked_copy_says_why():
    """In properties of ours, beside the sender's."""
    third = replace(MESSAGE, application_properties=FIRST_OF_CHAIN | {"attempt": 3})

    found = parked(third, REASON)

    assert found.application_properties == FIRST_OF_CHAIN | {
        "reason": "Invalid",
        "description": "Wrong.",
        "errorCode": 400004,
        "trackingId": "track",
        "attempt": 3,
    }


def test_dead_letter_came_from_its_queue():
    """And what it was dead-lettered for is over."""
    properties = {"DeadLetterReason": "x", "DeadLetterErrorDescription": "y"}
    dead = replace(MESSAGE, queue="requests/$DeadLetterQueue", application_properties=properties)

    assert replayed(dead).application_properties == FIRST_OF_CHAIN


def test_rescheduled_copy_expires_with_the_message():
    """Its time to live counts from the time that it is scheduled for."""
    expires = datetime.now(UTC) + timedelta(minutes=10)

    copy = rescheduled(replace(MESSAGE, expires_at_utc=expires), delay=MINUTE, attempt=2)

    assert copy.scheduled_enqueue_time_utc + copy.time_to_live == expires


def test_rescheduled_copy_lives_for_a_second():
    """Of a message that would be gone by then; 0 would be for ever."""
    soon = datetime.now(UTC) + timedelta(seconds=1)

    copy = rescheduled(replace(MESSAGE, expires_at_utc=soon), delay=MINUTE, attempt=2)

    assert copy.time_to_live == timedelta(seconds=1)


def test_parked_copy_does_not_vanish():
    """Whatever was left of the message."""
    soon = datetime.now(UTC) + MINUTE

    assert parked(replace(MESSAGE, expires_at_utc=soon), REASON).time_to_live is None


def test_replayed_dead_letter_keeps_its_time():
    """Its sender did not want it done later than that."""
    soon = datetime.now(UTC) + MINUTE

    assert replayed(replace(MESSAGE, expires_at_utc=soon)).time_to_live <= MINUTE


@pytest.mark.parametrize(
    "unlimited",
    [
        replace(MESSAGE, expires_at_utc=datetime.now(UTC) - MINUTE),
        replace(
            MESSAGE,
            expires_at_utc=datetime.now(UTC) + MINUTE,
            application_properties={"reason": "Invalid"},
        ),
    ],
    ids=["expired", "parked"],
)
def test_replayed_copy_has_its_time(unlimited):
    """Of an expired message, or of one with the time that the rejected queue gives."""
    assert replayed(unlimited).time_to_live is None


def test_description_of_any_length_can_be_sent():
    """A property may have 32 KB."""
    long = parked(MESSAGE, replace(REASON, description="d" * 100_000))

    assert len(long.application_properties["description"]) < 32_000


# Against a broker


@pytest.fixture
def detecting(app) -> MessagingSettings:
    """An app whose queues detect duplicates."""
    return app(duplicate_detection=600)


@pytest.fixture
async def detecting_sender(detecting) -> AsyncIterator[Sender]:
    """Its sender."""
    made = Sender(detecting)
    yield made
    await made.aclose()


@pytest.mark.parametrize("copied", COPIES)
async def test_copy_is_no_duplicate_and_a_repeated_one_is(
    broker: Broker, detecting, detecting_sender: Sender, copied: Callable, put
):
    """Of a message that lies in the same queue."""
    queue = detecting.enrollment_requests_queue
    await put(queue, ServiceBusMessage("x", message_id="first"))

    for _ in range(2):
        await detecting_sender.send(
            queue, replace(copied(MESSAGE), scheduled_enqueue_time_utc=None)
        )

    assert broker.queue(queue) == QueueCounts(active=2)
