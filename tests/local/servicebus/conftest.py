"""A broker and a client for each module, and a queue for each test."""

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient
from azure.servicebus.aio import ServiceBusClient as AioClient

from local.servicebus import Broker, BrokerOptions, QueueOptions
from local.threads import in_thread
from tests.local.servicebus.handlers import Handlers

# As the SDK is to be used: without try_timeout it can wait for ever (see test_hazards).
CLIENT = {"try_timeout": 10, "retry_total": 1, "retry_backoff_factor": 0.05}
KEYS = {"RootManageSharedAccessKey": "SAS_KEY_VALUE"}
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """One that checks tokens and knows no queues."""
    with in_thread(Broker(BrokerOptions(port=0, keys=KEYS, auto_create=False))) as running:
        yield running


@pytest.fixture(scope="module")
def client(broker: Broker) -> Iterator[ServiceBusClient]:
    """The SDK, sync."""
    with ServiceBusClient.from_connection_string(broker.connection_string, **CLIENT) as connected:
        yield connected


@pytest.fixture
async def aio_client(broker: Broker) -> AsyncIterator[AioClient]:
    """The SDK, asyncio."""
    string = broker.connection_string
    async with AioClient.from_connection_string(string, **CLIENT) as client:
        yield client


@pytest.fixture(scope="module")
def handlers(client: ServiceBusClient) -> Iterator[Handlers]:
    """Senders and receivers, kept until the module ends."""
    opened = Handlers(client)
    yield opened
    opened.close()


@pytest.fixture
def new_queue(broker: Broker) -> Callable[..., str]:
    """Makes queues that only this test uses."""

    def make(**options: Any) -> str:
        name = f"queue-{next(_NUMBERS)}"
        broker.add_queue(name, QueueOptions(**options))
        return name

    return make


@pytest.fixture
def queue(new_queue: Callable[..., str]) -> str:
    """The name of a queue of all defaults."""
    return new_queue()
