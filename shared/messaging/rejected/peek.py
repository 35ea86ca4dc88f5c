"""Peeks at rejected messages: nothing is locked, removed or counted as a delivery."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

from shared.messaging.copies import DEAD_LETTER_QUEUE
from shared.messaging.decoding import receive_undecodable_messages
from shared.messaging.rejected.model import Filter, RejectedMessage, to_rejected_message
from shared.messaging.service_bus import ServiceBusNamespace, close_quietly, translate_errors
from shared.settings import ServiceBusSettings

if TYPE_CHECKING:
    from azure.servicebus.aio import ServiceBusReceiver

_PEEK_SIZE = 100
_PEEK_TIMEOUT = 10.0
# To release messages that arrived unrequested the SDK needs up to five seconds.
_CLOSE_TIMEOUT = 8.0


def rejected_queue_paths(settings: ServiceBusSettings) -> tuple[str, ...]:
    """Returns the rejected queue, then the dead-letter queues of all the app's queues."""
    queues = (
        *settings.input_queues,
        settings.enrollment_rejected_queue,
        settings.enrollment_results_queue,
    )
    dead_letters = (queue + DEAD_LETTER_QUEUE for queue in queues if queue)
    return tuple(dict.fromkeys((settings.enrollment_rejected_queue, *dead_letters)))


@contextlib.asynccontextmanager
async def open_receiver(
    settings: ServiceBusSettings, queue_path: str
) -> "AsyncIterator[ServiceBusReceiver]":
    """Opens a receiver of the queue path, and closes it; raises `QueueError`."""
    receive_undecodable_messages()
    queue = queue_path.removesuffix(DEAD_LETTER_QUEUE)
    sub_queue = "deadletter" if queue != queue_path else None
    async with ServiceBusNamespace(settings) as namespace:
        # A prefetched message's lock would run while it is buffered.
        receiver = namespace.client().get_queue_receiver(
            queue, sub_queue=sub_queue, prefetch_count=0
        )
        try:
            with translate_errors(queue_path):
                await receiver.__aenter__()
            yield receiver
        finally:
            await close_quietly(receiver.close, timeout=_CLOSE_TIMEOUT)


async def peek_messages(
    receiver: "ServiceBusReceiver", queue_path: str, *, start: int, limit: int
) -> AsyncGenerator[RejectedMessage]:
    """Yields up to `limit` messages from the sequence number `start` on."""
    while limit > 0:
        with translate_errors(queue_path):
            batch = await receiver.peek_messages(
                min(limit, _PEEK_SIZE), sequence_number=max(start, 1), timeout=_PEEK_TIMEOUT
            )
        if not batch:
            return
        for received in batch:
            yield to_rejected_message(received, queue_path)
        limit -= len(batch)
        start = (batch[-1].sequence_number or start) + 1


class Search:
    """
    A search of a queue path for messages that a filter selects.

    `next` is the sequence number at which to continue; `None` if the end was reached.
    """

    def __init__(
        self, receiver: "ServiceBusReceiver", queue_path: str, filter: Filter, *, limit: int
    ) -> None:
        self._receiver = receiver
        self._queue_path = queue_path
        self._filter = filter
        self._limit = limit
        self._is_stopped = False
        self.next: int | None = None

    async def results(self, start: int) -> AsyncIterator[RejectedMessage]:
        """Yields the selected messages among the `limit` messages from `start` on."""
        peeked = 0
        peek = peek_messages(self._receiver, self._queue_path, start=start, limit=self._limit)
        async with contextlib.aclosing(peek) as messages:
            async for rejected in messages:
                peeked += 1
                if self._filter.matches(rejected):
                    yield rejected
                if self._is_stopped or peeked == self._limit:
                    self.next = rejected.message.sequence_number + 1
                    return

    def stop(self) -> None:
        """Ends the search after the current message."""
        self._is_stopped = True
