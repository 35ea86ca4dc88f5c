"""Renewing locks in time, against a broker whose clock nobody moves."""

import asyncio
import datetime as dt

from azure.servicebus import AutoLockRenewer, ServiceBusMessage
from azure.servicebus.aio import AutoLockRenewer as AioRenewer

from local.servicebus import Broker, QueueCounts
from tests.local.servicebus.handlers import WAIT, Handlers, leaves_sockets, take, wait_until


def test_auto_lock_renewer_keeps_a_lock(broker: Broker, handlers: Handlers, new_queue):
    """It renews before the lock ends, however often that is."""
    queue = new_queue(lock_duration=2)
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    receiver = handlers.receiver(queue)
    with AutoLockRenewer(max_lock_renewal_duration=WAIT) as renewer:
        [message] = take(receiver)
        until = message.locked_until_utc
        renewer.register(receiver, message)
        wait_until(lambda: message.locked_until_utc > until + dt.timedelta(seconds=2))

        receiver.complete_message(message)

    assert broker.queue(queue) == QueueCounts()


@leaves_sockets
async def test_aio_renewer_keeps_a_lock(broker: Broker, aio_client, new_queue):
    """Of a message that came by iteration."""
    queue = new_queue(lock_duration=5)
    await aio_client.get_queue_sender(queue).send_messages(ServiceBusMessage("x"))
    receiver = aio_client.get_queue_receiver(queue, max_wait_time=WAIT)
    async with AioRenewer() as renewer:
        message = await anext(receiver)
        until = message.locked_until_utc
        renewer.register(receiver, message)
        await asyncio.to_thread(wait_until, lambda: message.locked_until_utc > until)

        await receiver.complete_message(message)

    assert broker.queue(queue) == QueueCounts()
