"""Locks, and what receivers do with the messages that they have locked."""

import pytest
from azure.servicebus import (
    ServiceBusMessage,
    ServiceBusMessageState,
    ServiceBusSubQueue,
)
from azure.servicebus.exceptions import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageNotFoundError,
    ServiceBusError,
)

from local.servicebus import Broker, QueueCounts
from tests.local.servicebus.handlers import Handlers, take

DEAD_LETTERS = {"sub_queue": ServiceBusSubQueue.DEAD_LETTER}


@pytest.fixture
def receiver(handlers: Handlers, queue):
    """A receiver of the queue, in which there is a message."""
    handlers.sender(queue).send_messages(ServiceBusMessage("x", application_properties={"k": "v"}))
    return handlers.receiver(queue)


def test_complete_removes_the_message(broker: Broker, receiver, queue):
    """It was locked before, and is gone after."""
    [message] = take(receiver)
    before = broker.queue(queue)

    receiver.complete_message(message)

    assert before == QueueCounts(locked=1)
    assert broker.queue(queue) == QueueCounts()


def test_message_is_settled_once(receiver):
    """The second attempt ends in the client."""
    [message] = take(receiver)
    receiver.complete_message(message)

    with pytest.raises(MessageAlreadySettled):
        receiver.complete_message(message)


def test_abandoned_message_comes_again_at_once(receiver):
    """With one delivery more."""
    [first] = take(receiver)

    receiver.abandon_message(first)

    [second] = take(receiver)
    assert (second.sequence_number, second.delivery_count) == (first.sequence_number, 1)


def test_message_that_fails_too_often_is_dead_lettered(handlers: Handlers, new_queue):
    """It keeps its properties and says why it is there."""
    queue = new_queue(max_delivery_count=3)
    handlers.sender(queue).send_messages(ServiceBusMessage("x", application_properties={"k": "v"}))
    receiver = handlers.receiver(queue)
    for _ in range(3):
        receiver.abandon_message(*take(receiver))

    [message] = take(handlers.receiver(queue, **DEAD_LETTERS))

    assert message.dead_letter_reason == "MaxDeliveryCountExceeded"
    assert "3 delivery attempts" in message.dead_letter_error_description
    assert (message.delivery_count, message.application_properties[b"k"]) == (3, b"v")


def test_dead_lettered_message_carries_its_reason(handlers: Handlers, receiver, queue):
    """In peeks as well as in deliveries."""
    reason, description = "Bad", "déjà vu"
    receiver.dead_letter_message(*take(receiver), reason=reason, error_description=description)
    dead_letters = handlers.receiver(queue, **DEAD_LETTERS)

    [peeked], [message] = dead_letters.peek_messages(), take(dead_letters)

    for seen in (peeked, message):
        assert seen.dead_letter_reason == reason
        assert seen.dead_letter_error_description == description


def test_dead_letter_queue_keeps_failing_messages(broker: Broker, handlers: Handlers, receiver):
    """However often they are abandoned there: it counts no deliveries."""
    [message] = take(receiver)
    receiver.dead_letter_message(message)
    queue = receiver.entity_path
    dead_letters = handlers.receiver(queue, **DEAD_LETTERS)
    for _ in range(11):
        dead_letters.abandon_message(*take(dead_letters))

    [message] = take(dead_letters)
    dead_letters.complete_message(message)

    assert message.delivery_count == 0
    assert broker.queue(queue) == QueueCounts()


def test_dead_letter_cannot_be_dead_lettered(broker: Broker, handlers: Handlers, receiver):
    """There is no place beyond; it stays locked, and can be completed."""
    receiver.dead_letter_message(*take(receiver))
    dead_letters = handlers.receiver(receiver.entity_path, **DEAD_LETTERS)
    [message] = take(dead_letters)

    with pytest.raises(ServiceBusError):
        dead_letters.dead_letter_message(message, reason="again")

    assert broker.queue(receiver.entity_path) == QueueCounts(dead_lettered=1)


@pytest.mark.parametrize("settle", ["defer_message", "abandon_message"])
def test_deferring_counts_as_a_delivery(receiver, settle):
    """So that what is put off for ever ends among the dead letters."""
    receiver.defer_message(*take(receiver))
    [deferred] = receiver.receive_deferred_messages(1)
    getattr(receiver, settle)(deferred)

    [again] = receiver.receive_deferred_messages(1)

    assert (deferred.delivery_count, again.delivery_count) == (1, 2)


def test_message_deferred_too_often_is_dead_lettered(broker: Broker, handlers: Handlers, new_queue):
    """As one is that was abandoned too often."""
    queue = new_queue(max_delivery_count=1)
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    receiver = handlers.receiver(queue)

    receiver.defer_message(*take(receiver))

    assert broker.queue(queue) == QueueCounts(dead_lettered=1)


def test_deferred_message_comes_only_by_its_number(broker: Broker, receiver, queue):
    """It is not delivered, but can be peeked, received and completed."""
    [message] = take(receiver)
    receiver.defer_message(message)
    state = receiver.peek_messages(sequence_number=1)[0].state

    [deferred] = receiver.receive_deferred_messages(message.sequence_number)
    receiver.complete_message(deferred)

    assert state is ServiceBusMessageState.DEFERRED
    assert str(deferred) == "x"
    assert broker.queue(queue) == QueueCounts()


def test_deferred_message_is_settled_through_management(broker: Broker, receiver, queue):
    """It did not come over a link, so nothing can be said there."""
    receiver.defer_message(*take(receiver))
    [deferred] = receiver.receive_deferred_messages(1)

    receiver.dead_letter_message(deferred, reason="Bad", error_description="because")

    assert broker.queue(queue) == QueueCounts(dead_lettered=1)


def test_number_that_is_not_deferred_is_not_found(receiver):
    """Though there is a message of that number."""
    with pytest.raises(MessageNotFoundError):
        receiver.receive_deferred_messages(1)


def test_expired_lock_makes_the_message_available(broker: Broker, receiver):
    """The delivery counts as failed."""
    take(receiver)

    broker.advance(61)

    [message] = take(receiver)
    assert message.delivery_count == 1
    assert broker.statistics.locks_lost >= 1


def test_expired_lock_cannot_be_used_to_complete(broker: Broker, receiver, queue):
    """The broker refuses it on the link."""
    [message] = take(receiver)
    broker.advance(61)

    with pytest.raises(MessageLockLostError):
        receiver.complete_message(message)

    assert broker.queue(queue) == QueueCounts(active=1)


def test_expired_lock_cannot_be_renewed(broker: Broker, receiver):
    """The broker refuses it through management."""
    [message] = take(receiver)
    broker.advance(61)

    with pytest.raises(MessageLockLostError):
        receiver.renew_message_lock(message)


def test_renewed_lock_lasts_longer(broker: Broker, receiver, queue):
    """By its whole duration, from the renewal on."""
    [message] = take(receiver)
    for _ in range(3):
        broker.advance(40)
        receiver.renew_message_lock(message)

    receiver.complete_message(message)

    assert broker.queue(queue) == QueueCounts()


def test_lock_survives_the_link(handlers: Handlers, client, broker: Broker, queue):
    """A receiver that leaves keeps its messages until their locks end."""
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    with client.get_queue_receiver(queue) as leaving:
        take(leaving)
    during = broker.queue(queue)

    broker.advance(61)

    assert during == QueueCounts(locked=1)
    assert broker.queue(queue) == QueueCounts(active=1)
