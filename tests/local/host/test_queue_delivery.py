"""Messages that are delivered to functions, and how they are settled."""

import asyncio
import logging
import re

import pytest

from tests.local.host.queue_apps import FAIL, WAIT, host_json, queue_app


@pytest.mark.parametrize("sync", [False, True])
async def test_return_completes(serve, broker, send, until, sync):
    """A message whose function returns, on the loop or in a thread, is gone."""
    served = await serve(queue_app(sync=sync))
    send("work")

    await until(lambda: broker.statistics.completed)

    assert served.app.seen == [(b"a body", 1)]
    assert broker.statistics.delivered == 1


async def test_exception_abandons_at_once(serve, broker, send, until):
    """A message whose function fails comes again at once, counted from 1, and is dead-lettered."""
    served = await serve(queue_app(FAIL, completes=False))
    send("work")

    await until(lambda: broker.queue("work").dead_lettered)

    assert served.app.seen == [(b"a body", number) for number in (1, 2, 3)]
    assert broker.statistics.abandoned == 3


async def test_without_auto_complete_a_message_stays(serve, broker, send, until):
    """A return then settles nothing: the message is left to its lock."""
    served = await serve(queue_app(), host_json=host_json(autoCompleteMessages="false"))
    send("work")

    await until(lambda: served.app.seen)
    await served.host.stop()

    assert (broker.queue("work").locked, broker.statistics.completed) == (1, 0)


async def test_calls_at_once_are_bounded(serve, broker, send, until):
    """No more messages are taken than `maxConcurrentCalls` says, and the others stay free."""
    served = await serve(queue_app(WAIT), host_json=host_json(maxConcurrentCalls=2))
    for _ in range(5):
        send("work")

    await until(lambda: len(served.app.seen) == 2)
    counts = broker.queue("work")
    served.app.gate.set()
    await until(lambda: broker.statistics.completed == 5)

    assert (counts.locked, counts.active) == (2, 3)


async def test_lock_is_renewed_while_the_function_runs(serve, broker, send, until):
    """A function that takes longer than a lock keeps its message."""
    served = await serve(queue_app(WAIT, queue="brief"))
    send("brief")
    await until(lambda: served.app.seen)
    ending = asyncio.get_running_loop().time() + 1.6  # a lock ends after 1 s

    await until(lambda: asyncio.get_running_loop().time() > ending)
    served.app.gate.set()
    await until(lambda: broker.statistics.completed)

    assert served.app.seen == [(b"a body", 1)]
    assert broker.statistics.locks_lost == 0


@pytest.mark.usefixtures("broker")
async def test_lock_is_renewed_for_a_bounded_time(serve, send, until):
    """Past `maxAutoLockRenewalDuration` a lock ends, and the message is delivered again."""
    options = host_json(maxAutoLockRenewalDuration='"00:00:00"')
    served = await serve(queue_app(WAIT, queue="brief"), host_json=options, drain_within=0.05)
    send("brief")

    await until(lambda: len(served.app.seen) == 2)

    assert served.app.seen == [(b"a body", 1), (b"a body", 2)]


async def test_stop_waits_for_what_is_under_way(serve, broker, send, until):
    """A function that ends soon after the stop has its message completed."""
    served = await serve(queue_app(WAIT))
    send("work")
    await until(lambda: served.app.seen)

    stopping = asyncio.create_task(served.host.stop())
    await asyncio.sleep(0)
    served.app.gate.set()
    await stopping

    assert broker.statistics.completed == 1


async def test_stop_leaves_to_its_lock_what_takes_too_long(serve, broker, send, until):
    """A function that does not end has its message neither completed nor abandoned."""
    served = await serve(queue_app(WAIT), drain_within=0.05)
    send("work")
    await until(lambda: served.app.seen)

    await asyncio.wait_for(served.host.stop(), 10)

    assert (broker.queue("work").locked, broker.statistics.abandoned) == (1, 0)


async def test_stop_closes_what_was_opened(serve, broker, send, until):
    """Neither the connection that receives nor those that settle outlive the host."""
    send("work")
    before = broker.statistics.connections
    served = await serve(queue_app())
    await until(lambda: broker.statistics.completed)

    await served.host.stop()

    await until(lambda: broker.statistics.connections <= before)


async def test_dead_letter_queue_can_be_a_trigger(serve, broker, send, until):
    """A function on `…/$DeadLetterQueue` gets what another one could not handle."""
    reader = (
        queue_app(queue="work/$DeadLetterQueue").replace("consume", "read").replace("seen", "read_")
    )
    served = await serve(queue_app(FAIL) + reader)
    send("work", b"poison")

    await until(lambda: broker.statistics.completed)

    assert len(served.app.seen) == 3
    assert served.app.read_[0][0] == b"poison"


async def test_log_has_a_line_per_delivery_and_no_body(serve, broker, send, until, caplog):
    """Each delivery is one line, a failure has its traceback besides, and no body is in the log."""
    caplog.set_level(logging.INFO, "local.host.queues")
    served = await serve(queue_app('if message.delivery_count == 1: raise ValueError("not today")'))
    send("work", b"a body to keep to oneself")

    await until(lambda: broker.statistics.completed and len(served.app.seen) == 2)
    await served.host.stop()

    lines = [r.getMessage() for r in caplog.records if ", delivery " in r.getMessage()]
    assert [re.sub("/[0-9]+| in .*", "", line) for line in lines] == [
        "consume work, delivery 1 -> abandoned",
        "consume work, delivery 2 -> completed",
    ]
    assert "ValueError: not today" in caplog.text
    assert "to keep to oneself" not in caplog.text
