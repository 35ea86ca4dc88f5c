"""Faults to order, and how the SDK meets them."""

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError, ServiceBusServerBusyError

from local.servicebus import Broker, BrokerOptions, QueueCounts, Step
from local.threads import in_thread
from tests.local.servicebus.handlers import Handlers, leaves_sockets, take

ENDS = pytest.mark.parametrize("end", ["detach_all", "close_all", "drop_all"])


@pytest.fixture(autouse=True)
def nothing_ordered(broker: Broker):
    """What a test orders ends with it."""
    yield
    broker.clear_faults()


@ENDS
@leaves_sockets
def test_sender_recovers(broker: Broker, handlers: Handlers, queue, end):
    """The next send opens what has ended."""
    sender = handlers.sender(queue)
    sender.send_messages(ServiceBusMessage("before"))

    getattr(broker, end)()
    sender.send_messages(ServiceBusMessage("after"))

    assert broker.queue(queue) == QueueCounts(active=2)


@ENDS
@leaves_sockets
def test_receiver_recovers(broker: Broker, handlers: Handlers, queue, end):
    """The next receive opens what has ended."""
    sender, receiver = handlers.sender(queue), handlers.receiver(queue)
    sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")])
    receiver.complete_message(*take(receiver))

    getattr(broker, end)()

    assert [str(message) for message in take(receiver)] == ["b"]


def test_busy_server_is_asked_again(broker: Broker, handlers: Handlers, queue):
    """A send succeeds once the server has time."""
    sender = handlers.sender(queue)
    broker.server_busy(1, queue=queue)

    sender.send_messages(ServiceBusMessage("x"))

    assert broker.queue(queue) == QueueCounts(active=1)


@leaves_sockets
def test_server_that_stays_busy_is_an_error(broker: Broker, handlers: Handlers, queue):
    """Once all retries are spent."""
    sender = handlers.sender(queue)
    broker.server_busy(100, queue=queue)

    with pytest.raises(ServiceBusServerBusyError):
        sender.send_messages(ServiceBusMessage("x"))


def test_fault_strikes_its_queue_only(broker: Broker, handlers: Handlers, new_queue):
    """And is counted when it does."""
    broker.reset()
    broker.server_busy(queue=new_queue())
    queue = new_queue()

    handlers.sender(queue).send_messages(ServiceBusMessage("x"))

    assert broker.queue(queue) == QueueCounts(active=1)
    assert broker.statistics.faults == 0


@pytest.mark.parametrize("step", [Step.ATTACH, Step.SEND])
@leaves_sockets
def test_step_can_be_refused(broker: Broker, handlers: Handlers, queue, step):
    """With any condition."""
    broker.refuse(step, "amqp:internal-error", times=100, queue=queue)

    with pytest.raises(ServiceBusError, match="Ordered"):
        handlers.sender(queue).send_messages(ServiceBusMessage("x"))


@leaves_sockets
def test_unconfirmed_send_is_stored(broker: Broker, handlers: Handlers, queue):
    """The client does not learn of it."""
    sender = handlers.sender(queue)
    broker.leave_unconfirmed(Step.SEND, queue=queue)

    with pytest.raises(ServiceBusError):
        sender.send_messages(ServiceBusMessage("x"), timeout=1)

    assert broker.queue(queue) == QueueCounts(active=1)


@leaves_sockets
def test_silence_ends(broker: Broker, handlers: Handlers, queue):
    """What was sent meanwhile is done then."""
    sender = handlers.sender(queue)
    sender.send_messages(ServiceBusMessage("before"))
    broker.silence()
    with pytest.raises(ServiceBusError):
        sender.send_messages(ServiceBusMessage("during"), timeout=1)

    broker.clear_faults()
    sender.send_messages(ServiceBusMessage("after"))

    assert {"before", "after"} <= {
        str(message) for message in handlers.receiver(queue).peek_messages(5)
    }


def test_reset_leaves_nothing(broker: Broker, handlers: Handlers, new_queue):
    """No message, no session state, no number of what has been."""
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


def test_calls_work_on_the_brokers_own_loop():
    """In a test that runs the broker itself, and before it runs."""
    broker = Broker(BrokerOptions(port=0))
    broker.add_queue("early")

    with in_thread(broker):
        broker.add_queue("late")

    assert broker.queues == ["early", "late"]
