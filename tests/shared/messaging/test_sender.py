"""The message sender, with the SDK against the Service Bus stand-in."""

import asyncio
import gc
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.servicebus import Broker, QueueCounts, QueueOptions, Step
from shared.errors import MessageTooLargeError, QueueRefusedError, QueueUnreachableError
from shared.messaging import sender
from shared.messaging.messages import OutgoingMessage
from shared.messaging.sender import MessageSender
from shared.settings import ServiceBusSettings
from tests import secret_factory
from tests.local.servicebus.handlers import leaves_sockets
from tests.shared.messaging.samples import CreateQueues, Peek, outgoing

TASKS = 50
APP_FOLDER = str(Path(sender.__file__).parent)


async def test_concurrent_sends_before_the_connection_is_open(
    broker: Broker, sender: MessageSender, requests_queue: str
) -> None:
    """Each message is sent once, although an SDK sender is not safe for concurrent use."""
    await asyncio.gather(*(sender.send(requests_queue, outgoing(str(n))) for n in range(TASKS)))

    assert broker.queue(requests_queue) == QueueCounts(active=TASKS)


async def test_concurrent_sends_are_batched(
    broker: Broker, sender: MessageSender, requests_queue: str, peek: Peek
) -> None:
    """Messages of many tasks go out as one batch, in order."""
    broker.reset()
    broker.refuse(Step.SEND, "com.microsoft:server-busy", times=1, queue=requests_queue)

    await asyncio.gather(*(sender.send(requests_queue, outgoing(str(n))) for n in range(TASKS)))

    stored = await peek(requests_queue)
    assert [received.message_id for received in stored] == [str(n) for n in range(TASKS)]
    # Of each batch all are refused.
    assert broker.statistics.refused == 1


async def test_messages_above_the_batch_size_are_split(
    broker: Broker, sender: MessageSender, requests_queue: str
) -> None:
    """They go out as several batches."""
    large = [outgoing("x" * 60_000, id=str(n)) for n in range(10)]

    await sender.send(requests_queue, *large)

    assert broker.queue(requests_queue) == QueueCounts(active=10)


async def test_all_properties_are_sent(
    sender: MessageSender, requests_queue: str, peek: Peek
) -> None:
    """Message properties, and application properties of all simple types."""
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

    [received] = await peek(requests_queue)
    assert b"".join(received.body) == b"body"
    assert (received.message_id, received.content_type) == ("id", "application/json")
    assert (received.correlation_id, received.subject) == ("correlation", "subject")
    assert (received.reply_to, received.time_to_live) == ("replies", timedelta(minutes=5))
    texts = {b"text": "é".encode(), b"list": b"[1]", b"binary": b"\xff"}
    numbers = {b"number": 7, b"time": 1_790_000_000_000, b"flag": True, b"none": None}
    assert received.application_properties == texts | numbers


