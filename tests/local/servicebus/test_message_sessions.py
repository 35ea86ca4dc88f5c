"""Message sessions: their locks, messages and states."""

import datetime as dt

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

from local.servicebus import Broker, QueueCounts
from tests.local.servicebus.handlers import Handlers, NewQueue, number, take


@pytest.fixture
def queue(new_queue: NewQueue) -> str:
    """The name of a queue that requires sessions."""
    return new_queue(requires_session=True)


@pytest.fixture
def filled(handlers: Handlers, queue: str) -> str:
    """The same queue, with three messages in each of the sessions a and b."""
    messages = [ServiceBusMessage(f"{s}{n}", session_id=s) for n in range(3) for s in "ab"]
    handlers.sender(queue).send_messages(messages)
    return queue


def test_message_without_a_session_is_refused(handlers: Handlers, queue: str) -> None:
    """A queue that requires sessions refuses a message without session id."""
    with pytest.raises(ServiceBusError, match="SessionId"):
        handlers.sender(queue).send_messages(ServiceBusMessage("x"))


def test_receiver_without_a_session_is_refused(handlers: Handlers, queue: str) -> None:
    """A queue that requires sessions refuses a receiver without session."""
    with pytest.raises(ServiceBusError, match="requires sessions"):
        handlers.receiver(queue).receive_messages(max_wait_time=1)


def test_session_of_a_queue_without_sessions_is_refused(
    handlers: Handlers, new_queue: NewQueue
) -> None:
    """A queue without sessions refuses a receiver with a session."""
    with pytest.raises(ServiceBusError, match="does not support sessions"):
        handlers.receiver(new_queue(), session_id="a").receive_messages(max_wait_time=1)


def test_receiver_gets_the_messages_of_its_session(handlers: Handlers, filled: str) -> None:
    """A receiver of a session gets its messages in order, and no others."""
    messages = take(handlers.receiver(filled, session_id="b"), 3)

    assert [str(message) for message in messages] == ["b0", "b1", "b2"]
    assert {message.session_id for message in messages} == {"b"}


def test_locked_session_cannot_be_locked(handlers: Handlers, filled: str) -> None:
    """A session has one receiver at a time."""
    take(handlers.receiver(filled, session_id="b"))

    with pytest.raises(SessionCannotBeLockedError):
        take(handlers.receiver(filled, session_id="b"))


def test_next_available_session_is_not_locked(handlers: Handlers, filled: str) -> None:
    """A receiver without a session id gets an unlocked session, and its id."""
    take(handlers.receiver(filled, session_id="a"))
    receiver = handlers.receiver(filled, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=5)

    [message] = take(receiver)

    assert (receiver.session.session_id, str(message)) == ("b", "b0")


def test_wait_for_a_session_ends(handlers: Handlers, queue: str) -> None:
    """A receiver gives up after the time-out that the client sets."""
    receiver = handlers.receiver(queue, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=0.5)

    with pytest.raises(OperationTimeoutError):
        receiver.receive_messages()


def test_closed_receiver_releases_its_session(
    client: ServiceBusClient, handlers: Handlers, filled: str
) -> None:
    """The messages are delivered again, and closing does not count as a delivery."""
    with client.get_queue_receiver(filled, session_id="a") as first:
        take(first, 3)

    [message] = take(handlers.receiver(filled, session_id="a"))

    assert (str(message), message.delivery_count) == ("a0", 0)


def test_expired_session_lock_settles_each_message(
    broker: Broker, handlers: Handlers, new_queue: NewQueue
) -> None:
    """When a session lock expires, one message is dead-lettered and the other redelivered."""
    queue = new_queue(requires_session=True, max_delivery_count=2)
    names = ("dead-lettered", "redelivered")
    messages = [ServiceBusMessage(name, session_id="a") for name in names]
    handlers.sender(queue).send_messages(messages)
    first = handlers.receiver(queue, session_id="a")
    first.abandon_message(*take(first))
    take(first, 2)

    broker.advance(61)

    [message] = take(handlers.receiver(queue, session_id="a"))
    assert (str(message), broker.queue(queue).dead_lettered) == ("redelivered", 1)


def test_next_receiver_can_receive_deferred_messages(
    client: ServiceBusClient, handlers: Handlers, filled: str
) -> None:
    """The lock on a deferred message ends with the lock on its session."""
    with client.get_queue_receiver(filled, session_id="a") as first:
        [message] = take(first)
        first.defer_message(message)
        first.receive_deferred_messages(number(message))

    receiver = handlers.receiver(filled, session_id="a")
    [again] = receiver.receive_deferred_messages(number(message))

    assert str(again) == "a0"


def test_state_cannot_be_set_after_the_lock_is_lost(
    broker: Broker, handlers: Handlers, filled: str
) -> None:
    """Setting the state of a session whose lock has expired raises."""
    receiver = handlers.receiver(filled, session_id="a")
    take(receiver)

    broker.advance(61)

    with pytest.raises(ServiceBusError):
        receiver.session.set_state("late")


def test_session_has_state(handlers: Handlers, filled: str) -> None:
    """A session has no state until a receiver sets it."""
    receiver = handlers.receiver(filled, session_id="a")
    take(receiver)
    before = receiver.session.get_state()

    receiver.session.set_state("half way")

    assert [before, receiver.session.get_state()] == [None, b"half way"]


def test_session_lock_can_be_renewed(broker: Broker, handlers: Handlers, filled: str) -> None:
    """Messages can be completed while the renewed session lock lasts."""
    receiver = handlers.receiver(filled, session_id="a")
    messages = take(receiver, 3)
    for _ in range(2):
        broker.advance(40)
        until = receiver.session.renew_lock()

    for message in messages:
        receiver.complete_message(message)

    assert until > dt.datetime.now(dt.UTC)
    assert broker.queue(filled) == QueueCounts(active=3)


def test_expired_session_lock_cannot_be_renewed(
    broker: Broker, handlers: Handlers, filled: str
) -> None:
    """Renewing an expired session lock raises, and the messages are active again."""
    receiver = handlers.receiver(filled, session_id="a")
    take(receiver, 3)

    broker.advance(61)

    with pytest.raises(SessionLockLostError):
        receiver.session.renew_lock()
    assert broker.queue(filled) == QueueCounts(active=6)


def test_waiting_receiver_gets_the_session_of_a_new_message(
    broker: Broker, handlers: Handlers, filled: str, client: ServiceBusClient
) -> None:
    """A receiver that waits for the next session gets it once it has a message."""
    for name in "ab":
        take(handlers.receiver(filled, session_id=name))
    # By the broker's clock, which other tests have advanced.
    soon = dt.datetime.fromtimestamp(broker.now + 1, dt.UTC)
    handlers.sender(filled).schedule_messages(ServiceBusMessage("c0", session_id="c"), soon)

    with client.get_queue_receiver(
        filled, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=10
    ) as receiver:
        [message] = take(receiver)

    assert str(message) == "c0"
