"""Taking one rejected message away."""

import pytest

from local.servicebus import Broker, QueueCounts, Step
from shared.errors import (
    MessageNotFoundError,
)
from shared.messaging.rejected import RejectedMessages
from tests.shared.messaging.requesting import request

# Each opens several connections of the SDK, which takes a second to close one.
pytestmark = pytest.mark.long


async def test_one_message_is_discarded(broker: Broker, rejected, park_one, rejected_queue):
    """Those before it are deferred, which counts as one delivery of each."""
    for number in range(3):
        await park_one(request(f"dev-{number}"))

    told = await rejected.discard(3)

    assert (told["discarded"], told["deferred"], told["left"]) == (1, 2, [])
    assert broker.queue(rejected_queue) == QueueCounts(deferred=2)
    assert [found["deliveryCount"] for found in (await rejected.page())["messages"]] == [1, 1]


async def test_deferred_message_is_discarded(broker: Broker, rejected, park_one, rejected_queue):
    """By its number."""
    for number in range(3):
        await park_one(request(f"dev-{number}"))
    await rejected.discard(3)

    told = await rejected.discard(1)

    assert (told["discarded"], told["deferred"]) == (1, 0)
    assert broker.queue(rejected_queue) == QueueCounts(deferred=1)


@pytest.mark.parametrize("number", [1, 3, 10**12])
async def test_unknown_number_is_told(broker: Broker, rejected, park_one, rejected_queue, number):
    """And nothing is touched."""
    await park_one(request())
    await park_one(request())
    await rejected.discard(1)

    with pytest.raises(MessageNotFoundError):
        await rejected.discard(number)

    assert broker.queue(rejected_queue) == QueueCounts(active=1)


async def test_lost_lock_is_told(broker: Broker, rejected, park_one, rejected_queue):
    """The message is still there."""
    await park_one(request())
    broker.refuse(Step.SETTLE, "com.microsoft:message-lock-lost", times=1, queue=rejected_queue)

    told = await rejected.discard(1)

    assert (told["discarded"], told["uncompleted"]) == (0, [1])
    assert broker.queue(rejected_queue) == QueueCounts(locked=1)


async def test_locked_message_is_left(rejected, park_one, client, rejected_queue):
    """Who has it, may complete it."""
    await park_one(request())
    async with client.get_queue_receiver(rejected_queue) as receiver:
        [message] = await receiver.receive_messages(1, max_wait_time=5)

        told = await rejected.discard(1)

        await receiver.complete_message(message)
    assert (told["discarded"], told["left"]) == (0, [1])


async def test_discarding_goes_so_far(broker: Broker, messaging, sender, park_one, rejected_queue):
    """And further, when it is asked again."""
    for number in range(5):
        await park_one(request(f"dev-{number}"))
    rejected = RejectedMessages(messaging, sender, wait=0.5, looked_at=3)

    first, second = await rejected.discard(5), await rejected.discard(5)

    assert (first["discarded"], first["left"]) == (0, [5])
    assert (second["discarded"], second["left"]) == (1, [])
    assert broker.queue(rejected_queue) == QueueCounts(deferred=4)
