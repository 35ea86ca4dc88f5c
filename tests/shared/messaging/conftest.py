"""Fixtures: one Service Bus stand-in per module, and new queues for each test."""

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage

from local.servicebus import Broker, BrokerOptions, QueueOptions
from local.threads import in_thread
from shared.messaging.copies import RejectionReason, reject
from shared.messaging.messages import Message
from shared.messaging.rejected.service import RejectedMessages
from shared.messaging.sender import MessageSender
from shared.settings import ServiceBusSettings
from tests import secret_factory
from tests.local.servicebus.handlers import WAIT
from tests.shared.messaging.samples import ENQUEUED, CreateQueues, Peek, Put, delete_request

_NUMBERS = count(1)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A Service Bus stand-in that verifies signatures and has no queues."""
    keys = {"owner": secret_factory.symmetric_key()}
    with in_thread(Broker(BrokerOptions(port=0, keys=keys, auto_create=False))) as running:
        yield running


@pytest.fixture
def create_queues(broker: Broker) -> Iterator[CreateQueues]:
    """Creates the queues of an app with the options given; returns the app's settings."""

    def create(**options: Any) -> ServiceBusSettings:
        number = next(_NUMBERS)
        names = {
            "ENROLLMENT_REQUESTS_QUEUE": f"requests-{number}",
            "BULK_OPERATIONS_QUEUE": f"bulk-{number}",
            "ENROLLMENT_REJECTED_QUEUE": f"rejected-{number}",
            "ENROLLMENT_RESULTS_QUEUE": f"results-{number}",
        }
        for name in names.values():
            broker.add_queue(name, QueueOptions(**options))
        return ServiceBusSettings.read({"ServiceBus": broker.connection_string, **names})

    yield create
    broker.clear_faults()


@pytest.fixture
def messaging(create_queues: CreateQueues) -> ServiceBusSettings:
    """The settings of an app with queues that dead-letter at the third failed delivery."""
    return create_queues(max_delivery_count=3)


@pytest.fixture
def requests_queue(messaging: ServiceBusSettings) -> str:
    """The name of the enrollment requests queue."""
    return messaging.enrollment_requests_queue


@pytest.fixture
def rejected_queue(messaging: ServiceBusSettings) -> str:
    """The name of the rejected queue."""
    return messaging.enrollment_rejected_queue


@pytest.fixture
async def sender(messaging: ServiceBusSettings) -> AsyncIterator[MessageSender]:
    """A sender with the app's timeouts."""
    created = MessageSender(messaging)
    yield created
    await created.aclose()


@pytest.fixture
async def impatient_sender(messaging: ServiceBusSettings) -> AsyncIterator[MessageSender]:
    """A sender with short timeouts."""
    created = MessageSender(messaging, timeout=2, attempt_timeout=0.8)
    yield created
    await created.aclose()


@pytest.fixture
def rejected(messaging: ServiceBusSettings, sender: MessageSender) -> RejectedMessages:
    """The rejected messages of the app."""
    return RejectedMessages(messaging, sender, idle_timeout=0.5)


@pytest.fixture
async def client(broker: Broker) -> AsyncIterator[ServiceBusClient]:
    """A client of the SDK, independent of the app."""
    async with ServiceBusClient.from_connection_string(
        broker.connection_string, try_timeout=WAIT, retry_total=1, retry_backoff_factor=0.05
    ) as connected:
        yield connected


@pytest.fixture
def put(client: ServiceBusClient) -> Put:
    """Sends messages of the SDK to a queue."""

    async def send(queue: str, *messages: ServiceBusMessage | AmqpAnnotatedMessage) -> None:
        async with client.get_queue_sender(queue) as opened:
            for message in messages:
                await opened.send_messages(message)

    return send


@pytest.fixture
def peek(client: ServiceBusClient) -> Peek:
    """Returns the messages of a queue."""

    async def peek_all(queue: str, sub_queue: str | None = None) -> list[Any]:
        async with client.get_queue_receiver(queue, sub_queue=sub_queue) as receiver:
            return await receiver.peek_messages(200, sequence_number=1)

    return peek_all


@pytest.fixture
def reject_one(messaging: ServiceBusSettings, sender: MessageSender) -> Callable[..., Any]:
    """Rejects a message with this body, as the app does."""
    numbers = count(1)

    async def send(body: bytes, reason: str = "Invalid", **options: Any) -> None:
        number = next(numbers)
        message = Message(
            body=body,
            queue=messaging.enrollment_requests_queue,
            sequence_number=number,
            message_id=f"first-{number}",
            enqueued_time_utc=ENQUEUED,
            **options,
        )
        description = RejectionReason(
            reason=reason, description="d", error_code=400, tracking_id="t"
        )
        await reject(sender, messaging.enrollment_rejected_queue, message, description)

    return send


@pytest.fixture
def reject_some(messaging: ServiceBusSettings, sender: MessageSender) -> Callable[..., Any]:
    """Rejects a delete request for each of these ids, as the app does."""

    async def send(*ids: str, queue: str | None = None) -> None:
        for number, id in enumerate(ids, start=1):
            message = Message(
                body=delete_request(id),
                queue=queue or messaging.enrollment_requests_queue,
                sequence_number=number,
                message_id=id,
            )
            reason = RejectionReason(reason="Bad")
            await reject(sender, messaging.enrollment_rejected_queue, message, reason)

    return send


@pytest.fixture
def dead_letter(client: ServiceBusClient) -> Callable[..., Any]:
    """Dead-letters the first message of a queue."""

    async def receive_and_dead_letter(queue: str) -> None:
        async with client.get_queue_receiver(queue) as receiver:
            [received] = await receiver.receive_messages(1, max_wait_time=WAIT)
            await receiver.dead_letter_message(received, reason="Bad")

    return receive_and_dead_letter
