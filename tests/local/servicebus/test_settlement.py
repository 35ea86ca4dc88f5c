"""Settlement and locks of messages."""

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusMessageState,
    ServiceBusReceiver,
    ServiceBusSubQueue,
)
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    ServiceBusError,
)

from local.servicebus import Broker, QueueCounts
from tests.local.servicebus.handlers import Handlers, NewQueue, number, properties, take

DEAD_LETTERS = ServiceBusSubQueue.DEAD_LETTER


@pytest.fixture
def receiver(handlers: Handlers, queue: str) -> ServiceBusReceiver:
    """A receiver of a queue with one message."""
    handlers.sender(queue).send_messages(ServiceBusMessage("x", application_properties={"k": "v"}))
    return handlers.receiver(queue)


def test_complete_removes_the_message(
    broker: Broker, receiver: ServiceBusReceiver, queue: str
) -> None:
    """A received message is locked, and deleted when it is completed."""
    [message] = take(receiver)
    before = broker.queue(queue)

    receiver.complete_message(message)

    assert before == QueueCounts(locked=1)
    assert broker.queue(queue) == QueueCounts()


def test_abandoned_message_is_redelivered(receiver: ServiceBusReceiver) -> None:
    """An abandoned message is delivered again at once, with a higher delivery count."""
    [first] = take(receiver)

    receiver.abandon_message(first)

    [second] = take(receiver)
    assert (second.sequence_number, second.delivery_count) == (first.sequence_number, 1)


def test_message_over_the_delivery_count_is_dead_lettered(
    handlers: Handlers, new_queue: NewQueue
) -> None:
    """A message abandoned too often is dead-lettered with its properties and the reason."""
    queue = new_queue(max_delivery_count=3)
    handlers.sender(queue).send_messages(ServiceBusMessage("x", application_properties={"k": "v"}))
    receiver = handlers.receiver(queue)
    for _ in range(3):
        receiver.abandon_message(*take(receiver))

    [message] = take(handlers.receiver(queue, sub_queue=DEAD_LETTERS))

    assert message.dead_letter_reason == "MaxDeliveryCountExceeded"
    assert "3 delivery attempts" in (message.dead_letter_error_description or "")
    assert (message.delivery_count, properties(message)[b"k"]) == (3, b"v")


def test_dead_lettered_message_has_its_reason(
    handlers: Handlers, receiver: ServiceBusReceiver, queue: str
) -> None:
    """A dead-lettered message has reason and description, peeked or received."""
    reason, description = "Bad", "déjà vu"
    [received] = take(receiver)
    receiver.dead_letter_message(received, reason=reason, error_description=description)
    dead_letters = handlers.receiver(queue, sub_queue=DEAD_LETTERS)

    [peeked], [message] = dead_letters.peek_messages(), take(dead_letters)

    for dead_letter in (peeked, message):
        assert dead_letter.dead_letter_reason == reason
        assert dead_letter.dead_letter_error_description == description


def test_dead_letter_queue_does_not_count_deliveries(
    broker: Broker, handlers: Handlers, receiver: ServiceBusReceiver
) -> None:
    """A message stays in the dead-letter queue however often it is abandoned."""
    [message] = take(receiver)
    receiver.dead_letter_message(message)
    queue = receiver.entity_path
    dead_letters = handlers.receiver(queue, sub_queue=DEAD_LETTERS)
    for _ in range(11):
        dead_letters.abandon_message(*take(dead_letters))

    [message] = take(dead_letters)
    dead_letters.complete_message(message)

    assert message.delivery_count == 0
    assert broker.queue(queue) == QueueCounts()


def test_dead_lettered_message_cannot_be_dead_lettered(
    broker: Broker, handlers: Handlers, receiver: ServiceBusReceiver
) -> None:
    """Dead-lettering a message in a dead-letter queue raises, and the message stays."""
    [received] = take(receiver)
    receiver.dead_letter_message(received)
    dead_letters = handlers.receiver(receiver.entity_path, sub_queue=DEAD_LETTERS)
    [message] = take(dead_letters)

    with pytest.raises(ServiceBusError):
        dead_letters.dead_letter_message(message, reason="again")

    assert broker.queue(receiver.entity_path) == QueueCounts(dead_lettered=1)


