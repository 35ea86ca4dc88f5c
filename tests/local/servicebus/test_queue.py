"""Queues: scheduled messages, peek, expiration and duplicate detection."""

import datetime as dt

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusMessageState
from azure.servicebus.exceptions import MessageNotFoundError

from local.servicebus import Broker, QueueCounts
from tests.local.servicebus.handlers import Handlers, NewQueue, take


@pytest.fixture
def later(broker: Broker) -> dt.datetime:
    """A minute from now by the broker's clock, which other tests have advanced."""
    return dt.datetime.fromtimestamp(broker.now + 60, dt.UTC)


def test_scheduled_message_is_delivered_when_due(
    broker: Broker, handlers: Handlers, queue: str, later: dt.datetime
) -> None:
    """It is not active before its time, and keeps its scheduled enqueue time."""
    sender = handlers.sender(queue)
    sender.schedule_messages(ServiceBusMessage("x"), later)
    before = broker.queue(queue)

    broker.advance(61)

    [message] = take(handlers.receiver(queue))
    assert before == QueueCounts(scheduled=1)
    assert message.scheduled_enqueue_time_utc is not None


def test_sent_message_can_have_a_scheduled_time(
    broker: Broker, handlers: Handlers, queue: str, later: dt.datetime
) -> None:
    """A message that is sent with a scheduled enqueue time becomes active at that time."""
    message = ServiceBusMessage("x", scheduled_enqueue_time_utc=later)
    handlers.sender(queue).send_messages(message)

    before = broker.queue(queue)
    broker.advance(61)

    assert (before, broker.queue(queue)) == (QueueCounts(scheduled=1), QueueCounts(active=1))


def test_scheduled_message_gets_a_new_number_when_due(
    broker: Broker, handlers: Handlers, queue: str, later: dt.datetime
) -> None:
    """The sequence number returned by scheduling is valid for cancelling only."""
    sender = handlers.sender(queue)
    numbers = sender.schedule_messages([ServiceBusMessage("a"), ServiceBusMessage("b")], later)
    broker.advance(61)

    messages = take(handlers.receiver(queue), 2)

    assert numbers == [1, 2]
    assert [message.sequence_number for message in messages] == [3, 4]


def test_cancelled_message_is_not_delivered(
    broker: Broker, handlers: Handlers, queue: str, later: dt.datetime
) -> None:
    """Cancelling one scheduled message leaves the others."""
    sender = handlers.sender(queue)
    first, _ = sender.schedule_messages([ServiceBusMessage("a"), ServiceBusMessage("b")], later)

    sender.cancel_scheduled_messages(first)
    broker.advance(61)

    assert broker.queue(queue) == QueueCounts(active=1)
    assert [str(message) for message in take(handlers.receiver(queue))] == ["b"]


def test_message_cannot_be_cancelled_twice(
    handlers: Handlers, queue: str, later: dt.datetime
) -> None:
    """Cancelling a message again raises."""
    sender = handlers.sender(queue)
    numbers = sender.schedule_messages(ServiceBusMessage("x"), later)
    sender.cancel_scheduled_messages(numbers)

    with pytest.raises(MessageNotFoundError):
        sender.cancel_scheduled_messages(numbers)


def test_peek_returns_messages_of_all_states(
    broker: Broker, handlers: Handlers, queue: str, later: dt.datetime
) -> None:
    """Peeks return messages by sequence number, go on after the last, and lock nothing."""
    sender, receiver = handlers.sender(queue), handlers.receiver(queue)
    sender.send_messages([ServiceBusMessage(str(number)) for number in range(3)])
    sender.schedule_messages(ServiceBusMessage("later"), later)

    peeked = receiver.peek_messages(max_message_count=10)

    assert [str(message) for message in peeked] == ["0", "1", "2", "later"]
    assert peeked[-1].state is ServiceBusMessageState.SCHEDULED
    assert receiver.peek_messages(max_message_count=10) == []
    assert broker.queue(queue) == QueueCounts(active=3, scheduled=1)


def test_peek_starts_at_a_sequence_number(handlers: Handlers, queue: str) -> None:
    """A peek with a sequence number starts there."""
    handlers.sender(queue).send_messages([ServiceBusMessage(str(n)) for n in range(5)])

    peeked = handlers.receiver(queue).peek_messages(2, sequence_number=2)

    assert [str(message) for message in peeked] == ["1", "2"]


