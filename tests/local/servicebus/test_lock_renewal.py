"""Automatic lock renewal by the SDK, which needs a broker whose clock is not advanced."""

import datetime as dt

from azure.servicebus import AutoLockRenewer, ServiceBusMessage, ServiceBusReceivedMessage

from local.servicebus import Broker, QueueCounts
from tests.local.servicebus.handlers import WAIT, Handlers, NewQueue, take, wait_until


def locked_until(message: ServiceBusReceivedMessage) -> dt.datetime:
    """Returns when the lock on a message expires."""
    assert message.locked_until_utc is not None
    return message.locked_until_utc


def test_auto_lock_renewer_keeps_a_lock(
    broker: Broker, handlers: Handlers, new_queue: NewQueue
) -> None:
    """The renewer renews a lock repeatedly before it expires."""
    queue = new_queue(lock_duration=2)
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    receiver = handlers.receiver(queue)
    with AutoLockRenewer(max_lock_renewal_duration=WAIT) as renewer:
        [message] = take(receiver)
        until = locked_until(message)
        renewer.register(receiver, message)
        wait_until(lambda: locked_until(message) > until + dt.timedelta(seconds=2))

        receiver.complete_message(message)

    assert broker.queue(queue) == QueueCounts()
