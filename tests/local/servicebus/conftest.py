"""A broker and a client for each module, and a queue for each test."""

import gc
import warnings
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient
from azure.servicebus.aio import ServiceBusClient as AioClient

from local.servicebus import Broker, BrokerOptions, QueueOptions
from local.threads import in_thread
from tests.local.servicebus.handlers import CLIENT, Handlers, NewQueue

KEYS = {"RootManageSharedAccessKey": "SAS_KEY_VALUE"}
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker that checks tokens and does not create queues on first use."""
    with in_thread(Broker(BrokerOptions(port=0, keys=KEYS, auto_create=False))) as running:
        yield running
    # The handlers of a module keep the sockets of the connections that they lost.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


@pytest.fixture
def faults_cleared(broker: Broker) -> Iterator[None]:
    """Removes the faults that a test injected."""
    yield
    broker.clear_faults()


@pytest.fixture(scope="module")
def client(broker: Broker) -> Iterator[ServiceBusClient]:
    """A synchronous SDK client."""
    with ServiceBusClient.from_connection_string(broker.connection_string, **CLIENT) as connected:
        yield connected


@pytest.fixture
async def aio_client(broker: Broker) -> AsyncIterator[AioClient]:
    """An asyncio SDK client."""
    string = broker.connection_string
    async with AioClient.from_connection_string(string, **CLIENT) as client:
        yield client


@pytest.fixture(scope="module")
def handlers(client: ServiceBusClient) -> Iterator[Handlers]:
    """Senders and receivers, open until the module ends."""
    opened = Handlers(client)
    yield opened
    opened.close()


@pytest.fixture
def new_queue(broker: Broker) -> NewQueue:
    """Creates queues that only this test uses."""

    def create(**options: Any) -> str:
        name = f"queue-{next(_NUMBERS)}"
        broker.add_queue(name, QueueOptions(**options))
        return name

    return create


@pytest.fixture
def queue(new_queue: NewQueue) -> str:
    """The name of a queue with default options."""
    return new_queue()
