"""The queue listener: concurrency, settlement, lock renewal and stop."""

import asyncio
import logging
import re

import pytest

from local.host import ListenerOptions
from local.servicebus import Broker
from tests.local.host.toy_apps import FAIL, WAIT, Send, Serve, Until, host_json, queue_app


@pytest.mark.parametrize("sync", [False, True])
async def test_return_completes_the_message(
    serve: Serve, broker: Broker, send: Send, until: Until, sync: bool
) -> None:
    """When the function returns, as a coroutine or in a thread, the message is completed."""
    served = await serve(queue_app(sync=sync))
    send("work")

    await until(lambda: broker.statistics.completed)

    assert served.module.seen == [(b"a body", 1)]
    assert broker.statistics.delivered == 1


async def test_exception_abandons_the_message(
    serve: Serve, broker: Broker, send: Send, until: Until
) -> None:
    """After an exception the message is redelivered at once, and dead-lettered in the end."""
    served = await serve(queue_app(FAIL, auto_complete=False))
    send("work")

    await until(lambda: broker.queue("work").dead_lettered)

    assert served.module.seen == [(b"a body", number) for number in (1, 2, 3)]
    assert broker.statistics.abandoned == 3


async def test_without_auto_complete_the_message_is_not_settled(
    serve: Serve, broker: Broker, send: Send, until: Until
) -> None:
    """With autoCompleteMessages false, a return leaves the message locked."""
    served = await serve(queue_app(), host_json=host_json(autoCompleteMessages="false"))
    send("work")

    await until(lambda: served.module.seen)
    await served.host.stop()

    assert (broker.queue("work").locked, broker.statistics.completed) == (1, 0)


async def test_concurrent_calls_are_limited(
    serve: Serve, broker: Broker, send: Send, until: Until
) -> None:
    """No more than `maxConcurrentCalls` messages are received; the others stay active."""
    served = await serve(queue_app(WAIT), host_json=host_json(maxConcurrentCalls=2))
    for _ in range(5):
        send("work")

    await until(lambda: len(served.module.seen) == 2)
    counts = broker.queue("work")
    served.module.gate.set()
    await until(lambda: broker.statistics.completed == 5)

    assert (counts.locked, counts.active) == (2, 3)


async def test_lock_is_renewed_while_the_function_runs(
    serve: Serve, broker: Broker, send: Send, until: Until
) -> None:
    """A function that runs longer than the lock duration does not lose the lock."""
    served = await serve(queue_app(WAIT, queue="brief"))
    send("brief")
    await until(lambda: served.module.seen)
    ending = asyncio.get_running_loop().time() + 1.6  # the lock duration is 1 s

    await until(lambda: asyncio.get_running_loop().time() > ending)
    served.module.gate.set()
    await until(lambda: broker.statistics.completed)

    assert served.module.seen == [(b"a body", 1)]
    assert broker.statistics.locks_lost == 0


@pytest.mark.usefixtures("broker")
async def test_lock_renewal_is_limited(serve: Serve, send: Send, until: Until) -> None:
    """After `maxAutoLockRenewalDuration` the lock expires, and the message is redelivered."""
    options = host_json(maxAutoLockRenewalDuration='"00:00:00"')
    served = await serve(
        queue_app(WAIT, queue="brief"),
        host_json=options,
        listener=ListenerOptions(drain_timeout=0.05),
    )
    send("brief")

    await until(lambda: len(served.module.seen) == 2)

    assert served.module.seen == [(b"a body", 1), (b"a body", 2)]


async def test_stop_waits_for_messages_in_flight(
    serve: Serve, broker: Broker, send: Send, until: Until
) -> None:
    """If the function returns during the stop, its message is completed."""
    served = await serve(queue_app(WAIT))
    send("work")
    await until(lambda: served.module.seen)

    stopping = asyncio.create_task(served.host.stop())
    await asyncio.sleep(0)
    served.module.gate.set()
    await stopping

    assert broker.statistics.completed == 1


async def test_stop_does_not_settle_unfinished_messages(
    serve: Serve, broker: Broker, send: Send, until: Until
) -> None:
    """If the function does not return during the stop, its message stays locked."""
    served = await serve(queue_app(WAIT), listener=ListenerOptions(drain_timeout=0.05))
    send("work")
    await until(lambda: served.module.seen)

    await asyncio.wait_for(served.host.stop(), 10)

    assert (broker.queue("work").locked, broker.statistics.abandoned) == (1, 0)


async def test_stop_closes_all_connections(
    serve: Serve, broker: Broker, send: Send, until: Until
) -> None:
    """After a stop neither the receiving nor the settling connections are open."""
    send("work")
    before = broker.statistics.connections
    served = await serve(queue_app())
    await until(lambda: broker.statistics.completed)

    await served.host.stop()

    await until(lambda: broker.statistics.connections <= before)


async def test_dead_letter_queue_can_be_a_trigger(
    serve: Serve, broker: Broker, send: Send, until: Until
) -> None:
    """A function on `…/$DeadLetterQueue` receives the messages that another one failed on."""
    reader = (
        queue_app(queue="work/$DeadLetterQueue").replace("consume", "read").replace("seen", "read_")
    )
    served = await serve(queue_app(FAIL) + reader)
    send("work", b"poison")

    await until(lambda: broker.statistics.completed)

    assert len(served.module.seen) == 3
    assert served.module.read_[0][0] == b"poison"


async def test_log_has_a_line_per_delivery_and_no_body(
    serve: Serve, broker: Broker, send: Send, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """Each delivery is one log line, an exception adds its traceback, and no body is logged."""
    caplog.set_level(logging.INFO, "local.host.service_bus")
    served = await serve(queue_app('if message.delivery_count == 1: raise ValueError("not today")'))
    send("work", b"a confidential body")

    await until(lambda: broker.statistics.completed and len(served.module.seen) == 2)
    await served.host.stop()

    lines = [r.getMessage() for r in caplog.records if ", delivery " in r.getMessage()]
    assert [re.sub("/[0-9]+| in .*", "", line) for line in lines] == [
        "consume work, delivery 1 -> abandoned",
        "consume work, delivery 2 -> completed",
    ]
    assert "ValueError: not today" in caplog.text
    assert "a confidential body" not in caplog.text
