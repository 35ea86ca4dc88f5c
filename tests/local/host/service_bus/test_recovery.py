"""Listeners recover from faults of their namespace."""

import socket

import pytest

from local.host import ListenerOptions
from local.servicebus import Broker, BrokerOptions, Step
from local.threads import in_thread
from tests.local.host.toy_apps import FAIL, WAIT, Send, Serve, Until, host_json, queue_app
from tests.local.servicebus.handlers import LEAVES_SOCKETS

pytestmark = LEAVES_SOCKETS

MANY = 40
# A fault while a link opens may block it until the SDK's own timeout of 15 s.
WITHIN = 40
FAULTS = ["detach_all", pytest.param("close_all", marks=pytest.mark.long), "drop_all"]


def is_empty(broker: Broker) -> bool:
    """Whether every message has been settled."""
    counts = broker.queue("work")
    return not counts.active and not counts.locked


@pytest.mark.parametrize("fault", FAULTS)
async def test_listener_recovers_from_a_fault(
    serve: Serve, broker: Broker, send: Send, until: Until, *, fault: str
) -> None:
    """A message in flight is completed without redelivery, and so is a later one."""
    served = await serve(queue_app(WAIT))
    send("work", b"before")
    await until(lambda: served.module.seen)

    getattr(broker, fault)()
    served.module.gate.set()
    await until(lambda: is_empty(broker), within=WITHIN)
    send("work", b"after")
    await until(lambda: is_empty(broker), within=WITHIN)

    assert served.module.seen == [(b"before", 1), (b"after", 1)]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(ListenerOptions(messages_per_receiver=4), id="receiver"),
        pytest.param(
            ListenerOptions(requests_per_connection=4), id="settlement", marks=pytest.mark.long
        ),
    ],
)
async def test_connections_are_replaced(
    serve: Serve, broker: Broker, send: Send, until: Until, *, options: ListenerOptions
) -> None:
    """A connection is replaced after a number of messages or requests, without redelivery."""
    served = await serve(queue_app("pass"), listener=options)
    opened = broker.statistics.connections_opened
    bodies = [b"%d" % number for number in range(MANY)]
    for body in bodies:
        send("work", body)

    await until(lambda: len(served.module.seen) == MANY and is_empty(broker), within=WITHIN)

    assert sorted(served.module.seen) == sorted((body, 1) for body in bodies)
    assert broker.statistics.connections_opened - opened >= MANY // 4
    assert broker.statistics.locks_lost == 0


@pytest.mark.parametrize("fault", FAULTS)
async def test_messages_in_flight_are_settled_after_a_fault(
    serve: Serve, broker: Broker, send: Send, until: Until, *, fault: str
) -> None:
    """All messages in flight are settled although their link is lost; none is redelivered."""
    served = await serve(queue_app(WAIT), host_json=host_json(maxConcurrentCalls=MANY))
    bodies = [b"%d" % number for number in range(2 * MANY)]
    for body in bodies:
        send("work", body)
    await until(lambda: len(served.module.seen) == MANY)

    getattr(broker, fault)()
    served.module.gate.set()
    await until(lambda: is_empty(broker), within=WITHIN)

    assert sorted(served.module.seen) == sorted((body, 1) for body in bodies)
    assert (broker.statistics.delivered, broker.statistics.locks_lost) == (len(bodies), 0)


@pytest.mark.parametrize("fault", FAULTS)
async def test_failed_message_is_abandoned_after_a_fault(
    serve: Serve, broker: Broker, send: Send, until: Until, *, fault: str
) -> None:
    """If the function fails after its link is lost, the message is redelivered at once."""
    body = f"{WAIT}\n    if message.delivery_count == 1: {FAIL}"
    served = await serve(queue_app(body))
    send("work")
    await until(lambda: served.module.seen)

    getattr(broker, fault)()
    served.module.gate.set()
    await until(lambda: is_empty(broker), within=WITHIN)

    assert served.module.seen == [(b"a body", 1), (b"a body", 2)]


async def test_namespace_may_start_later(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """The host starts without its namespace, and connects once it is available."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = BrokerOptions(port=taken.getsockname()[1])
    monkeypatch.setenv("ServiceBus", Broker(options).connection_string)

    await serve(queue_app())
    with in_thread(Broker(options)) as broker:
        await until(lambda: broker.statistics.connections)


async def test_missing_queue_is_named_in_the_log(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """Service Bus refuses the token for it, and the SDK's own text does not say why."""
    with in_thread(Broker(BrokerOptions(port=0, auto_create=False))) as broker:
        monkeypatch.setenv("ServiceBus", broker.connection_string)
        await serve(queue_app())

        await until(lambda: "The messaging entity 'work' could not be found" in caplog.text)


async def test_rejected_link_is_retried(
    serve: Serve, broker: Broker, send: Send, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """If a queue rejects the link, the error is logged and the listener retries."""
    send("work")
    broker.refuse(Step.ATTACH, "amqp:not-found", queue="work")

    served = await serve(queue_app())
    await until(lambda: served.module.seen)

    assert "consume: cannot receive from queue work: MessagingEntityNotFoundError" in caplog.text