async def test_time_to_live_is_capped(
    sender: MessageSender, requests_queue: str, peek: Peek
) -> None:
    """AMQP's header has 32 bits for the time to live."""
    body = OutgoingMessage(body=b"1", message_id="1", time_to_live=timedelta(days=90))

    await sender.send(requests_queue, body)

    (received,) = await peek(requests_queue)
    assert received.time_to_live == timedelta(seconds=(2**32 - 1) // 1000)


async def test_scheduled_message_is_scheduled(
    broker: Broker, sender: MessageSender, requests_queue: str
) -> None:
    """The message is not delivered before its scheduled time."""
    later = datetime.now(UTC) + timedelta(hours=1)

    await sender.send(requests_queue, outgoing(scheduled_enqueue_time_utc=later))

    assert broker.queue(requests_queue) == QueueCounts(scheduled=1)


@pytest.mark.parametrize("size", [256 * 1024 - 20, 300_000, 2_000_000])
async def test_too_large_message_does_not_affect_others(
    broker: Broker, sender: MessageSender, requests_queue: str, size: int
) -> None:
    """The other messages of the batch are sent."""
    messages = [outgoing("a"), outgoing("x" * size, id="large"), outgoing("b")]

    sends = [sender.send(requests_queue, each) for each in messages]
    first, large, last = await asyncio.gather(*sends, return_exceptions=True)

    assert (first, last) == (None, None)
    assert isinstance(large, MessageTooLargeError)
    assert broker.queue(requests_queue) == QueueCounts(active=2)


async def test_too_large_message_among_several_raises(
    broker: Broker, sender: MessageSender, requests_queue: str
) -> None:
    """The other messages of the call are sent."""
    with pytest.raises(MessageTooLargeError):
        await sender.send(requests_queue, outgoing("x" * 300_000), outgoing("a"))

    assert broker.queue(requests_queue) == QueueCounts(active=1)


async def test_refused_batch_is_sent_one_by_one(
    broker: Broker, sender: MessageSender, requests_queue: str
) -> None:
    """The service has limits that the SDK does not know, such as that of the properties."""
    broker.refuse(Step.SEND, "amqp:link:message-size-exceeded", times=2, queue=requests_queue)

    sends = [sender.send(requests_queue, outgoing(str(n))) for n in range(3)]
    first, *others = await asyncio.gather(*sends, return_exceptions=True)

    assert isinstance(first, MessageTooLargeError)
    assert others == [None, None]
    assert broker.queue(requests_queue) == QueueCounts(active=2)


async def test_message_that_cannot_be_encoded_does_not_affect_others(
    broker: Broker, sender: MessageSender, requests_queue: str
) -> None:
    """Only the call with that message raises."""
    messages = [outgoing("a"), outgoing(id="x" * 129), outgoing("b")]

    sends = [sender.send(requests_queue, each) for each in messages]
    outcomes = await asyncio.gather(*sends, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [type(None), ValueError, type(None)]
    assert broker.queue(requests_queue) == QueueCounts(active=2)


async def test_cancelled_caller_does_not_affect_others(
    broker: Broker, sender: MessageSender, requests_queue: str
) -> None:
    """This holds even for the first caller, whose call opens the connection."""
    sends = [
        asyncio.create_task(sender.send(requests_queue, outgoing(str(n)))) for n in range(TASKS)
    ]
    await asyncio.sleep(0)
    sends[0].cancel()

    outcomes = await asyncio.gather(*sends, return_exceptions=True)

    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [None] * (TASKS - 1)
    assert broker.queue(requests_queue).active in (TASKS - 1, TASKS)


async def test_queues_do_not_block_each_other(
    broker: Broker, sender: MessageSender, requests_queue: str, rejected_queue: str
) -> None:
    """A queue that does not respond blocks only its own sends."""
    broker.ignore(Step.ATTACH, times=10, queue=requests_queue)
    blocked = asyncio.create_task(sender.send(requests_queue, outgoing()))

    await sender.send(rejected_queue, outgoing())

    assert not blocked.done()
    blocked.cancel()
    await asyncio.gather(blocked, return_exceptions=True)


async def test_send_without_messages_opens_no_connection(
    broker: Broker, sender: MessageSender
) -> None:
    """The call returns at once."""
    broker.reset()

    await sender.send("nowhere")

    assert broker.statistics.connections_opened == 0


@leaves_sockets
async def test_sender_keeps_no_messages(sender: MessageSender, requests_queue: str) -> None:
    """Memory does not grow with the number of messages."""
    await sender.send(requests_queue, *(outgoing(str(n)) for n in range(2000)))
    gc.collect()
    tracemalloc.start()
    for _ in range(4):
        await sender.send(requests_queue, *(outgoing(str(n)) for n in range(500)))
    gc.collect()
    kept = [
        statistic.size
        for statistic in tracemalloc.take_snapshot().statistics("filename")
        if statistic.traceback[0].filename.startswith(APP_FOLDER)
    ]
    tracemalloc.stop()

    assert sum(kept) < 10_000


@leaves_sockets
async def test_missing_queue_is_refused(sender: MessageSender) -> None:
    """The error has the queue's name, and the SDK's error as its cause."""
    with pytest.raises(QueueRefusedError, match="queue nowhere does not exist") as caught:
        await sender.send("nowhere", outgoing())

    # Azure refuses the token for it (Azure/azure-service-bus#304).
    assert type(caught.value.__cause__).__name__ == "ServiceBusAuthenticationError"


@leaves_sockets
@pytest.mark.parametrize(
    "condition",
    [
        "amqp:resource-limit-exceeded",
        pytest.param("com.microsoft:entity-disabled", marks=pytest.mark.long),
        pytest.param("amqp:unauthorized-access", marks=pytest.mark.long),
    ],
)
async def test_refusal_is_not_an_outage(
    broker: Broker, sender: MessageSender, requests_queue: str, condition: str
) -> None:
    """The queue is full or disabled, or the app has no right to send to it."""
    broker.refuse(Step.SEND, condition, times=10, queue=requests_queue)

    with pytest.raises(QueueRefusedError, match=requests_queue):
        await sender.send(requests_queue, outgoing())


@leaves_sockets
async def test_refusal_is_retried_once(
    broker: Broker, sender: MessageSender, requests_queue: str
) -> None:
    """The token of an idle connection may have expired."""
    broker.refuse(Step.SEND, "amqp:unauthorized-access", times=1, queue=requests_queue)

    await sender.send(requests_queue, outgoing())

    assert broker.queue(requests_queue) == QueueCounts(active=1)


@leaves_sockets
async def test_queue_with_sessions_is_refused(broker: Broker, sender: MessageSender) -> None:
    """The app's messages have no session id."""
    broker.add_queue("sessions", QueueOptions(requires_session=True))

    with pytest.raises(QueueRefusedError, match="require sessions"):
        await sender.send("sessions", outgoing())


@leaves_sockets
async def test_wrong_key_is_refused(broker: Broker, requests_queue: str) -> None:
    """The error has no secret."""
    host = f"sb://127.0.0.1:{broker.port}"
    key = secret_factory.symmetric_key()
    text = f"Endpoint={host};SharedAccessKeyName=owner;SharedAccessKey={key}"
    sender = MessageSender(
        ServiceBusSettings.read({"ServiceBus": text + ";UseDevelopmentEmulator=true"})
    )

    with pytest.raises(QueueRefusedError, match="credential"):
        await sender.send(requests_queue, outgoing())
    await sender.aclose()


@leaves_sockets
@pytest.mark.parametrize("end", ["detach_all", "close_all", "drop_all"])
async def test_sender_reconnects(
    broker: Broker, sender: MessageSender, requests_queue: str, end: str
) -> None:
    """The link, the session or the connection was closed."""
    await sender.send(requests_queue, outgoing("before"))
    getattr(broker, end)()

    await asyncio.gather(*(sender.send(requests_queue, outgoing(str(n))) for n in range(TASKS)))

    assert broker.queue(requests_queue) == QueueCounts(active=1 + TASKS)


@leaves_sockets
async def test_busy_service_is_retried(
    broker: Broker, sender: MessageSender, requests_queue: str
) -> None:
    """The send is retried until the service accepts the message."""
    broker.server_busy(2, queue=requests_queue)

    await sender.send(requests_queue, outgoing())

    assert broker.queue(requests_queue) == QueueCounts(active=1)


@leaves_sockets
async def test_unconfirmed_send_is_repeated_with_the_same_id(
    create_queues: CreateQueues, broker: Broker
) -> None:
    """The same id lets duplicate detection keep one message."""
    settings = create_queues(duplicate_detection=600)
    queue = settings.enrollment_requests_queue
    sender = MessageSender(settings, attempt_timeout=1)
    broker.leave_unconfirmed(Step.SEND, queue=queue)

    await sender.send(queue, outgoing())
    await sender.aclose()

    assert broker.queue(queue) == QueueCounts(active=1)


@leaves_sockets
async def test_unresponsive_service_times_out(
    broker: Broker, impatient_sender: MessageSender, requests_queue: str
) -> None:
    """Every caller gets an error, and the sender recovers afterwards."""
    broker.silence()

    async with asyncio.timeout(10):
        sends = [impatient_sender.send(requests_queue, outgoing(str(n))) for n in range(3)]
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
    broker.clear_faults()
    await impatient_sender.send(requests_queue, outgoing("after"))

    assert [type(outcome) for outcome in outcomes] == [QueueUnreachableError] * 3
    assert broker.queue(requests_queue).active >= 1


@leaves_sockets
async def test_closed_port_is_unreachable() -> None:
    """A refused connection is reported as an unreachable queue."""
    text = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=a;SharedAccessKey=b;"
    settings = ServiceBusSettings.read({"ServiceBus": text + "UseDevelopmentEmulator=true"})
    sender = MessageSender(settings, timeout=1, attempt_timeout=0.5)

    with pytest.raises(QueueUnreachableError):
        await sender.send("queue", outgoing())
    await sender.aclose()


@leaves_sockets
async def test_sender_works_after_all_callers_were_cancelled(
    broker: Broker, impatient_sender: MessageSender, requests_queue: str
) -> None:
    """The next send succeeds."""
    broker.ignore(Step.ATTACH, times=1, queue=requests_queue)
    sends = [
        asyncio.create_task(impatient_sender.send(requests_queue, outgoing())) for _ in range(3)
    ]
    await asyncio.sleep(0)
    for send in sends:
        send.cancel()
    await asyncio.gather(*sends, return_exceptions=True)

    await impatient_sender.send(requests_queue, outgoing("after"))

    assert broker.queue(requests_queue) == QueueCounts(active=1)


async def test_close_finishes_sends_in_flight(
    messaging: ServiceBusSettings, broker: Broker, requests_queue: str
) -> None:
    """A close leaves no tasks, and later sends raise."""
    tasks = len(asyncio.all_tasks())
    sender = MessageSender(messaging)
    send = asyncio.create_task(sender.send(requests_queue, outgoing()))
    await asyncio.sleep(0)

    await sender.aclose()
    await send

    assert broker.queue(requests_queue) == QueueCounts(active=1)
    assert len(asyncio.all_tasks()) == tasks
    with pytest.raises(QueueUnreachableError):
        await sender.send(requests_queue, outgoing())


@leaves_sockets
@pytest.mark.long
async def test_close_times_out(
    messaging: ServiceBusSettings, broker: Broker, requests_queue: str
) -> None:
    """Sends that are still pending raise."""
    broker.silence()
    sender = MessageSender(messaging)
    send = asyncio.create_task(sender.send(requests_queue, outgoing()))
    await asyncio.sleep(0)

    async with asyncio.timeout(25):
        await sender.aclose()

    with pytest.raises(QueueUnreachableError):
        await send