def test_expired_message_is_dropped(broker: Broker, handlers: Handlers, queue: str) -> None:
    """A message is deleted when its own time to live has passed."""
    message = ServiceBusMessage("x", time_to_live=dt.timedelta(seconds=30))
    handlers.sender(queue).send_messages(message)

    broker.advance(31)

    assert broker.queue(queue) == QueueCounts()


def test_shorter_time_to_live_counts(
    broker: Broker, handlers: Handlers, new_queue: NewQueue
) -> None:
    """The queue's time to live is an upper limit for that of its messages."""
    queue = new_queue(time_to_live=20)
    message = ServiceBusMessage("x", time_to_live=dt.timedelta(seconds=300))
    handlers.sender(queue).send_messages(message)

    broker.advance(21)

    assert broker.queue(queue) == QueueCounts()


@pytest.mark.parametrize("own", [None, 300])
def test_received_message_has_its_effective_time_to_live(
    handlers: Handlers, new_queue: NewQueue, own: int | None
) -> None:
    """A message without or with a longer time to live has that of the queue."""
    queue = new_queue(time_to_live=20)
    time_to_live = dt.timedelta(seconds=own) if own else None
    handlers.sender(queue).send_messages(ServiceBusMessage("x", time_to_live=time_to_live))

    [message] = take(handlers.receiver(queue))

    assert message.time_to_live == dt.timedelta(seconds=20)
    assert message.enqueued_time_utc is not None
    assert message.expires_at_utc == message.enqueued_time_utc + dt.timedelta(seconds=20)


def test_deferred_message_expires_when_received(
    broker: Broker, handlers: Handlers, new_queue: NewQueue
) -> None:
    """A deferred message stays after its time to live until it is requested."""
    queue = new_queue(time_to_live=20, dead_letter_on_expiration=True)
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    receiver = handlers.receiver(queue)
    receiver.defer_message(*take(receiver))
    broker.advance(21)
    before = broker.queue(queue)

    with pytest.raises(MessageNotFoundError):
        receiver.receive_deferred_messages(1)

    assert (before, broker.queue(queue)) == (QueueCounts(deferred=1), QueueCounts(dead_lettered=1))


def test_expired_message_can_be_dead_lettered(
    broker: Broker, handlers: Handlers, new_queue: NewQueue
) -> None:
    """With dead_letter_on_expiration, an expired message is dead-lettered with its reason."""
    queue = new_queue(time_to_live=20, dead_letter_on_expiration=True)
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))

    broker.advance(21)

    [message] = take(handlers.receiver(queue, sub_queue="deadletter"))
    assert message.dead_letter_reason == "TTLExpiredException"


def test_locked_message_expires_when_unlocked(
    broker: Broker, handlers: Handlers, new_queue: NewQueue
) -> None:
    """A message does not expire while it is locked."""
    queue = new_queue(time_to_live=20)
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    receiver = handlers.receiver(queue)
    [message] = take(receiver)
    broker.advance(21)
    during = broker.queue(queue)

    receiver.abandon_message(message)

    assert (during, broker.queue(queue)) == (QueueCounts(locked=1), QueueCounts())


def test_duplicates_are_dropped(broker: Broker, handlers: Handlers, new_queue: NewQueue) -> None:
    """Sending a duplicate succeeds, but does not store it."""
    queue = new_queue(duplicate_detection=600)
    sender = handlers.sender(queue)

    sender.send_messages([ServiceBusMessage("x", message_id=name) for name in "aba"])
    sender.send_messages(ServiceBusMessage("x", message_id="b", partition_key="other"))

    assert broker.queue(queue) == QueueCounts(active=2)


def test_message_id_can_be_reused_after_the_window(
    broker: Broker, handlers: Handlers, new_queue: NewQueue
) -> None:
    """A message id is not a duplicate once the detection window has passed."""
    queue = new_queue(duplicate_detection=30)
    sender = handlers.sender(queue)
    sender.send_messages(ServiceBusMessage("x", message_id="a"))
    broker.advance(31)

    sender.send_messages(ServiceBusMessage("x", message_id="a"))

    assert broker.queue(queue) == QueueCounts(active=2)
