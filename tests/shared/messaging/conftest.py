"""A broker for each module, and for each test the queues of an app of its own."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient

from local.servicebus import Broker, BrokerOptions, QueueOptions
from local.threads import in_thread
from shared.messaging.copies import Reason, park
from shared.messaging.messages import Message
from shared.messaging.rejected import RejectedMessages
from shared.messaging.sending import Sender
from shared.settings import MessagingSettings
from tests import secret_factory
from tests.local.servicebus.handlers import WAIT
from tests.shared.messaging.requesting import request

_NUMBERS = count(1)
ENQUEUED = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """One that checks signatures and knows no queues."""
    keys = {"owner": secret_factory.symmetric_key()}
    with in_thread(Broker(BrokerOptions(port=0, keys=keys, auto_create=False))) as running:
        yield running


@pytest.fixture
def app(broker: Broker) -> Iterator[Callable[..., MessagingSettings]]:
    """Makes the settings of an app and its queues, all of them with the options given."""

    def make(**options: Any) -> MessagingSettings:
        number = next(_NUMBERS)
        names = {
            "ENROLLMENT_REQUESTS_QUEUE": f"requests-{number}",
            "BULK_OPERATIONS_QUEUE": f"bulk-{number}",
            "ENROLLMENT_REJECTED_QUEUE": f"rejected-{number}",
            "ENROLLMENT_RESULTS_QUEUE": f"results-{number}",
        }
        for name in names.values():
            broker.add_queue(name, QueueOptions(**options))
        return MessagingSettings.read({"ServiceBus": broker.connection_string, **names})

    yield make
    broker.clear_faults()


@pytest.fixture
def messaging(app: Callable[..., MessagingSettings]) -> MessagingSettings:
    """The settings of an app whose queues soon dead-letter what fails."""
    return app(max_delivery_count=3)


@pytest.fixture
def requests_queue(messaging: MessagingSettings) -> str:
    """The name of the queue of single requests."""
    return messaging.enrollment_requests_queue


@pytest.fixture
def rejected_queue(messaging: MessagingSettings) -> str:
    """The name of the rejected queue."""
    return messaging.enrollment_rejected_queue


@pytest.fixture
async def sender(messaging: MessagingSettings) -> AsyncIterator[Sender]:
    """A sender as the app has one."""
    made = Sender(messaging)
    yield made
    await made.aclose()


@pytest.fixture
async def hasty_sender(messaging: MessagingSettings) -> AsyncIterator[Sender]:
    """A sender that gives up soon."""
    made = Sender(messaging, seconds=2, attempt_seconds=0.8)
    yield made
    await made.aclose()


@pytest.fixture
def rejected(messaging: MessagingSettings, sender: Sender) -> RejectedMessages:
    """The rejected messages of the app."""
    return RejectedMessages(messaging, sender, wait=0.5)


@pytest.fixture
async def client(broker: Broker) -> AsyncIterator[ServiceBusClient]:
    """The SDK itself, as a user of the queues has it."""
    options = {"try_timeout": WAIT, "retry_total": 1, "retry_backoff_factor": 0.05}
    async with ServiceBusClient.from_connection_string(
        broker.connection_string, **options
    ) as connected:
        yield connected


@pytest.fixture
def put(client: ServiceBusClient) -> Callable[..., Any]:
    """Sends messages of the SDK's."""

    async def send(queue: str, *messages: ServiceBusMessage) -> None:
        async with client.get_queue_sender(queue) as opened:
            await opened.send_messages(list(messages))

    return send


@pytest.fixture
def look(client: ServiceBusClient) -> Callable[..., Any]:
    """Shows the messages of a queue, or of its dead-letter queue, in their order."""

    async def peek(queue: str, sub_queue: str | None = None) -> list[ServiceBusReceivedMessage]:
        async with client.get_queue_receiver(queue, sub_queue=sub_queue) as receiver:
            return await receiver.peek_messages(200, sequence_number=1)

    return peek


@pytest.fixture
def park_one(messaging, sender: Sender):
    """Parks a message with this body as the app does."""
    number = 0

    async def act(body: bytes, reason: str = "Invalid", **options) -> None:
        nonlocal number
        number += 1
        message = Message(
            body=body,
            queue=messaging.enrollment_requests_queue,
            sequence_number=number,
            message_id=f"first-{number}",
            enqueued_time_utc=ENQUEUED,
            **options,
        )
        description = Reason(reason=reason, description="d", error_code=400, tracking_id="t")
        await park(sender, messaging.enrollment_rejected_queue, message, description)

    return act


@pytest.fixture
def dead_letter(client):
    """Dead-letters the first message of a queue."""

    async def act(queue: str) -> None:
        async with client.get_queue_receiver(queue) as receiver:
            [received] = await receiver.receive_messages(1, max_wait_time=WAIT)
            await receiver.dead_letter_message(received, reason="Bad")

    return act


@pytest.fixture
def park_some(messaging, sender: Sender):
    """Parks a request for each of these records as the app does."""

    async def act(*ids: str, **options) -> None:
        for number, id in enumerate(ids, start=1):
            message = Message(
                body=request(id),
                queue=options.get("queue", messaging.enrollment_requests_queue),
                sequence_number=number,
                message_id=id,
            )
            await park(sender, messaging.enrollment_rejected_queue, message, Reason(reason="Bad"))

    return act
