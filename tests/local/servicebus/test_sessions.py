"""Sessions of messages."""

import datetime as dt

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

from local.servicebus import Broker, QueueCounts
from tests.local.servicebus.handlers import Handlers, take


@pytest.fixture
def queue(new_queue):
    """A queue whose messages belong to sessions."""
    return new_queue(requires_session=True)


@pytest.fixture
def filled(handlers: Handlers, queue):
    """The same with three messages in each of the sessions a and b."""
    messages = [ServiceBusMessage(f"{s}{n}", session_id=s) for n in range(3) for s in "ab"]
    handlers.sender(queue).send_messages(messages)
    return queue


def test_message_without_a_session_is_refused(handlers: Handlers, queue):
    """The queue would not know where to put it."""
    with pytest.raises(ServiceBusError, match="SessionId"):
        handlers.sender(queue).send_messages(ServiceBusMessage("x"))


def test_receiver_without_a_session_is_refused(handlers: Handlers, queue):
    """It could not keep the order."""
    with pytest.raises(ServiceBusError, match="requires sessions"):
        handlers.receiver(queue).receive_messages(max_wait_time=1)


def test_session_is_refused_where_there_are_none(handlers: Handlers, new_queue):
    """The other way round."""
    with pytest.raises(ServiceBusError, match="does not support sessions"):
        handlers.receiver(new_queue(), session_id="a").receive_messages(max_wait_time=1)


def test_session_by_its_id_brings_its_messages(handlers: Handlers, filled):
    """In order, and no others."""
    messages = take(handlers.receiver(filled, session_id="b"), 3)

    assert [str(message) for message in messages] == ["b0", "b1", "b2"]
    assert {message.session_id for message in messages} == {"b"}


def test_locked_session_cannot_be_locked(handlers: Handlers, filled):
    """One receiver at a time."""
    take(handlers.receiver(filled, session_id="b"))

    with pytest.raises(SessionCannotBeLockedError):
        take(handlers.receiver(filled, session_id="b"))


def test_next_available_session_is_one_that_is_free(handlers: Handlers, filled):
    """And says which it is."""
    take(handlers.receiver(filled, session_id="a"))
    receiver = handlers.receiver(filled, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=5)

    [message] = take(receiver)

    assert (receiver.session.session_id, str(message)) == ("b", "b0")


def test_wait_for_a_session_ends(handlers: Handlers, queue):
    """After the time that the client allows."""
    receiver = handlers.receiver(queue, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=0.5)

    with pytest.raises(OperationTimeoutError):
        receiver.receive_messages()


def test_closed_receiver_frees_its_session(client, handlers: Handlers, filled):
    """Its messages come again, and closing counts as no delivery."""
    with client.get_queue_receiver(filled, session_id="a") as leaving:
        take(leaving, 3)

    [message] = take(handlers.receiver(filled, session_id="a"))

    assert (str(message), message.delivery_count) == ("a0", 0)


def test_message_of_an_ended_session_stays_though_another_dies(
    broker: Broker, handlers: Handlers, new_queue
):
    """Whatever becomes of the one, the other comes to the next receiver."""
    queue = new_queue(requires_session=True, max_delivery_count=2)
    names = ("dies", "stays")
    messages = [ServiceBusMessage(name, session_id="a") for name in names]
    handlers.sender(queue).send_messages(messages)
    first = handlers.receiver(queue, session_id="a")
    first.abandon_message(*take(first))
    take(first, 2)

    broker.advance(61)

    [message] = take(handlers.receiver(queue, session_id="a"))
    assert (str(message), broker.queue(queue).dead_lettered) == ("stays", 1)


def test_deferred_message_of_a_session_can_be_had_by_the_next(client, handlers: Handlers, filled):
    """Its lock goes with that of the session."""
    with client.get_queue_receiver(filled, session_id="a") as leaving:
        [message] = take(leaving)
        leaving.defer_message(message)
        leaving.receive_deferred_messages(message.sequence_number)

    receiver = handlers.receiver(filled, session_id="a")
    [again] = receiver.receive_deferred_messages(message.sequence_number)

    assert str(again) == "a0"


def test_state_is_kept_for_who_holds_the_session(broker: Broker, handlers: Handlers, filled):
    """Once its lock is lost, another may be at work."""
    receiver = handlers.receiver(filled, session_id="a")
    take(receiver)

    broker.advance(61)

    with pytest.raises(ServiceBusError):
        receiver.session.set_state("late")


def test_session_keeps_a_state(handlers: Handlers, filled):
    """For whoever locks it."""
    receiver = handlers.receiver(filled, session_id="a")
    take(receiver)
    before = receiver.session.get_state()

    receiver.session.set_state("half way")

    assert (before, receiver.session.get_state()) == (None, b"half way")


def test_session_lock_is_renewed(broker: Broker, handlers: Handlers, filled):
    """Its messages can be completed then."""
    receiver = handlers.receiver(filled, session_id="a")
    messages = take(receiver, 3)
    for _ in range(2):
        broker.advance(40)
        until = receiver.session.renew_lock()

    for message in messages:
        receiver.complete_message(message)

    assert until > dt.datetime.now(dt.UTC)
    assert broker.queue(filled) == QueueCounts(active=3)


def test_lost_session_lock_is_told(broker: Broker, handlers: Handlers, filled):
    """The session's messages are free again."""
    receiver = handlers.receiver(filled, session_id="a")
    take(receiver, 3)

    broker.advance(61)

    with pytest.raises(SessionLockLostError):
        receiver.session.renew_lock()
    assert broker.queue(filled) == QueueCounts(active=6)


def test_waiting_receiver_gets_the_session_of_a_new_message(handlers: Handlers, filled, client):
    """As soon as there is one."""
    for name in "ab":
        take(handlers.receiver(filled, session_id=name))
    sender = handlers.sender(filled)
    sender.schedule_messages(
        ServiceBusMessage("c0", session_id="c"), dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    )

    with client.get_queue_receiver(
        filled, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=10
    ) as receiver:
        [message] = take(receiver)

    assert str(message) == "c0"
