"""`python -m local.host` with a queue trigger: no message is lost when the process ends."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from local.servicebus import Broker, BrokerOptions, QueueOptions
from local.threads import in_thread
from tests.local.host.toy_apps import Until, WriteApp
from tests.processes import Process, run_modules

APP = """
import os

log = os.open(os.environ["TOY_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

@app.service_bus_queue_trigger(
    arg_name="message", queue_name="%TOY_QUEUE%", connection="ServiceBus",
    data_type=func.DataType.BINARY,
)
async def consume(message: func.ServiceBusMessage) -> None:
    os.write(log, f"{message.message_id} {message.delivery_count}\\n".encode())
    await asyncio.sleep(0)
    if message.get_body() == b"poison":
        raise ValueError("not today")
"""
QUEUE = QueueOptions(max_delivery_count=5)


RunHost = Callable[[], Awaitable[Process]]


class DeliveryLog:
    """The log of the deliveries: a line with message id and delivery count for each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def counts(self) -> dict[str, list[int]]:
        """Returns the delivery counts by message id."""
        counts = defaultdict(list)
        for line in self.path.read_text().splitlines():
            message_id, _, count = line.partition(" ")
            counts[message_id].append(int(count))
        return dict(counts)


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A broker with one queue."""
    with in_thread(Broker(BrokerOptions(port=0, queues={"work": QUEUE}))) as running:
        yield running


@pytest.fixture
def deliveries(tmp_path: Path) -> DeliveryLog:
    """The log that the function writes."""
    return DeliveryLog(tmp_path / "log")


@pytest.fixture
async def run_host(
    broker: Broker, deliveries: DeliveryLog, write_app: WriteApp
) -> AsyncIterator[RunHost]:
    """Starts a host process with the app."""
    variables = {
        "ServiceBus": broker.connection_string,
        "TOY_QUEUE": "work",
        "TOY_LOG": str(deliveries.path),
    }
    async with run_modules() as start:
        yield partial(start, "local.host", "--app", write_app(APP), "--port", 0, **variables)


def send_many(broker: Broker, count: int, *poison: str) -> None:
    """Sends the `poison` messages, then `count` messages with numbers as ids."""
    bodies = [(name, b"poison") for name in poison]
    bodies += [(str(number), b"a body") for number in range(count)]
    messages = [ServiceBusMessage(body, message_id=name) for name, body in bodies]
    with (
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_sender("work") as sender,
    ):
        for start in range(0, len(messages), 200):
            sender.send_messages(messages[start : start + 200])


async def test_signal_drains_the_queue_function(
    run_host: RunHost, broker: Broker, deliveries: DeliveryLog, until: Until
) -> None:
    """The host prints the queue; at SIGTERM it completes messages in flight and exits with 0."""
    send_many(broker, 20)
    process = await run_host()
    lines = (await process.stdout.readuntil(b"ready\n")).decode().splitlines()
    await until(deliveries.counts)

    process.terminate()
    code = await asyncio.wait_for(process.wait(), 10)

    assert lines[2] == "  consume  serviceBusTrigger  queue work, connection ServiceBus"
    assert (code, broker.queue("work").locked) == (0, 0)
    assert broker.statistics.completed == len(deliveries.counts())


@pytest.mark.long
async def test_each_message_is_delivered_once(
    run_host: RunHost, broker: Broker, deliveries: DeliveryLog, until: Until
) -> None:
    """2,000 messages take 2,000 deliveries."""
    send_many(broker, 2000)

    await run_host()
    await until(lambda: broker.statistics.completed == 2000, within=60)

    assert deliveries.counts() == {str(number): [1] for number in range(2000)}
    assert (broker.statistics.delivered, broker.statistics.locks_lost) == (2000, 0)


@pytest.mark.long
async def test_killed_host_loses_nothing(
    run_host: RunHost, broker: Broker, deliveries: DeliveryLog, until: Until
) -> None:
    """After SIGKILL every message is delivered, and the delivery counts are correct."""
    send_many(broker, 2000, "poison-1", "poison-2")
    process = await run_host()
    await until(lambda: broker.statistics.completed > 500, within=30)

    process.kill()
    await process.wait()
    completed = broker.statistics.completed
    broker.advance(QUEUE.lock_duration + 1)
    await run_host()
    await until(lambda: broker.statistics.completed == 2000, within=60)
    await until(lambda: broker.queue("work").dead_lettered == 2)

    counts_by_id = deliveries.counts()
    assert completed < 2000
    assert set(counts_by_id) == {"poison-1", "poison-2", *(str(number) for number in range(2000))}
    # A count is missing if the process was killed between the delivery and the call.
    assert all(
        counts in ([1], [1, 2], [2]) for name, counts in counts_by_id.items() if name.isdigit()
    )
    assert all(counts_by_id[name][-1] == 5 for name in ("poison-1", "poison-2"))
