"""The same broker through the SDK's asyncio half."""

import asyncio
import datetime as dt

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage, ServiceBusSubQueue

from local.servicebus import Broker, QueueCounts
from tests.local.servicebus.handlers import WAIT, leaves_sockets


@pytest.fixture
async def sender(aio_client, queue):
    """A sender of the queue."""
    return aio_client.get_queue_sender(queue)


@pytest.fixture
async def receiver(aio_client, queue):
    """A receiver of the queue."""
    return aio_client.get_queue_receiver(queue)


async def take(receiver, count=1):
    """Receives exactly so many messages."""
    messages = []
    while len(messages) < count:
        more = await receiver.receive_messages(count - len(messages), max_wait_time=WAIT)
        assert more, f"{len(messages)} of {count} messages came"
        messages += more
    return messages


async def test_messages_arrive_in_order(sender, receiver):
    """Sent one by one and as a list."""
    texts = [str(number) for number in range(100)]
    await sender.send_messages(ServiceBusMessage("one"))
    await sender.send_messages([ServiceBusMessage(text) for text in texts])

    messages = await take(receiver, 101)

    assert [str(message) for message in messages] == ["one", *texts]


async def test_every_settlement_is_confirmed(broker: Broker, sender, receiver, queue):
    """Each leaves its message where it belongs."""
    await sender.send_messages([ServiceBusMessage(text) for text in "abcd"])
    abandoned, dead, deferred, completed = await take(receiver, 4)

    await receiver.abandon_message(abandoned)
    await receiver.dead_letter_message(dead, reason="Bad", error_description="because")
    await receiver.defer_message(deferred)
    await receiver.renew_message_lock(completed)
    await receiver.complete_message(completed)

    assert broker.queue(queue) == QueueCounts(active=1, deferred=1, dead_lettered=1)


async def test_dead_letter_carries_its_reason(aio_client, sender, receiver, queue):
    """In peeks as well as in deliveries."""
    await sender.send_messages(ServiceBusMessage("x"))
    [message] = await take(receiver)
    await receiver.dead_letter_message(message, reason="Bad", error_description="because")
    dead = aio_client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER)

    [peeked], [taken] = await dead.peek_messages(5), await take(dead)

    assert peeked.dead_letter_reason == taken.dead_letter_reason == "Bad"


async def test_deferred_message_is_received_by_its_number(broker: Broker, sender, receiver, queue):
    """And completed through management."""
    await sender.send_messages(ServiceBusMessage("x"))
    [message] = await take(receiver)
    await receiver.defer_message(message)

    [deferred] = await receiver.receive_deferred_messages([message.sequence_number])
    await receiver.complete_message(deferred)

    assert broker.queue(queue) == QueueCounts()


async def test_scheduled_message_comes_when_it_is_due(broker: Broker, sender, receiver):
    """Those that were cancelled do not."""
    later = dt.datetime.fromtimestamp(broker.now + 60, dt.UTC)
    first, _ = await sender.schedule_messages(
        [ServiceBusMessage("a"), ServiceBusMessage("b")], later
    )
    await sender.cancel_scheduled_messages(first)

    broker.advance(61)

    [message] = await take(receiver)
    assert str(message) == "b"


@leaves_sockets
async def test_session_has_a_state(aio_client, new_queue):
    """The next one that is free brings its messages in order."""
    queue = new_queue(requires_session=True)
    messages = [ServiceBusMessage(f"{s}{n}", session_id=s) for n in range(2) for s in "ab"]
    await aio_client.get_queue_sender(queue).send_messages(messages)
    receiver = aio_client.get_queue_receiver(
        queue, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=WAIT
    )
    received = await take(receiver, 2)

    await receiver.session.set_state("half way")

    assert [str(message) for message in received] == ["a0", "a1"]
    assert await receiver.session.get_state() == b"half way"


@leaves_sockets
async def test_consumers_share_the_messages(aio_client, sender, queue):
    """Every message goes to one of them, and to one only."""
    await sender.send_messages([ServiceBusMessage(str(number)) for number in range(200)])
    seen = []

    async def consume():
        async with aio_client.get_queue_receiver(queue) as receiver:
            while messages := await receiver.receive_messages(20, max_wait_time=1):
                for message in messages:
                    await receiver.complete_message(message)
                    seen.append(message.sequence_number)

    await asyncio.gather(*(consume() for _ in range(4)))

    assert sorted(seen) == list(range(1, 201))


@pytest.mark.parametrize("end", ["detach_all", "close_all", "drop_all"])
@leaves_sockets
async def test_client_recovers(broker: Broker, sender, receiver, end):
    """From links, connections and sockets that ended."""
    await sender.send_messages(ServiceBusMessage("before"))
    [message] = await take(receiver)
    await receiver.complete_message(message)

    getattr(broker, end)()
    await sender.send_messages(ServiceBusMessage("after"))

    assert [str(message) for message in await take(receiver)] == ["after"]
