"""Interrupted replays: no message is lost at any step."""

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
from shared.messaging.rejected.service import RejectedMessages
from shared.messaging.sender import MessageSender
from shared.settings import ServiceBusSettings
from tests.local.servicebus.handlers import WAIT, leaves_sockets
from tests.processes import run_modules
from tests.shared.messaging.samples import Peek

# Each opens several connections of the SDK, which takes a second to close one.
pytestmark = pytest.mark.long


async def states(rejected: RejectedMessages) -> dict[str, tuple[str, int]]:
    """Returns state and delivery count of the rejected messages, by record id."""
    entries = (await rejected.page(top=100))["messages"]
    return {entry["ids"][0]: (entry["state"], entry["deliveryCount"]) for entry in entries}


class InterruptedReplayError(Exception):
    """The error that ends a replay between two steps."""


class InterruptingSender(MessageSender):
    """A sender that calls `interrupt` after each send."""

    def __init__(self, settings: ServiceBusSettings, interrupt: Callable[[], None]) -> None:
        super().__init__(settings)
        self._end = interrupt

    async def send(self, queue: str, *messages: OutgoingMessage) -> None:
        await super().send(queue, *messages)
        self._end()


@pytest.fixture
async def replay_with(messaging: ServiceBusSettings) -> AsyncIterator[Callable[..., Any]]:
    """Replays, and calls a function between sending and completing."""
    senders = []

    async def replay(interrupt: Callable[[], None]) -> None:
        senders.append(InterruptingSender(messaging, interrupt))
        await RejectedMessages(messaging, senders[-1], idle_timeout=0.5).replay()

    yield replay
    for sender in senders:
        await sender.aclose()


@leaves_sockets
async def test_interrupted_replay_sends_the_copy_again(
    broker: Broker,
    messaging: ServiceBusSettings,
    reject_some: Callable[..., Any],
    replay_with: Callable[..., Any],
    peek: Peek,
) -> None:
    """The second copy has the same id, so that duplicate detection keeps one."""
    await reject_some("a")

    def interrupt() -> None:
        raise InterruptedReplayError

    with pytest.raises(InterruptedReplayError):
        await replay_with(interrupt)
    broker.advance(61)  # the lock of the ended replay expires
    await replay_with(bool)

    assert broker.queue(messaging.enrollment_rejected_queue) == QueueCounts()
    first, second = await peek(messaging.enrollment_requests_queue)
    assert first.message_id == second.message_id


@leaves_sockets
@pytest.mark.parametrize("interrupt", ["detach_all", "drop_all"])
async def test_connection_lost_before_completing_loses_nothing(
    broker: Broker,
    messaging: ServiceBusSettings,
    reject_some: Callable[..., Any],
    replay_with: Callable[..., Any],
    interrupt: str,
) -> None:
    """The messages are replayed again."""
    await reject_some("a", "b")

    await replay_with(getattr(broker, interrupt))
    broker.advance(61)
    await replay_with(bool)

    assert broker.queue(messaging.enrollment_rejected_queue) == QueueCounts()
    assert broker.queue(messaging.enrollment_requests_queue).active >= 2


@pytest.mark.parametrize(("step", "copies"), [("before", 2), ("after", 3)])
async def test_killed_replay_loses_nothing(
    broker: Broker,
    messaging: ServiceBusSettings,
    reject_some: Callable[..., Any],
    step: str,
    copies: int,
) -> None:
    """The process is killed before or after sending."""
    await reject_some("a", "b")
    names = ("enrollment_requests", "bulk_operations", "enrollment_rejected", "enrollment_results")
    queues = {f"{name}_queue".upper(): getattr(messaging, f"{name}_queue") for name in names}
    async with run_modules() as start:
        variables = queues | {"ServiceBus": broker.connection_string}
        process = await start("tests.shared.messaging.rejected.killed_replay", step, **variables)
        async with asyncio.timeout(6 * WAIT):
            await process.communicate()
    broker.advance(61)

    async with asyncio.timeout(WAIT):
        sender = MessageSender(messaging)
        report = await RejectedMessages(messaging, sender, idle_timeout=0.5).replay()
        await sender.aclose()

    assert (process.returncode, report["replayed"]) == (-signal.SIGKILL, 2)
    assert broker.queue(messaging.enrollment_rejected_queue) == QueueCounts()
    assert broker.queue(messaging.enrollment_requests_queue).active == copies


@leaves_sockets
async def test_full_source_queue_stops_the_replay(
    broker: Broker, rejected: RejectedMessages, reject_some: Callable[..., Any], requests_queue: str
) -> None:
    """The messages stay rejected and can be replayed later; their delivery count is 1 at most."""
    await reject_some("a", "b", "c")
    broker.refuse(Step.SEND, "amqp:resource-limit-exceeded", times=10, queue=requests_queue)

    with pytest.raises(QueueRefusedError):
        await rejected.replay()
    broker.clear_faults()

    assert {count for _, count in (await states(rejected)).values()} <= {0, 1}
    assert (await rejected.replay())["replayed"] == 3


@leaves_sockets
async def test_replay_reports_a_lost_lock(
    broker: Broker, rejected: RejectedMessages, reject_some: Callable[..., Any], rejected_queue: str
) -> None:
    """The copy was sent, the message is still in the queue, and the others are replayed."""
    await reject_some("a", "b")
    broker.refuse(Step.SETTLE, "com.microsoft:message-lock-lost", times=1, queue=rejected_queue)

    report = await rejected.replay()

    assert (report["replayed"], report["uncompleted"]) == (2, [1])
    broker.advance(61)
    assert list(await states(rejected)) == ["a"]
