"""Time and order: schedules, expiry, peeking, duplicates."""

import datetime as dt

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusMessageState
from azure.servicebus.exceptions import MessageNotFoundError

from local.servicebus import Broker, QueueCounts
from tests.local.servicebus.handlers import Handlers, take


@pytest.fixture
def later(broker: Broker) -> dt.datetime:
    """A minute from now, by the broker's clock, which other tests have moved."""
    return dt.datetime.fromtimestamp(broker.now + 60, dt.UTC)


def test_scheduled_message_comes_when_it_is_due(broker: Broker, handlers: Handlers, queue, later):
    """Not before, and it still says when that was."""
    sender = handlers.sender(queue)
    sender.schedule_messages(ServiceBusMessage("x"), later)
    before = broker.queue(queue)

    broker.advance(61)

    [message] = take(handlers.receiver(queue))
    assert before == QueueCounts(scheduled=1)
    assert message.scheduled_enqueue_time_utc is not None


def test_message_may_name_its_own_time(broker: Broker, handlers: Handlers, queue, later):
    """It is sent like any other, and waits like a scheduled one."""
    message = ServiceBusMessage("x", scheduled_enqueue_time_utc=later)
    handlers.sender(queue).send_messages(message)

    before = broker.queue(queue)
    broker.advance(61)

    assert (before, broker.queue(queue)) == (QueueCounts(scheduled=1), QueueCounts(active=1))


def test_message_gets_another_number_when_it_is_due(
    broker: Broker, handlers: Handlers, queue, later
):
    """The number that scheduling answers is good for cancelling only."""
    sender = handlers.sender(queue)
    numbers = sender.schedule_messages([ServiceBusMessage("a"), ServiceBusMessage("b")], later)
    broker.advance(61)

    messages = take(handlers.receiver(queue), 2)

    assert numbers == [1, 2]
    assert [message.sequence_number for message in messages] == [3, 4]


def test_cancelled_message_never_comes(broker: Broker, handlers: Handlers, queue, later):
    """The others do."""
    sender = handlers.sender(queue)
    first, _ = sender.schedule_messages([ServiceBusMessage("a"), ServiceBusMessage("b")], later)

    sender.cancel_scheduled_messages(first)
    broker.advance(61)

    assert broker.queue(queue) == QueueCounts(active=1)
    assert [str(message) for message in take(handlers.receiver(queue))] == ["b"]


def test_message_is_cancelled_once(handlers: Handlers, queue, later):
    """There is nothing to cancel after."""
    sender = handlers.sender(queue)
    numbers = sender.schedule_messages(ServiceBusMessage("x"), later)
    sender.cancel_scheduled_messages(numbers)

    with pytest.raises(MessageNotFoundError):
        sender.cancel_scheduled_messages(numbers)


def test_peek_shows_all_states_and_takes_nothing(broker: Broker, handlers: Handlers, queue, later):
    """In the order of the numbers, from where it stopped last."""
    sender, receiver = handlers.sender(queue), handlers.receiver(queue)
    sender.send_messages([ServiceBusMessage(str(number)) for number in range(3)])
    sender.schedule_messages(ServiceBusMessage("later"), later)

    peeked = receiver.peek_messages(max_message_count=10)

    assert [str(message) for message in peeked] == ["0", "1", "2", "later"]
    assert peeked[-1].state is ServiceBusMessageState.SCHEDULED
    assert receiver.peek_messages(max_message_count=10) == []
    assert broker.queue(queue) == QueueCounts(active=3, scheduled=1)


def test_peek_starts_where_it_is_told(handlers: Handlers, queue):
    """At a sequence number."""
    handlers.sender(queue).send_messages([ServiceBusMessage(str(n)) for n in range(5)])

    peeked = handlers.receiver(queue).peek_messages(2, sequence_number=2)

    assert [str(message) for message in peeked] == ["1", "2"]


def test_expired_message_is_dropped(broker: Broker, handlers: Handlers, queue):
    """Whoever sent it said how long it lives."""
    message = ServiceBusMessage("x", time_to_live=dt.timedelta(seconds=30))
    handlers.sender(queue).send_messages(message)

    broker.advance(31)

    assert broker.queue(queue) == QueueCounts()


def test_shorter_time_to_live_counts(broker: Broker, handlers: Handlers, new_queue):
    """The queue's own is the longest that there is."""
    queue = new_queue(time_to_live=20)
    message = ServiceBusMessage("x", time_to_live=dt.timedelta(seconds=300))
    handlers.sender(queue).send_messages(message)

    broker.advance(21)

    assert broker.queue(queue) == QueueCounts()


@pytest.mark.parametrize("own", [None, 300])
def test_receiver_is_told_when_a_message_expires(handlers: Handlers, new_queue, own):
    """By the queue's time to live, if the message has none or a longer one."""
    queue = new_queue(time_to_live=20)
    life = own and dt.timedelta(seconds=own)
    handlers.sender(queue).send_messages(ServiceBusMessage("x", time_to_live=life))

    [message] = take(handlers.receiver(queue))

    assert message.time_to_live == dt.timedelta(seconds=20)
    assert message.expires_at_utc - message.enqueued_time_utc == dt.timedelta(seconds=20)


def test_deferred_message_expires_when_it_is_asked_for(
    broker: Broker, handlers: Handlers, new_queue
):
    """Until then it stays, however old."""
    queue = new_queue(time_to_live=20, dead_letter_on_expiration=True)
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    receiver = handlers.receiver(queue)
    receiver.defer_message(*take(receiver))
    broker.advance(21)
    before = broker.queue(queue)

    with pytest.raises(MessageNotFoundError):
        receiver.receive_deferred_messages(1)

    assert (before, broker.queue(queue)) == (QueueCounts(deferred=1), QueueCounts(dead_lettered=1))


def test_expired_message_is_dead_lettered_if_told(broker: Broker, handlers: Handlers, new_queue):
    """It says why."""
    queue = new_queue(time_to_live=20, dead_letter_on_expiration=True)
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))

    broker.advance(21)

    [message] = take(handlers.receiver(queue, sub_queue="deadletter"))
    assert message.dead_letter_reason == "TTLExpiredException"


def test_locked_message_expires_when_it_is_unlocked(broker: Broker, handlers: Handlers, new_queue):
    """As long as somebody works on it, it stays."""
    queue = new_queue(time_to_live=20)
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    receiver = handlers.receiver(queue)
    [message] = take(receiver)
    broker.advance(21)
    during = broker.queue(queue)

    receiver.abandon_message(message)

    assert (during, broker.queue(queue)) == (QueueCounts(locked=1), QueueCounts())


def test_duplicates_are_dropped(broker: Broker, handlers: Handlers, new_queue):
    """They are accepted, as if nothing were wrong with them, for as long as ids are remembered."""
    queue = new_queue(duplicate_detection=600)
    sender = handlers.sender(queue)

    sender.send_messages([ServiceBusMessage("x", message_id=name) for name in "aba"])
    sender.send_messages(ServiceBusMessage("x", message_id="b", partition_key="other"))

    assert broker.queue(queue) == QueueCounts(active=2)


def test_id_may_be_used_again_after_the_window(broker: Broker, handlers: Handlers, new_queue):
    """It is no duplicate then."""
    queue = new_queue(duplicate_detection=30)
    sender = handlers.sender(queue)
    sender.send_messages(ServiceBusMessage("x", message_id="a"))
    broker.advance(31)

    sender.send_messages(ServiceBusMessage("x", message_id="a"))

    assert broker.queue(queue) == QueueCounts(active=2)
