"""Control of a broker by the test that runs it."""

import contextlib

import pytest
from azure.servicebus import ServiceBusMessage

from local.servicebus import Broker, BrokerOptions, QueueCounts
from local.threads import in_thread
from tests.local.servicebus import wire
from tests.local.servicebus.handlers import Handlers, NewQueue, take


def test_reset_leaves_nothing(broker: Broker, handlers: Handlers, new_queue: NewQueue) -> None:
    """A reset removes messages and session states, and sets counters to 0."""
    queue, sessions = new_queue(), new_queue(requires_session=True)
    handlers.sender(queue).send_messages([ServiceBusMessage("x")] * 3)
    take(handlers.receiver(queue))
    handlers.sender(sessions).send_messages(ServiceBusMessage("x", session_id="a"))
    receiver = handlers.receiver(sessions, session_id="a")
    take(receiver)
    receiver.session.set_state("state")

    broker.reset()

    assert broker.queue(queue) == broker.queue(sessions) == QueueCounts()
    assert (broker.statistics.received, broker.statistics.stored_bytes) == (0, 0)


def test_methods_work_from_another_thread() -> None:
    """Queues can be added before the broker starts, and while it runs in another thread."""
    broker = Broker(BrokerOptions(port=0))
    broker.add_queue("early")

    with in_thread(broker):
        broker.add_queue("late")

    assert broker.queues == ["early", "late"]


def test_queue_names_are_case_insensitive(broker: Broker, queue: str) -> None:
    """A queue cannot be added under a name that differs in case only."""
    with pytest.raises(ValueError, match="already"):
        broker.add_queue(queue.upper())


def test_unknown_queue_has_no_counts(broker: Broker) -> None:
    """The counts of an unknown queue raise, and do not create the queue."""
    with pytest.raises(KeyError):
        broker.queue("nowhere")


def test_stop_closes_connections() -> None:
    """A client gets a close with an error when the broker stops."""
    broker = Broker(BrokerOptions(port=0))
    with contextlib.ExitStack() as running:
        running.enter_context(in_thread(broker))
        with wire.connected(broker) as client:
            client.sendall(wire.opening())
            wire.read(client, until=wire.BEGIN)
            running.close()

            code, fields = wire.read(client)[-1]

    assert code == wire.CLOSE
    assert wire.condition(fields) == "amqp:connection:forced"
