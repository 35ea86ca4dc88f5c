"""Replaying rejected messages: nothing is lost, whatever interrupts it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import ServiceBusMessage

from local.servicebus import Broker, QueueCounts
from shared.errors import (
    InvalidRequestError,
)
from shared.messaging.rejected import RejectedMessages
from shared.messaging.rejections import Filter
from tests.shared.messaging.requesting import request

# Each opens several connections of the SDK, which takes a second to close one.
pytestmark = pytest.mark.long


async def states(rejected: RejectedMessages) -> dict[str, tuple[str, int]]:
    """State and delivery count of what lies in the rejected queue, by record."""
    entries = (await rejected.page(top=100))["messages"]
    return {found["ids"][0]: (found["state"], found["deliveryCount"]) for found in entries}


async def test_message_goes_where_it_came_from(
    broker: Broker, rejected, park_some, messaging, look
):
    """As a copy without the reason, which is known as a copy."""
    await park_some("dev-1", queue=messaging.bulk_operations_queue)

    told = await rejected.replay()

    assert told == {
        "replayed": 1,
        "sequenceNumbers": [1],
        "uncompleted": [],
        "failed": {},
        "left": [],
        "deferred": 0,
        "stopped": None,
        "refused": [],
        "next": None,
    }
    assert broker.queue(messaging.enrollment_rejected_queue) == QueueCounts()
    [copy] = await look(messaging.bulk_operations_queue)
    assert b"".join(copy.body) == request()
    assert copy.message_id == f"replayed-{messaging.enrollment_rejected_queue}-1"
    assert copy.application_properties == {
        b"sourceMessageId": b"dev-1",
        b"sourceQueue": messaging.bulk_operations_queue.encode(),
    }


async def test_others_are_deferred_and_counted_once(rejected, park_some, requests_queue, look):
    """However often something behind them is replayed."""
    await park_some(*(f"dev-{number}" for number in range(40)))

    for id in ("dev-2", "dev-20", "dev-21", "dev-37"):
        told = await rejected.replay(Filter(id=id))
        assert told["replayed"] == 1

    left = await states(rejected)
    assert len(left) == 36
    assert list(left.values()) == [("deferred", 1)] * 34 + [("active", 0)] * 2
    assert len(await look(requests_queue)) == 4


async def test_deferred_messages_can_be_replayed(
    broker: Broker, rejected, park_some, rejected_queue
):
    """Together with those that are not."""
    await park_some("a", "b", "c", "d")
    await rejected.replay(Filter(id="c"))

    told = await rejected.replay()

    assert (told["replayed"], told["sequenceNumbers"]) == (3, [1, 2, 4])
    assert broker.queue(rejected_queue) == QueueCounts()


async def test_dry_run_takes_nothing(broker: Broker, rejected, park_some, rejected_queue):
    """It says what would be replayed."""
    await park_some("a", "b")

    told = await rejected.replay(Filter(id="b"), dry_run=True)

    assert (told["replayed"], told["sequenceNumbers"]) == (0, [2])
    assert broker.queue(rejected_queue) == QueueCounts(active=2)


async def test_replay_goes_so_far(rejected, park_some):
    """And says where to go on."""
    await park_some("a", "b", "c")

    first = await rejected.replay(at_most=2)
    second = await rejected.replay(at_most=2, start=first["next"])

    assert (first["sequenceNumbers"], first["next"]) == ([1, 2], 3)
    assert (second["sequenceNumbers"], second["next"]) == ([3], None)


async def test_message_from_elsewhere_is_refused(rejected, park_some, put, rejected_queue):
    """Nobody knows what to do with it, and it is not sent anywhere."""
    await park_some("a", queue="elsewhere")
    await put(rejected_queue, ServiceBusMessage(request("b")))
    await park_some("c")

    told = await rejected.replay()

    assert (told["sequenceNumbers"], told["refused"]) == ([3], [1, 2])
    with pytest.raises(InvalidRequestError):
        await rejected.replay_one(1)


async def test_message_that_is_not_due_is_left(rejected, put, rejected_queue):
    """Service Bus gives it to nobody before."""
    later = datetime.now(UTC) + timedelta(hours=1)
    await put(rejected_queue, ServiceBusMessage(request(), scheduled_enqueue_time_utc=later))

    told = await rejected.replay()

    assert (told["replayed"], told["refused"]) == (0, [1])
    with pytest.raises(InvalidRequestError):
        await rejected.discard(1)


async def test_dead_letters_go_back_to_their_queue(
    rejected, put, dead_letter, requests_queue, look
):
    """Without what was said of their death, and with what is left of their life."""
    message = ServiceBusMessage(request(), message_id="a", time_to_live=timedelta(hours=1))
    await put(requests_queue, message)
    await dead_letter(requests_queue)

    told = await rejected.replay(place=f"{requests_queue}/$DeadLetterQueue")

    assert told["replayed"] == 1
    [copy] = await look(requests_queue)
    assert copy.application_properties.keys() == {
        b"sourceMessageId",
        b"sourceQueue",
        b"enqueuedTimeUtc",
    }
    assert timedelta(minutes=59) < copy.time_to_live <= timedelta(hours=1)


async def test_dead_letters_of_the_rejected_queue_go_back_as_well(
    rejected, park_some, dead_letter, messaging, look
):
    """To the queue that the message came from first."""
    await park_some("a")
    queue = messaging.enrollment_rejected_queue
    await dead_letter(queue)

    await rejected.replay(place=f"{queue}/$DeadLetterQueue")

    assert len(await look(messaging.enrollment_requests_queue)) == 1


async def test_replays_take_turns(rejected, park_some):
    """Otherwise each would defer what the other has chosen."""
    await park_some("a", "b", "c", "d")

    told = await asyncio.gather(*(rejected.replay(Filter(id=id)) for id in ("d", "a", "c")))

    assert [each["replayed"] for each in told] == [1, 1, 1]
    assert list(await states(rejected)) == ["b"]