@pytest.mark.parametrize("settle", ["defer_message", "abandon_message"])
def test_deferring_counts_as_a_delivery(receiver: ServiceBusReceiver, settle: str) -> None:
    """Deferring a message adds one to its delivery count."""
    receiver.defer_message(*take(receiver))
    [deferred] = receiver.receive_deferred_messages(1)
    getattr(receiver, settle)(deferred)

    [again] = receiver.receive_deferred_messages(1)

    assert (deferred.delivery_count, again.delivery_count) == (1, 2)


def test_message_deferred_too_often_is_dead_lettered(
    broker: Broker, handlers: Handlers, new_queue: NewQueue
) -> None:
    """A message deferred max_delivery_count times is dead-lettered."""
    queue = new_queue(max_delivery_count=1)
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    receiver = handlers.receiver(queue)

    receiver.defer_message(*take(receiver))

    assert broker.queue(queue) == QueueCounts(dead_lettered=1)


def test_deferred_message_is_received_by_its_number(
    broker: Broker, receiver: ServiceBusReceiver, queue: str
) -> None:
    """A deferred message can be peeked, received by sequence number, and completed."""
    [message] = take(receiver)
    receiver.defer_message(message)
    state = receiver.peek_messages(sequence_number=1)[0].state

    [deferred] = receiver.receive_deferred_messages(number(message))
    receiver.complete_message(deferred)

    assert state is ServiceBusMessageState.DEFERRED
    assert str(deferred) == "x"
    assert broker.queue(queue) == QueueCounts()


def test_deferred_message_is_settled_through_management(
    broker: Broker, receiver: ServiceBusReceiver, queue: str
) -> None:
    """A deferred message, which has no delivery on the link, can be settled."""
    receiver.defer_message(*take(receiver))
    [deferred] = receiver.receive_deferred_messages(1)

    receiver.dead_letter_message(deferred, reason="Bad", error_description="because")

    assert broker.queue(queue) == QueueCounts(dead_lettered=1)


def test_number_that_is_not_deferred_is_not_found(receiver: ServiceBusReceiver) -> None:
    """An active message cannot be received by its sequence number."""
    with pytest.raises(MessageNotFoundError):
        receiver.receive_deferred_messages(1)


def test_expired_lock_makes_the_message_available(
    broker: Broker, receiver: ServiceBusReceiver
) -> None:
    """When a lock expires, its message is delivered again, and the delivery counts."""
    take(receiver)

    broker.advance(61)

    [message] = take(receiver)
    assert message.delivery_count == 1
    assert broker.statistics.locks_lost >= 1


def test_expired_lock_cannot_be_used_to_complete(
    broker: Broker, receiver: ServiceBusReceiver, queue: str
) -> None:
    """Completing a message after its lock expired raises, and leaves the message."""
    [message] = take(receiver)
    broker.advance(61)

    with pytest.raises(MessageLockLostError):
        receiver.complete_message(message)

    assert broker.queue(queue) == QueueCounts(active=1)


def test_expired_lock_cannot_be_renewed(broker: Broker, receiver: ServiceBusReceiver) -> None:
    """Renewing a lock after it expired raises."""
    [message] = take(receiver)
    broker.advance(61)

    with pytest.raises(MessageLockLostError):
        receiver.renew_message_lock(message)


def test_renewed_lock_lasts_longer(
    broker: Broker, receiver: ServiceBusReceiver, queue: str
) -> None:
    """A renewed lock lasts for its whole duration from the renewal."""
    [message] = take(receiver)
    for _ in range(3):
        broker.advance(40)
        receiver.renew_message_lock(message)

    receiver.complete_message(message)

    assert broker.queue(queue) == QueueCounts()


def test_lock_outlives_the_link(
    handlers: Handlers, client: ServiceBusClient, broker: Broker, queue: str
) -> None:
    """Messages of a closed receiver stay locked until their locks expire."""
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    with client.get_queue_receiver(queue) as closed:
        take(closed)
    during = broker.queue(queue)

    broker.advance(61)

    assert during == QueueCounts(locked=1)
    assert broker.queue(queue) == QueueCounts(active=1)
