"""Feeds: each takes messages from one queue and has them delivered, until it is stopped."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from local.host.host_json import ServiceBusOptions
from local.host.invoking import Invocations
from local.host.queues.delivering import Delivering
from local.host.queues.receiving import opened, received
from local.host.queues.settling import Settling
from local.host.queues.tasks import cancelled, ended, is_set, keep
from local.host.queues.triggers import QueueTrigger

if TYPE_CHECKING:  # costly: only an app with a Service Bus trigger pays for it
    from azure.servicebus.aio import ServiceBusReceiver

DRAIN_WITHIN = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
# For a receiver to notice that it is stopped, which takes one look at its socket, and to close.
_NOTICE_WITHIN = 1.0
_CLOSE_WITHIN = 5.0
# azure-servicebus 7.15.0 keeps a note of each message until it is settled over the link that it came
# by, which is never done here.
_MESSAGES_OF_ONE_RECEIVER = 1_000

logger = logging.getLogger("local.host.queues")


class Feeding:
    """All feeds of an app; start returns at once, a namespace that is not there is tried again."""

    def __init__(
        self,
        triggers: Iterable[QueueTrigger],
        options: ServiceBusOptions,
        invocations: Invocations,
        *,
        drain_within: float = DRAIN_WITHIN,
        receivers: int = 1,
    ) -> None:
        self._feeds = [
            _Feed(trigger, options, invocations, receivers=receivers) for trigger in triggers
        ]
        self._drain_within = drain_within

    def start(self) -> None:
        """Begins to receive."""
        for feed in self._feeds:
            feed.start()

    async def stop(self) -> None:
        """Takes no more messages, and waits for those under way.

        What takes too long is left to its lock: the queue delivers it again.
        """
        await asyncio.gather(*(feed.stop(within=self._drain_within) for feed in self._feeds))


class _Feed:
    """Hands the messages of one queue to one function, at most `max_concurrent_calls` at once."""

    def __init__(
        self,
        trigger: QueueTrigger,
        options: ServiceBusOptions,
        invocations: Invocations,
        *,
        receivers: int,
    ) -> None:
        self._trigger = trigger
        self._free = options.max_concurrent_calls
        self._receivers = receivers
        self._settling = Settling(trigger.connection, trigger.queue, at_once=2 * receivers)
        self._delivering = Delivering(
            trigger, invocations, self._settling, max_lock_renewal=options.max_lock_renewal
        )
        self._stopping = asyncio.Event()
        self._has_room = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._pause = _FIRST_PAUSE
        self._complaint = ""

    def start(self) -> None:
        for _ in range(self._receivers):
            keep(self._running, self._run())

    async def stop(self, *, within: float) -> None:
        self._stopping.set()
        self._has_room.set()
        await ended(self._running, within=_NOTICE_WITHIN)
        await cancelled(self._running)
        await ended(self._under_way, within=within)
        if self._under_way:
            left = len(self._under_way)
            logger.warning("%s: %d left to their locks", self._trigger.function.name, left)
        await cancelled(self._under_way)
        await self._delivering.stop()
        keep(self._closing, self._settling.close())
        await ended(self._closing, within=_CLOSE_WITHIN)
        await cancelled(self._closing)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._use_receiver()
            except Exception as exc:  # noqa: BLE001 - whatever it is, the next receiver may work
                self._complain(exc)
                await is_set(self._stopping, within=self._pause)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _use_receiver(self) -> None:
        """Receives until the feed is stopped or the receiver has done its share.

        The SDK's errors say why it ended sooner.
        """
        async with contextlib.AsyncExitStack() as stack:
            receiver = await stack.enter_async_context(
                opened(self._trigger.connection, self._trigger.queue)
            )
            await self._settling.open()
            self._rejoice()
            try:
                await self._receive(receiver)
            finally:
                # It takes a while, and the next receiver need not wait for that.
                keep(self._closing, stack.pop_all().aclose())

    async def _receive(self, receiver: "ServiceBusReceiver") -> None:
        left = _MESSAGES_OF_ONE_RECEIVER
        while left and not self._stopping.is_set():
            if self._free < 1:
                self._has_room.clear()
                await self._has_room.wait()
            elif await self._deliver_next(receiver):
                left -= 1

    async def _deliver_next(self, receiver: "ServiceBusReceiver") -> bool:
        """Begins the delivery of the next message; whether one came within a moment."""
        self._free -= 1
        try:
            message = await received(receiver)
        except BaseException:
            self._leave()
            raise
        if message is None:
            self._leave()
            return False
        delivery = keep(self._under_way, self._delivering.deliver(message))
        delivery.add_done_callback(lambda _: self._leave())
        return True

    def _leave(self) -> None:
        self._free += 1
        self._has_room.set()

    def _rejoice(self) -> None:
        function, queue = self._trigger.function.name, self._trigger.queue
        logger.info("%s: receives from queue %s", function, queue)
        self._pause, self._complaint = _FIRST_PAUSE, ""

    def _complain(self, exc: Exception) -> None:
        complaint = f"{type(exc).__name__}: {exc}".splitlines()[0]
        if complaint != self._complaint:
            function, queue = self._trigger.function.name, self._trigger.queue
            logger.warning("%s: no messages from queue %s: %s", function, queue, complaint)
        self._complaint = complaint
