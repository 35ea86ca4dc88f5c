"""
Hazards of azure-servicebus 7.15.0, each with the usage that avoids it.

Some are described in sdk/servicebus/azure-servicebus/TROUBLESHOOTING.md of
github.com/Azure/azure-sdk-for-python. Issue numbers are those of that repository.
"""

import asyncio
import contextlib
import subprocess
import sys
import threading
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSender
from azure.servicebus.aio import ServiceBusClient as AioClient
from azure.servicebus.exceptions import (
    MessageLockLostError,
    OperationTimeoutError,
    ServiceBusError,
)

from local.servicebus import Broker, QueueCounts, Step
from tests.local.servicebus.handlers import CLIENT, WAIT, Handlers, leaves_sockets, take

TASKS = 20

pytestmark = pytest.mark.usefixtures("faults_cleared")


def messages(count: int) -> list[ServiceBusMessage]:
    return [ServiceBusMessage("x", message_id=str(number)) for number in range(count)]


# A: a service that does not answer


@pytest.mark.parametrize("step", [Step.ATTACH, Step.TOKEN])
@leaves_sockets
def test_opening_ends_with_try_timeout(broker: Broker, queue: str, step: Step) -> None:
    """With try_timeout, opening a sender fails if the service does not answer."""
    broker.ignore(step, times=100)
    options: dict[str, Any] = {"try_timeout": 1, "retry_total": 0}

    with (
        pytest.raises(OperationTimeoutError),
        ServiceBusClient.from_connection_string(broker.connection_string, **options) as client,
        client.get_queue_sender(queue),
    ):
        pytest.fail("the sender was opened")


@leaves_sockets
def test_opening_without_try_timeout_does_not_end(broker: Broker, queue: str) -> None:
    """Without try_timeout, opening a sender hangs while the service does not answer."""
    broker.ignore(Step.ATTACH, times=1, queue=queue)
    client = ServiceBusClient.from_connection_string(broker.connection_string, retry_total=0)
    sender = client.get_queue_sender(queue)
    opening = threading.Thread(target=_send, args=(sender,), daemon=True)
    opening.start()

    opening.join(3)
    is_hanging = opening.is_alive()
    broker.drop_all()
    opening.join(WAIT)
    client.close()

    assert is_hanging


def _send(sender: ServiceBusSender) -> None:
    with contextlib.suppress(ServiceBusError):
        sender.send_messages(ServiceBusMessage("x"))


# B: one aio sender, many tasks (issues 36334 and 37916)


@leaves_sockets
async def test_new_aio_sender_fails_with_concurrent_tasks(broker: Broker, queue: str) -> None:
    """Concurrent first sends fail, or store messages more than once."""
    async with AioClient.from_connection_string(broker.connection_string, **CLIENT) as client:
        sender = client.get_queue_sender(queue)

        sends = map(sender.send_messages, messages(TASKS))
        async with asyncio.timeout(6 * WAIT):
            failures = await asyncio.gather(*sends, return_exceptions=True)

    assert any(failures) or broker.queue(queue).active > TASKS


@leaves_sockets
async def test_new_aio_sender_with_a_lock_sends_once(broker: Broker, queue: str) -> None:
    """With an asyncio.Lock around each send, every message is stored once."""
    lock = asyncio.Lock()
    async with AioClient.from_connection_string(broker.connection_string, **CLIENT) as client:
        sender = client.get_queue_sender(queue)

        async def send(message: ServiceBusMessage) -> None:
            async with lock:
                await sender.send_messages(message)

        await asyncio.gather(*map(send, messages(TASKS)))

    assert broker.queue(queue) == QueueCounts(active=TASKS)


# C: one sync sender, many threads (issues 21385, 20442)


# Threads that hang can only be ended with their process.
SHARED_SENDER = """
import os, sys, threading
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSender
client = ServiceBusClient.from_connection_string(sys.argv[1], try_timeout=3, retry_total=0)
sender, done = client.get_queue_sender(sys.argv[2]), []

def send():
    for _ in range(25):
        sender.send_messages(ServiceBusMessage("x"), timeout=3)
        done.append(1)

threads = [threading.Thread(target=send, daemon=True) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(1)
print(len(done), flush=True)
os._exit(0)
"""


def test_new_sync_sender_fails_with_concurrent_threads(broker: Broker, queue: str) -> None:
    """Threads that share a sender raise errors of its internal state, or hang."""

    def sends_that_returned() -> int:
        command = [sys.executable, "-c", SHARED_SENDER, broker.connection_string, queue]
        ran = subprocess.run(command, capture_output=True, timeout=60, check=True)  # noqa: S603
        return int(ran.stdout)

    assert any(sends_that_returned() < 8 * 25 for _ in range(3))


@leaves_sockets
def test_sync_sender_with_a_lock_works_for_many_threads(
    broker: Broker, handlers: Handlers, queue: str
) -> None:
    """With a threading.Lock around each send, every message is stored once."""
    sender, lock = handlers.sender(queue), threading.Lock()

    def send() -> None:
        for message in messages(TASKS):
            with lock:
                sender.send_messages(message)

    threads = [threading.Thread(target=send, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)

    assert not any(thread.is_alive() for thread in threads)
    assert broker.queue(queue) == QueueCounts(active=4 * TASKS)


# D: one aio client, several event loops


@leaves_sockets
def test_client_of_another_event_loop_raises_after_sending(broker: Broker, queue: str) -> None:
    """A client used in a second event loop raises CancelledError, although it sends."""
    client = AioClient.from_connection_string(broker.connection_string, **CLIENT)
    sender = client.get_queue_sender(queue)

    asyncio.run(sender.send_messages(ServiceBusMessage("first loop")))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(asyncio.wait_for(sender.send_messages(ServiceBusMessage("second")), WAIT))

    assert broker.queue(queue) == QueueCounts(active=2)


@leaves_sockets
def test_client_per_event_loop_sends_once(broker: Broker, queue: str) -> None:
    """With a client for each event loop, every message is stored once."""

    async def send() -> None:
        async with AioClient.from_connection_string(broker.connection_string, **CLIENT) as client:
            await client.get_queue_sender(queue).send_messages(ServiceBusMessage("x"))

    asyncio.run(send())
    asyncio.run(send())

    assert broker.queue(queue) == QueueCounts(active=2)


# E: settlements that are not confirmed (issue 48143)


@leaves_sockets
def test_lock_lost_error_may_follow_a_settlement(
    broker: Broker, handlers: Handlers, queue: str
) -> None:
    """The SDK retries an unconfirmed settlement, and finds no lock: handlers must be idempotent."""
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    # An undocumented option: how long to wait for the confirmation; the default is a minute.
    receiver = handlers.receiver(queue, timeout=1)
    [message] = take(receiver)
    broker.leave_unconfirmed(Step.SETTLE, queue=queue)

    with pytest.raises(MessageLockLostError):
        receiver.complete_message(message)

    assert broker.queue(queue) == QueueCounts()


@leaves_sockets
def test_message_can_be_settled_after_a_detach(
    broker: Broker, handlers: Handlers, queue: str
) -> None:
    """A message whose link was detached is settled through $management."""
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    receiver = handlers.receiver(queue)
    [message] = take(receiver)

    broker.detach_all()
    receiver.complete_message(message)

    assert broker.queue(queue) == QueueCounts()
