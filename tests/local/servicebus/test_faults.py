"""Injected faults, and how the SDK reacts to them."""

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError, ServiceBusServerBusyError

from local.servicebus import Broker, QueueCounts, Step
from tests.local.servicebus.handlers import Handlers, NewQueue, leaves_sockets, take

ENDS = pytest.mark.parametrize("end", ["detach_all", "close_all", "drop_all"])

pytestmark = pytest.mark.usefixtures("faults_cleared")


@ENDS
@leaves_sockets
def test_sender_recovers(broker: Broker, handlers: Handlers, queue: str, end: str) -> None:
    """The next send reopens the link or connection that ended."""
    sender = handlers.sender(queue)
    sender.send_messages(ServiceBusMessage("before"))

    getattr(broker, end)()
    sender.send_messages(ServiceBusMessage("after"))

    assert broker.queue(queue) == QueueCounts(active=2)


@ENDS
@leaves_sockets
def test_receiver_recovers(broker: Broker, handlers: Handlers, queue: str, end: str) -> None:
    """The next receive reopens the link or connection that ended."""
    sender, receiver = handlers.sender(queue), handlers.receiver(queue)
    sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")])
    receiver.complete_message(*take(receiver))

    getattr(broker, end)()

    assert [str(message) for message in take(receiver)] == ["b"]


def test_send_to_busy_server_is_retried(broker: Broker, handlers: Handlers, queue: str) -> None:
    """A send succeeds once the server is no longer busy."""
    sender = handlers.sender(queue)
    broker.server_busy(1, queue=queue)

    sender.send_messages(ServiceBusMessage("x"))

    assert broker.queue(queue) == QueueCounts(active=1)


@leaves_sockets
def test_server_that_stays_busy_is_an_error(broker: Broker, handlers: Handlers, queue: str) -> None:
    """A send raises once all retries have failed."""
    sender = handlers.sender(queue)
    broker.server_busy(100, queue=queue)

    with pytest.raises(ServiceBusServerBusyError):
        sender.send_messages(ServiceBusMessage("x"))


def test_fault_affects_its_queue_only(
    broker: Broker, handlers: Handlers, new_queue: NewQueue
) -> None:
    """A send to another queue neither fails nor uses up the fault."""
    broker.reset()
    broker.server_busy(queue=new_queue())
    queue = new_queue()

    handlers.sender(queue).send_messages(ServiceBusMessage("x"))

    assert broker.queue(queue) == QueueCounts(active=1)
    assert broker.statistics.faults == 0


@pytest.mark.parametrize("step", [Step.ATTACH, Step.SEND])
@leaves_sockets
def test_step_can_be_refused(broker: Broker, handlers: Handlers, queue: str, step: Step) -> None:
    """An attach or send can be refused with any error condition."""
    broker.refuse(step, "amqp:internal-error", times=100, queue=queue)

    with pytest.raises(ServiceBusError, match="Injected fault"):
        handlers.sender(queue).send_messages(ServiceBusMessage("x"))


@leaves_sockets
def test_unconfirmed_send_is_stored(broker: Broker, handlers: Handlers, queue: str) -> None:
    """A send without a response raises, although the message is stored."""
    sender = handlers.sender(queue)
    broker.leave_unconfirmed(Step.SEND, queue=queue)

    with pytest.raises(ServiceBusError):
        sender.send_messages(ServiceBusMessage("x"), timeout=1)

    assert broker.queue(queue) == QueueCounts(active=1)


@leaves_sockets
def test_silence_ends(broker: Broker, handlers: Handlers, queue: str) -> None:
    """The broker stops answering while silent, and answers again afterwards."""
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
