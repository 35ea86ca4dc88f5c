"""What a sender and an onlooker of the queues do, with the real SDK."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import MessageSizeExceededError, ServiceBusError

from tests.ledger.asked import Step

_ONCE_MORE = 5
_AT_ONCE = 250
_DEAD_LETTER_QUEUE = "/$DeadLetterQueue"


class Courier:
    """Sends messages, and looks at others where they lie: what a link loses, it does not."""

    def __init__(self, connection_string: str) -> None:
        options: dict[str, Any] = {"try_timeout": 20, "retry_total": 3, "retry_backoff_factor": 0.1}
        self._client = ServiceBusClient.from_connection_string(connection_string, **options)
        self._senders: dict[str, ServiceBusSender] = {}
        self._onlookers: dict[str, ServiceBusReceiver] = {}
        self._seen: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.renew()
        await self._client.close()

    async def renew(self) -> None:
        """Opens all links anew when they are used next: a send on one that has ended may repeat."""
        links = [*self._senders.values(), *self._onlookers.values()]
        self._senders, self._onlookers = {}, {}
        await asyncio.gather(*(link.close() for link in links), return_exceptions=True)

    async def send(self, queue: str, messages: Sequence[ServiceBusMessage]) -> None:
        """Returns once the queue has them all, each once."""
        if queue not in self._senders:
            self._senders[queue] = self._client.get_queue_sender(queue)
        sender = self._senders[queue]
        waiting = list(messages)
        while waiting:
            batch = await sender.create_message_batch()
            with contextlib.suppress(MessageSizeExceededError):
                while waiting:
                    batch.add_message(waiting[-1])
                    waiting.pop()
            # A message may be as large as no batch can be.
            await sender.send_messages(batch if len(batch) else waiting.pop())

    async def news(self, queue: str) -> list[ServiceBusReceivedMessage]:
        """The messages of a queue that have come since it was asked last."""
        start = self._seen.get(queue, 0) + 1
        found = [message async for message in self._peeked(queue, start)]
        if found:
            self._seen[queue] = found[-1].sequence_number or 0
        return found

    async def all(self, queue: str) -> list[ServiceBusReceivedMessage]:
        """The messages of a queue, whatever their state."""
        return [message async for message in self._peeked(queue, 1)]

    async def dead(self, queue: str) -> list[ServiceBusReceivedMessage]:
        """The dead letters of a queue."""
        return await self.all(queue + _DEAD_LETTER_QUEUE)

    async def _peeked(self, queue: str, start: int) -> AsyncIterator[ServiceBusReceivedMessage]:
        while batch := await self._peek(queue, start):
            for message in batch:
                yield message
            start = (batch[-1].sequence_number or 0) + 1

    async def _peek(self, queue: str, start: int) -> list[ServiceBusReceivedMessage]:
        for attempt in range(_ONCE_MORE):
            if queue not in self._onlookers:
                self._onlookers[queue] = self._onlooker(queue)
            onlooker = self._onlookers[queue]
            try:
                async with asyncio.timeout(20):
                    await onlooker.__aenter__()
                    return await onlooker.peek_messages(_AT_ONCE, sequence_number=start)
            except (ServiceBusError, TimeoutError):
                # A link that the broker has ended.
                del self._onlookers[queue]
                with contextlib.suppress(Exception):
                    await onlooker.close()
                if attempt == _ONCE_MORE - 1:
                    raise
        raise AssertionError

    def _onlooker(self, path: str) -> ServiceBusReceiver:
        queue = path.removesuffix(_DEAD_LETTER_QUEUE)
        sub_queue = ServiceBusSubQueue.DEAD_LETTER if queue != path else None
        return self._client.get_queue_receiver(queue, sub_queue=sub_queue)


def messages_of(step: Step, body: bytes) -> list[ServiceBusMessage]:
    """The message of a step, as often as it is sent."""
    return [
        ServiceBusMessage(
            body,
            message_id=step.id,
            content_type=step.content_type,
            application_properties={**step.properties} or None,
        )
        for _ in range(step.times)
    ]
