"""Feeds whose namespace fails, or is not there yet."""

import gc
import socket

import pytest

from local.servicebus import Broker, BrokerOptions, Step
from local.threads import in_thread
from tests.local.host.queue_apps import FAIL, WAIT, host_json, queue_app

# The SDK leaves the socket of a connection that it has lost to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


MANY = 40
# An opening that a fault meets half-way may hang until the SDK's own timeout of 15 s.
WITHIN = 40
FAULTS = ["detach_all", pytest.param("close_all", marks=pytest.mark.long), "drop_all"]


@pytest.fixture(autouse=True)
def collected():
    """What the SDK leaves is collected while the filter above is in force."""
    yield
    gc.collect()


def is_empty(broker: Broker) -> bool:
    """Whether all that was sent has been completed."""
    counts = broker.queue("work")
    return not counts.active and not counts.locked


@pytest.mark.parametrize("fault", FAULTS)
async def test_feed_goes_on_after_a_fault(serve, broker, send, until, *, fault):
    """What was under way is completed at its first delivery, and so is what comes after."""
    served = await serve(queue_app(WAIT))
    send("work", b"before")
    await until(lambda: served.app.seen)

    getattr(broker, fault)()
    served.app.gate.set()
    await until(lambda: is_empty(broker), within=WITHIN)
    send("work", b"after")
    await until(lambda: is_empty(broker), within=WITHIN)

    assert served.app.seen == [(b"before", 1), (b"after", 1)]


LIMITS = [
    "local.host.queues.feeding._MESSAGES_OF_ONE_RECEIVER",
    pytest.param("local.host.queues.settling._REQUESTS_OF_ONE_CONNECTION", marks=pytest.mark.long),
]


@pytest.mark.parametrize("limit", LIMITS)
async def test_connection_gives_way_to_another_after_its_share(
    serve, broker, send, until, monkeypatch, *, limit
):
    """The SDK remembers all that a connection brought: so they change, and nothing comes twice."""
    monkeypatch.setattr(limit, 4)
    served = await serve(queue_app("pass"))
    opened = broker.statistics.connections_opened
    bodies = [b"%d" % number for number in range(MANY)]
    for body in bodies:
        send("work", body)

    await until(lambda: len(served.app.seen) == MANY and is_empty(broker), within=WITHIN)

    assert sorted(served.app.seen) == sorted((body, 1) for body in bodies)
    assert broker.statistics.connections_opened - opened >= MANY // 4
    assert broker.statistics.locks_lost == 0


@pytest.mark.parametrize("fault", FAULTS)
async def test_many_under_way_survive_a_fault(serve, broker, send, until, *, fault):
    """Each of many messages under way is settled although its link is gone, and none comes twice."""
    served = await serve(queue_app(WAIT), host_json=host_json(maxConcurrentCalls=MANY))
    bodies = [b"%d" % number for number in range(2 * MANY)]
    for body in bodies:
        send("work", body)
    await until(lambda: len(served.app.seen) == MANY)

    getattr(broker, fault)()
    served.app.gate.set()
    await until(lambda: is_empty(broker), within=WITHIN)

    assert sorted(served.app.seen) == sorted((body, 1) for body in bodies)
    assert (broker.statistics.delivered, broker.statistics.locks_lost) == (len(bodies), 0)


@pytest.mark.parametrize("fault", FAULTS)
async def test_failing_function_abandons_after_a_fault(serve, broker, send, until, *, fault):
    """A function that fails after its link is gone has its message again at once, not in a minute."""
    body = f"{WAIT}\n    if message.delivery_count == 1: {FAIL}"
    served = await serve(queue_app(body))
    send("work")
    await until(lambda: served.app.seen)

    getattr(broker, fault)()
    served.app.gate.set()
    await until(lambda: is_empty(broker), within=WITHIN)

    assert served.app.seen == [(b"a body", 1), (b"a body", 2)]


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
