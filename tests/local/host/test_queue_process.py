"""`python -m local.host` fed from a queue: nothing is lost, whatever becomes of the process."""

import asyncio
from collections import defaultdict
from functools import partial

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from local.servicebus import Broker, BrokerOptions, QueueOptions
from local.threads import in_thread
from tests.processes import modules_run

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


@pytest.fixture
def broker():
    """A broker of its own, with one queue."""
    with in_thread(Broker(BrokerOptions(port=0, queues={"work": QUEUE}))) as running:
        yield running


@pytest.fixture
def deliveries(tmp_path):
    """The delivery counts that the function has seen, by message id."""
    path = tmp_path / "log"
    path.touch()

    def read():
        seen = defaultdict(list)
        # A line that is being written has no end yet.
        for line in path.read_text().splitlines():
            message_id, _, count = line.partition(" ")
            seen[message_id].append(int(count))
        return dict(seen)

    read.path = path
    return read


@pytest.fixture
async def run_host(broker, deliveries, write_app):
    """Starts a host for the toy app."""
    variables = {
        "ServiceBus": broker.connection_string,
        "TOY_QUEUE": "work",
        "TOY_LOG": str(deliveries.path),
    }
    async with modules_run() as start:
        yield partial(start, "local.host", "--app", write_app(APP), "--port", 0, **variables)


def send_many(broker, count, *poison):
    """Sends `count` messages whose ids are numbers, and the poisonous ones before them."""
    bodies = [(name, b"poison") for name in poison]
    bodies += [(str(number), b"a body") for number in range(count)]
    messages = [ServiceBusMessage(body, message_id=name) for name, body in bodies]
    with (
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_sender("work") as sender,
    ):
        for start in range(0, len(messages), 200):
            sender.send_messages(messages[start : start + 200])


async def test_banner_names_the_queue_and_a_signal_drains(run_host, broker, deliveries, until):
    """It says which queue feeds the function, and at SIGTERM ends with 0, its messages completed."""
    send_many(broker, 20)
    process = await run_host()
    lines = (await process.stdout.readuntil(b"ready\n")).decode().splitlines()
    await until(deliveries)

    process.terminate()
    code = await asyncio.wait_for(process.wait(), 10)

    assert lines[1] == "  consume  serviceBusTrigger  queue work of ServiceBus"
    assert (code, broker.queue("work").locked) == (0, 0)
    assert broker.statistics.completed == len(deliveries())


@pytest.mark.long
async def test_each_message_is_delivered_once(run_host, broker, deliveries, until):
    """When all is well, 2,000 messages make 2,000 deliveries."""
    send_many(broker, 2000)

    await run_host()
    await until(lambda: broker.statistics.completed == 2000, within=60)

    assert deliveries() == {str(number): [1] for number in range(2000)}
    assert (broker.statistics.delivered, broker.statistics.locks_lost) == (2000, 0)


@pytest.mark.long
async def test_killed_host_loses_nothing(run_host, broker, deliveries, until):
    """After a SIGKILL each message is delivered at least once more, and counted truly."""
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

    seen = deliveries()
    assert completed < 2000
    assert set(seen) == {"poison-1", "poison-2", *(str(number) for number in range(2000))}
    # A count is skipped when the process died between the delivery and the function.
    assert all(counts in ([1], [1, 2], [2]) for name, counts in seen.items() if name.isdigit())
    assert all(seen[name][-1] == 5 for name in ("poison-1", "poison-2"))
