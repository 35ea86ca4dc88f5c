"""The way into queues, against the broker and with the SDK that it has in Azure."""

import asyncio
import gc
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.servicebus import Broker, QueueCounts, Step
from shared.errors import MessageTooLargeError
from shared.messaging import sending
from shared.messaging.messages import OutgoingMessage
from shared.messaging.sending import Sender
from tests.local.servicebus.handlers import leaves_sockets
from tests.shared.messaging.requesting import message

TASKS = 50
OURS = str(Path(sending.__file__).parent)


async def test_cold_sender_serves_many_tasks(broker: Broker, sender: Sender, requests_queue):
    """Each message is stored once, though the SDK's own sender would store most of them often."""
    await asyncio.gather(*(sender.send(requests_queue, message(str(n))) for n in range(TASKS)))

    assert broker.queue(requests_queue) == QueueCounts(active=TASKS)


async def test_what_waits_goes_out_together(broker: Broker, sender: Sender, requests_queue, look):
    """Messages of many tasks make one batch, in the order in which they were sent."""
    broker.reset()
    broker.refuse(Step.SEND, "com.microsoft:server-busy", times=1, queue=requests_queue)

    await asyncio.gather(*(sender.send(requests_queue, message(str(n))) for n in range(TASKS)))

    stored = await look(requests_queue)
    assert [found.message_id for found in stored] == [str(n) for n in range(TASKS)]
    # Of one batch all are refused.
    assert broker.statistics.refused == 1


async def test_batches_are_filled_to_size(broker: Broker, sender: Sender, requests_queue):
    """What is more than one batch may hold makes several."""
    large = [message("x" * 60_000, id=str(n)) for n in range(10)]

    await sender.send(requests_queue, *large)

    assert broker.queue(requests_queue) == QueueCounts(active=10)


async def test_all_of_a_message_arrives(sender: Sender, requests_queue, look):
    """Every property that the service knows, and application properties of all simple types."""
    properties = {"text": "é", "number": 7, "time": 1_790_000_000_000, "flag": True, "none": None}

    await sender.send(
        requests_queue,
        OutgoingMessage(
            body=b"body",
            message_id="id",
            content_type="application/json",
            correlation_id="correlation",
            subject="subject",
            reply_to="replies",
            application_properties=properties | {"list": [1], "binary": b"\xff"},
            time_to_live=timedelta(minutes=5),
        ),
    )

    [found] = await look(requests_queue)
    assert b"".join(found.body) == b"body"
    assert (found.message_id, found.content_type) == ("id", "application/json")
    assert (found.correlation_id, found.subject) == ("correlation", "subject")
    assert (found.reply_to, found.time_to_live) == ("replies", timedelta(minutes=5))
    texts = {b"text": "é".encode(), b"list": b"[1]", b"binary": b"\xff"}
    numbers = {b"number": 7, b"time": 1_790_000_000_000, b"flag": True, b"none": None}
    assert found.application_properties == texts | numbers


async def test_longest_life_fits_the_header(sender: Sender, requests_queue, look):
    """AMQP has 32 bits for it; a queue may say more."""
    body = OutgoingMessage(body=b"1", message_id="1", time_to_live=timedelta(days=90))

    await sender.send(requests_queue, body)

    (found,) = await look(requests_queue)
    assert found.time_to_live == timedelta(seconds=(2**32 - 1) // 1000)


async def test_scheduled_message_waits(broker: Broker, sender: Sender, requests_queue):
    """Until its time."""
    later = datetime.now(UTC) + timedelta(hours=1)

    await sender.send(requests_queue, message(scheduled_enqueue_time_utc=later))

    assert broker.queue(requests_queue) == QueueCounts(scheduled=1)


@pytest.mark.parametrize("size", [256 * 1024 - 20, 300_000, 2_000_000])
async def test_too_large_message_fails_alone(broker: Broker, sender: Sender, requests_queue, size):
    """Those that wait with it are sent."""
    messages = [message("a"), message("x" * size, id="large"), message("b")]

    sends = [sender.send(requests_queue, one) for one in messages]
    first, large, last = await asyncio.gather(*sends, return_exceptions=True)

    assert (first, last) == (None, None)
    assert isinstance(large, MessageTooLargeError)
    assert broker.queue(requests_queue) == QueueCounts(active=2)


async def test_one_of_several_too_large_is_told(broker: Broker, sender: Sender, requests_queue):
    """One call sends the others all the same."""
    with pytest.raises(MessageTooLargeError):
        await sender.send(requests_queue, message("x" * 300_000), message("a"))

    assert broker.queue(requests_queue) == QueueCounts(active=1)


async def test_batch_with_one_too_large_is_sent_one_by_one(
    broker: Broker, sender: Sender, requests_queue
):
    """The service has limits that the SDK does not know, for properties say."""
    broker.refuse(Step.SEND, "amqp:link:message-size-exceeded", times=2, queue=requests_queue)

    sends = [sender.send(requests_queue, message(str(n))) for n in range(3)]
    first, *others = await asyncio.gather(*sends, return_exceptions=True)

    assert isinstance(first, MessageTooLargeError)
    assert others == [None, None]
    assert broker.queue(requests_queue) == QueueCounts(active=2)


async def test_message_that_cannot_be_sent_fails_alone(
    broker: Broker, sender: Sender, requests_queue
):
    """Its error is a bug of the caller's; those that wait with it are sent."""
    messages = [message("a"), message(id="x" * 129), message("b")]

    sends = [sender.send(requests_queue, one) for one in messages]
    outcomes = await asyncio.gather(*sends, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [type(None), ValueError, type(None)]
    assert broker.queue(requests_queue) == QueueCounts(active=2)


async def test_cancelled_caller_disturbs_no_other(broker: Broker, sender: Sender, requests_queue):
    """The first of all callers, in whose task the connection might have been opened."""
    sends = [
        asyncio.create_task(sender.send(requests_queue, message(str(n)))) for n in range(TASKS)
    ]
    await asyncio.sleep(0)
    sends[0].cancel()

    outcomes = await asyncio.gather(*sends, return_exceptions=True)

    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [None] * (TASKS - 1)
    assert broker.queue(requests_queue).active in (TASKS - 1, TASKS)


async def test_queues_do_not_wait_for_one_another(
    broker: Broker, sender: Sender, requests_queue, rejected_queue
):
    """One that does not answer holds up its own senders."""
    broker.ignore(Step.ATTACH, times=10, queue=requests_queue)
    stuck = asyncio.create_task(sender.send(requests_queue, message()))

    await sender.send(rejected_queue, message())

    assert not stuck.done()
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)


async def test_nothing_is_sent_for_nothing(broker: Broker, sender: Sender):
    """Not even a connection is made."""
    broker.reset()

    await sender.send("nowhere")

    assert broker.statistics.connections_opened == 0


@leaves_sockets
async def test_repeated_use_takes_no_memory(sender: Sender, requests_queue):
    """Of thousands of messages none is kept."""
    await sender.send(requests_queue, *(message(str(n)) for n in range(2000)))
    gc.collect()
    tracemalloc.start()
    for _ in range(4):
        await sender.send(requests_queue, *(message(str(n)) for n in range(500)))
    gc.collect()
    kept = [
        found.size
        for found in tracemalloc.take_snapshot().statistics("filename")
        if found.traceback[0].filename.startswith(OURS)
    ]
    tracemalloc.stop()

    assert sum(kept) < 10_000
