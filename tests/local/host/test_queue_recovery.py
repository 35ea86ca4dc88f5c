"""Feeds whose namespace fails, or is not there yet."""

import gc
import socket

import pytest

from local.servicebus import Broker, BrokerOptions, Step
from local.threads import in_thread
from tests.local.host.queue_apps import WAIT, queue_app

# The SDK leaves the socket of a connection that it has lost to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


# The SDK may lose a settlement for good: then the host gives up after half a minute.
GIVES_UP_WITHIN = 40


@pytest.fixture(autouse=True)
def collected():
    """What the SDK leaves is collected while the filter above is in force."""
    yield
    gc.collect()


@pytest.fixture
def emptied(broker, until):
    """Waits until the queue is empty, after the lock of a message has expired if need be."""

    def is_empty():
        counts = broker.queue("work")
        return not counts.active and not counts.locked

    async def wait():
        try:
            await until(is_empty, within=GIVES_UP_WITHIN)
        except TimeoutError:
            broker.advance(broker.options.queues["work"].lock_duration)
            await until(is_empty, within=GIVES_UP_WITHIN)

    return wait


@pytest.mark.parametrize(
    "fault", ["detach_all", pytest.param("close_all", marks=pytest.mark.long), "drop_all"]
)
async def test_feed_goes_on_after_a_fault(serve, broker, send, until, emptied, *, fault):
    """What was under way is completed, if need be at its next delivery, and so is what comes after."""
    served = await serve(queue_app(WAIT))
    send("work", b"before")
    await until(lambda: served.app.seen)

    getattr(broker, fault)()
    served.app.gate.set()
    await emptied()
    send("work", b"after")
    await emptied()

    assert {body for body, _ in served.app.seen} == {b"before", b"after"}


async def test_namespace_may_come_later(serve, monkeypatch, until):
    """The host starts without its namespace, and takes messages once it is there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = BrokerOptions(port=taken.getsockname()[1])
    monkeypatch.setenv("ServiceBus", Broker(options).connection_string)

    await serve(queue_app())
    with in_thread(Broker(options)) as broker:
        await until(lambda: broker.statistics.connections)


async def test_refused_link_is_tried_again(serve, broker, send, until, caplog):
    """A queue that refuses is named in the log, and asked again."""
    send("work")
    broker.refuse(Step.ATTACH, "amqp:not-found", queue="work")

    served = await serve(queue_app())
    await until(lambda: served.app.seen)

    assert "consume: no messages from queue work: MessagingEntityNotFoundError" in caplog.text
