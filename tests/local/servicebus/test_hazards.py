"""What goes wrong with azure-servicebus 7.15.0, each with the use of it that does not.

The SDK's own account of some of them: sdk/servicebus/azure-servicebus/TROUBLESHOOTING.md in
github.com/Azure/azure-sdk-for-python. Where that repository has an issue, the test names it.
"""

import asyncio
import contextlib
import subprocess
import sys
import threading
import time

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient as AioClient
from azure.servicebus.exceptions import (
    MessageLockLostError,
    OperationTimeoutError,
    ServiceBusError,
)

from local.servicebus import Broker, QueueCounts, Step
from tests.local.servicebus.conftest import CLIENT
from tests.local.servicebus.handlers import WAIT, Handlers, leaves_sockets, take

TASKS = 20


@pytest.fixture(autouse=True)
def nothing_ordered(broker: Broker):
    """What a test orders ends with it."""
    yield
    broker.clear_faults()


def messages(count: int) -> list[ServiceBusMessage]:
    return [ServiceBusMessage("x", message_id=str(number)) for number in range(count)]


# A: a service that does not answer


@pytest.mark.parametrize("step", [Step.ATTACH, Step.TOKEN])
@leaves_sockets
def test_opening_ends_with_try_timeout(broker: Broker, queue, step):
    """Without it a sender waits for ever for a service that does not answer."""
    broker.ignore(step, times=100)
    options = {"try_timeout": 1, "retry_total": 0}

    with (
        pytest.raises(OperationTimeoutError),
        ServiceBusClient.from_connection_string(broker.connection_string, **options) as client,
        client.get_queue_sender(queue),
    ):
        pytest.fail("it was opened")


@leaves_sockets
def test_opening_without_try_timeout_does_not_end(broker: Broker, queue):
    """It goes on until the service answers after all."""
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


def _send(sender):
    with contextlib.suppress(ServiceBusError):
        sender.send_messages(ServiceBusMessage("x"))


# B: one aio sender, many tasks (issues 36334 and 37916)


@leaves_sockets
async def test_cold_aio_sender_is_not_for_many_tasks(broker: Broker, queue):
    """Sends fail, or all seem well and the queue has got far more than was sent."""
    async with AioClient.from_connection_string(broker.connection_string, **CLIENT) as client:
        sender = client.get_queue_sender(queue)

        sends = map(sender.send_messages, messages(TASKS))
        async with asyncio.timeout(6 * WAIT):
            failures = await asyncio.gather(*sends, return_exceptions=True)

    assert any(failures) or broker.queue(queue).active > TASKS


@leaves_sockets
async def test_cold_aio_sender_behind_a_lock_sends_once(broker: Broker, queue):
    """With an asyncio.Lock around each send."""
    lock = asyncio.Lock()
    async with AioClient.from_connection_string(broker.connection_string, **CLIENT) as client:
        sender = client.get_queue_sender(queue)

        async def send(message):
            async with lock:
                await sender.send_messages(message)

        await asyncio.gather(*map(send, messages(TASKS)))

    assert broker.queue(queue) == QueueCounts(active=TASKS)


# C: one sync sender, many threads (issues 21385, 20442)


# Threads that wait for ever can only be ended with their process.
SHARED_SENDER = """
import os, sys, threading
from azure.servicebus import ServiceBusClient, ServiceBusMessage
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


def test_cold_sync_sender_is_not_for_many_threads(broker: Broker, queue):
    """Threads that share it end in errors of its inner state, or wait for ever."""

    def sends_that_returned() -> int:
        command = [sys.executable, "-c", SHARED_SENDER, broker.connection_string, queue]
        ran = subprocess.run(command, capture_output=True, timeout=60, check=True)  # noqa: S603
        return int(ran.stdout)

    assert any(sends_that_returned() < 8 * 25 for _ in range(3))


@leaves_sockets
def test_sync_sender_behind_a_lock_serves_many_threads(broker: Broker, handlers: Handlers, queue):
    """Without the threading.Lock threads lose sends and wait for ever."""
    sender, lock = handlers.sender(queue), threading.Lock()

    def send():
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
def test_client_that_outlives_its_loop_raises_for_what_it_sent(broker: Broker, queue):
    """In a second loop the call is cancelled by nobody, and its message is stored all the same."""
    client = AioClient.from_connection_string(broker.connection_string, **CLIENT)
    sender = client.get_queue_sender(queue)

    asyncio.run(sender.send_messages(ServiceBusMessage("first loop")))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(asyncio.wait_for(sender.send_messages(ServiceBusMessage("second")), WAIT))

    assert broker.queue(queue) == QueueCounts(active=2)


@leaves_sockets
def test_client_of_each_loop_sends_once(broker: Broker, queue):
    """With a client for each event loop every send is what it seems."""

    async def send():
        async with AioClient.from_connection_string(broker.connection_string, **CLIENT) as client:
            await client.get_queue_sender(queue).send_messages(ServiceBusMessage("x"))

    asyncio.run(send())
    asyncio.run(send())

    assert broker.queue(queue) == QueueCounts(active=2)


# E: links that the service ends after ten idle minutes (issues 10127, 18795, 38627)


@leaves_sockets
def test_short_backoff_recovers_fast(broker: Broker, queue):
    """With the default of 0.8 the next send takes more than two seconds."""
    options = CLIENT | {"retry_backoff_factor": 0.01}
    with (
        ServiceBusClient.from_connection_string(broker.connection_string, **options) as client,
        client.get_queue_sender(queue) as sender,
    ):
        sender.send_messages(ServiceBusMessage("before"))
        broker.detach_all()
        started = time.monotonic()

        sender.send_messages(ServiceBusMessage("after"))

        took = time.monotonic() - started
    assert broker.queue(queue) == QueueCounts(active=2)
    assert took < WAIT


# F: settlements that are not confirmed (issue 48143)


@leaves_sockets
def test_lost_lock_may_mean_that_all_is_done(broker: Broker, handlers: Handlers, queue):
    """The SDK asks again when it hears nothing, and finds no lock: handlers must be idempotent."""
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    # Not documented: for how long it listens, a minute otherwise.
    receiver = handlers.receiver(queue, timeout=1)
    [message] = take(receiver)
    broker.leave_unconfirmed(Step.SETTLE, queue=queue)

    with pytest.raises(MessageLockLostError):
        receiver.complete_message(message)

    assert broker.queue(queue) == QueueCounts()


@leaves_sockets
def test_settlement_after_a_detach_is_done(broker: Broker, handlers: Handlers, queue):
    """Through management, at once."""
    handlers.sender(queue).send_messages(ServiceBusMessage("x"))
    receiver = handlers.receiver(queue)
    [message] = take(receiver)

    broker.detach_all()
    receiver.complete_message(message)

    assert broker.queue(queue) == QueueCounts()
