"""The broker with the SDK's asyncio client."""

import asyncio

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

from local.servicebus import Broker, QueueCounts
from tests.local.servicebus.handlers import WAIT, leaves_sockets, number


@pytest.fixture
async def sender(aio_client: ServiceBusClient, queue: str) -> ServiceBusSender:
    """A sender of the queue."""
    return aio_client.get_queue_sender(queue)


@pytest.fixture
async def receiver(aio_client: ServiceBusClient, queue: str) -> ServiceBusReceiver:
    """A receiver of the queue."""
    return aio_client.get_queue_receiver(queue)


async def take(receiver: ServiceBusReceiver, count: int = 1) -> list[ServiceBusReceivedMessage]:
    """Receives exactly `count` messages."""
    messages: list[ServiceBusReceivedMessage] = []
    while len(messages) < count:
        more = await receiver.receive_messages(count - len(messages), max_wait_time=WAIT)
        assert more, f"received {len(messages)} of {count} messages"
        messages += more
    return messages


async def test_messages_are_received_in_order(
    sender: ServiceBusSender, receiver: ServiceBusReceiver
) -> None:
    """Messages sent singly and as a list are received in the order of sending."""
    texts = [str(number) for number in range(100)]
    await sender.send_messages(ServiceBusMessage("one"))
    await sender.send_messages([ServiceBusMessage(text) for text in texts])

    messages = await take(receiver, 101)

    assert [str(message) for message in messages] == ["one", *texts]


async def test_every_settlement_is_confirmed(
    broker: Broker, sender: ServiceBusSender, receiver: ServiceBusReceiver, queue: str
) -> None:
    """Each way to settle a message returns, and leaves the message in its state."""
    await sender.send_messages([ServiceBusMessage(text) for text in "abcd"])
    abandoned, dead, deferred, completed = await take(receiver, 4)

    await receiver.abandon_message(abandoned)
    await receiver.dead_letter_message(dead, reason="Bad", error_description="because")
    await receiver.defer_message(deferred)
    await receiver.renew_message_lock(completed)
    await receiver.complete_message(completed)

    assert broker.queue(queue) == QueueCounts(active=1, deferred=1, dead_lettered=1)


@leaves_sockets
async def test_consumers_share_the_messages(
    aio_client: ServiceBusClient, sender: ServiceBusSender, queue: str
) -> None:
    """Every message is delivered to exactly one of several receivers."""
    await sender.send_messages([ServiceBusMessage(str(number)) for number in range(200)])
    numbers: list[int] = []

    async def consume() -> None:
        async with aio_client.get_queue_receiver(queue) as receiver:
            while messages := await receiver.receive_messages(20, max_wait_time=1):
                for message in messages:
                    await receiver.complete_message(message)
                    numbers.append(number(message))

    await asyncio.gather(*(consume() for _ in range(4)))

    assert sorted(numbers) == list(range(1, 201))


@pytest.mark.parametrize("end", ["detach_all", "close_all", "drop_all"])
@leaves_sockets
async def test_client_recovers(
    broker: Broker, sender: ServiceBusSender, receiver: ServiceBusReceiver, end: str
) -> None:
    """Sender and receiver go on after their links, connection or socket ended."""
    await sender.send_messages(ServiceBusMessage("before"))
    [message] = await take(receiver)
    await receiver.complete_message(message)

    getattr(broker, end)()
    await sender.send_messages(ServiceBusMessage("after"))

    assert [str(message) for message in await take(receiver)] == ["after"]
