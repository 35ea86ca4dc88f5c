"""Replays that are interrupted: whatever the step, no message is lost."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from local.servicebus import Broker, QueueCounts, Step
from shared.errors import (
    QueueRefusedError,
)
from shared.messaging.messages import OutgoingMessage
from shared.messaging.rejected import RejectedMessages
from shared.messaging.sending import Sender
from shared.settings import MessagingSettings
from tests.local.servicebus.handlers import WAIT, leaves_sockets
from tests.processes import modules_run

# Each opens several connections of the SDK, which takes a second to close one.
pytestmark = pytest.mark.long


async def states(rejected: RejectedMessages) -> dict[str, tuple[str, int]]:
    """State and delivery count of what lies in the rejected queue, by record."""
    entries = (await rejected.page(top=100))["messages"]
    return {found["ids"][0]: (found["state"], found["deliveryCount"]) for found in entries}


class EndOfProcessError(Exception):
    """Nothing that would follow is done."""


class EndingSender(Sender):
    """Sends, and then does something that interrupts the replay."""

    def __init__(self, settings: MessagingSettings, end: Callable[[], None]) -> None:
        super().__init__(settings)
        self._end = end

    async def send(self, queue: str, *messages: OutgoingMessage) -> None:
        await super().send(queue, *messages)
        self._end()


@pytest.fixture
async def interrupted(messaging) -> AsyncIterator[Callable[..., Any]]:
    """Replays, and does something between sending and completing."""
    senders = []

    async def replay(end: Callable[[], None]) -> None:
        senders.append(EndingSender(messaging, end))
        await RejectedMessages(messaging, senders[-1], wait=0.5).replay()

    yield replay
    for sender in senders:
        await sender.aclose()


@leaves_sockets
async def test_interrupted_replay_repeats_the_copy(
    broker: Broker, messaging, park_some, interrupted, look
):
    """Under the same id: none is lost, and none doubled where duplicates are detected."""
    await park_some("a")

    def end() -> None:
        raise EndOfProcessError

    with pytest.raises(EndOfProcessError):
        await interrupted(end)
    broker.advance(61)  # the lock of the process that ended lapses
    await interrupted(bool)

    assert broker.queue(messaging.enrollment_rejected_queue) == QueueCounts()
    first, second = await look(messaging.enrollment_requests_queue)
    assert first.message_id == second.message_id


@leaves_sockets
@pytest.mark.parametrize("end", ["detach_all", "drop_all"])
async def test_connection_that_ends_between_loses_nothing(
    broker: Broker, messaging, park_some, interrupted, end
):
    """Between sending and completing."""
    await park_some("a", "b")

    await interrupted(getattr(broker, end))
    broker.advance(61)
    await interrupted(bool)

    assert broker.queue(messaging.enrollment_rejected_queue) == QueueCounts()
    assert broker.queue(messaging.enrollment_requests_queue).active >= 2


@pytest.mark.parametrize(("step", "copies"), [("before", 2), ("after", 3)])
async def test_killed_replay_loses_nothing(broker: Broker, messaging, park_some, step, copies):
    """Whichever step its process was killed at; what was sent twice has one id."""
    await park_some("a", "b")
    names = ("enrollment_requests", "bulk_operations", "enrollment_rejected", "enrollment_results")
    queues = {f"{name}_queue".upper(): getattr(messaging, f"{name}_queue") for name in names}
    async with modules_run() as start:
        variables = queues | {"ServiceBus": broker.connection_string}
        process = await start("tests.shared.messaging.ending_replay", step, **variables)
        async with asyncio.timeout(6 * WAIT):
            await process.communicate()
    broker.advance(61)

    async with asyncio.timeout(WAIT):
        sender = Sender(messaging)
        told = await RejectedMessages(messaging, sender, wait=0.5).replay()
        await sender.aclose()

    assert (process.returncode, told["replayed"]) == (-signal.SIGKILL, 2)
    assert broker.queue(messaging.enrollment_rejected_queue) == QueueCounts()
    assert broker.queue(messaging.enrollment_requests_queue).active == copies


@leaves_sockets
async def test_full_source_queue_stops_the_replay(
    broker: Broker, rejected, park_some, requests_queue
):
    """All stays where it is, listed and replayable; what was deferred counts once."""
    await park_some("a", "b", "c")
    broker.refuse(Step.SEND, "amqp:resource-limit-exceeded", times=10, queue=requests_queue)

    with pytest.raises(QueueRefusedError):
        await rejected.replay()
    broker.clear_faults()

    assert {count for _, count in (await states(rejected)).values()} <= {0, 1}
    assert (await rejected.replay())["replayed"] == 3


@leaves_sockets
async def test_lost_lock_is_told(broker: Broker, rejected, park_some, rejected_queue):
    """The copy is sent, the message is still there, and the others are replayed."""
    await park_some("a", "b")
    broker.refuse(Step.SETTLE, "com.microsoft:message-lock-lost", times=1, queue=rejected_queue)

    told = await rejected.replay()

    assert (told["replayed"], told["uncompleted"]) == (2, [1])
    broker.advance(61)
    assert list(await states(rejected)) == ["a"]
