"""What a sender does about queues that refuse, services that fail, callers that go away."""

import asyncio

import pytest

from local.servicebus import Broker, QueueCounts, QueueOptions, Step
from shared.errors import QueueRefusedError, QueueUnreachableError
from shared.messaging.sending import Sender
from shared.settings import MessagingSettings
from tests import secret_factory
from tests.local.servicebus.handlers import leaves_sockets
from tests.shared.messaging.requesting import message

TASKS = 50


@leaves_sockets
async def test_missing_queue_refuses(sender: Sender):
    """It is named, and the SDK's error is the cause."""
    with pytest.raises(QueueRefusedError, match="no queue nowhere") as caught:
        await sender.send("nowhere", message())

    assert type(caught.value.__cause__).__name__ == "MessagingEntityNotFoundError"


@leaves_sockets
@pytest.mark.parametrize(
    "condition",
    ["amqp:resource-limit-exceeded", "com.microsoft:entity-disabled", "amqp:unauthorized-access"],
)
async def test_queue_that_refuses_is_told_from_one_that_fails(
    broker: Broker, sender: Sender, requests_queue, condition
):
    """A queue that is full or disabled, or not ours to send to."""
    broker.refuse(Step.SEND, condition, times=10, queue=requests_queue)

    with pytest.raises(QueueRefusedError, match=requests_queue):
        await sender.send(requests_queue, message())


@leaves_sockets
async def test_refusal_is_not_believed_at_once(broker: Broker, sender: Sender, requests_queue):
    """The token of an idle connection expires."""
    broker.refuse(Step.SEND, "amqp:unauthorized-access", times=1, queue=requests_queue)

    await sender.send(requests_queue, message())

    assert broker.queue(requests_queue) == QueueCounts(active=1)


@leaves_sockets
async def test_queue_that_requires_sessions_refuses(broker: Broker, sender: Sender):
    """Requests belong to none."""
    broker.add_queue("sessions", QueueOptions(requires_session=True))

    with pytest.raises(QueueRefusedError, match="require sessions"):
        await sender.send("sessions", message())


@leaves_sockets
async def test_wrong_key_refuses_and_is_not_told(broker: Broker, requests_queue):
    """The error names the queue alone."""
    host = f"sb://127.0.0.1:{broker.port}"
    key = secret_factory.symmetric_key()
    text = f"Endpoint={host};SharedAccessKeyName=owner;SharedAccessKey={key}"
    sender = Sender(MessagingSettings.read({"ServiceBus": text + ";UseDevelopmentEmulator=true"}))

    with pytest.raises(QueueRefusedError, match="credential"):
        await sender.send(requests_queue, message())
    await sender.aclose()


@leaves_sockets
@pytest.mark.parametrize("end", ["detach_all", "close_all", "drop_all"])
async def test_sender_recovers(broker: Broker, sender: Sender, requests_queue, end):
    """The next send opens what has ended."""
    await sender.send(requests_queue, message("before"))
    getattr(broker, end)()

    await asyncio.gather(*(sender.send(requests_queue, message(str(n))) for n in range(TASKS)))

    assert broker.queue(requests_queue) == QueueCounts(active=1 + TASKS)


@leaves_sockets
async def test_busy_service_is_asked_again(broker: Broker, sender: Sender, requests_queue):
    """A send succeeds once it has time."""
    broker.server_busy(2, queue=requests_queue)

    await sender.send(requests_queue, message())

    assert broker.queue(requests_queue) == QueueCounts(active=1)


@leaves_sockets
async def test_lost_confirmation_repeats_the_message(app, broker: Broker):
    """Under the same id: duplicate detection drops it."""
    settings = app(duplicate_detection=600)
    queue = settings.enrollment_requests_queue
    sender = Sender(settings, attempt_seconds=1)
    broker.leave_unconfirmed(Step.SEND, queue=queue)

    await sender.send(queue, message())
    await sender.aclose()

    assert broker.queue(queue) == QueueCounts(active=1)


@leaves_sockets
async def test_silence_ends_in_time(broker: Broker, hasty_sender: Sender, requests_queue):
    """Everybody who waits is told, and the sender works again when the service does."""
    broker.silence()

    async with asyncio.timeout(10):
        sends = [hasty_sender.send(requests_queue, message(str(n))) for n in range(3)]
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
    broker.clear_faults()
    await hasty_sender.send(requests_queue, message("after"))

    assert [type(outcome) for outcome in outcomes] == [QueueUnreachableError] * 3
    assert broker.queue(requests_queue).active >= 1


@leaves_sockets
async def test_nobody_there_is_unreachable():
    """A namespace that cannot be connected to."""
    text = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=a;SharedAccessKey=b;"
    settings = MessagingSettings.read({"ServiceBus": text + "UseDevelopmentEmulator=true"})
    sender = Sender(settings, seconds=1, attempt_seconds=0.5)

    with pytest.raises(QueueUnreachableError):
        await sender.send("queue", message())
    await sender.aclose()


@leaves_sockets
async def test_sender_that_nobody_waits_for_rests(
    broker: Broker, hasty_sender: Sender, requests_queue
):
    """After all callers were cancelled; the next one is served."""
    broker.ignore(Step.ATTACH, times=1, queue=requests_queue)
    sends = [asyncio.create_task(hasty_sender.send(requests_queue, message())) for _ in range(3)]
    await asyncio.sleep(0)
    for send in sends:
        send.cancel()
    await asyncio.gather(*sends, return_exceptions=True)

    await hasty_sender.send(requests_queue, message("after"))

    assert broker.queue(requests_queue) == QueueCounts(active=1)


async def test_closing_finishes_what_is_under_way(messaging, broker: Broker, requests_queue):
    """And leaves neither tasks nor connections."""
    tasks = len(asyncio.all_tasks())
    sender = Sender(messaging)
    send = asyncio.create_task(sender.send(requests_queue, message()))
    await asyncio.sleep(0)

    await sender.aclose()
    await send

    assert broker.queue(requests_queue) == QueueCounts(active=1)
    assert len(asyncio.all_tasks()) == tasks
    with pytest.raises(QueueUnreachableError):
        await sender.send(requests_queue, message())


@leaves_sockets
@pytest.mark.long
async def test_closing_does_not_wait_for_ever(messaging, broker: Broker, requests_queue):
    """Who waits for a service that does not answer is told."""
    broker.silence()
    sender = Sender(messaging)
    send = asyncio.create_task(sender.send(requests_queue, message()))
    await asyncio.sleep(0)

    async with asyncio.timeout(25):
        await sender.aclose()

    with pytest.raises(QueueUnreachableError):
        await send
