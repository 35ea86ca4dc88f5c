"""The broker's queues, as those use them who send requests and read what became of them."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusReceiveMode
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

from local.demo.deliveries import BULK, REQUESTS
from local.demo.steps import NothingToShowError, UnexpectedError

RESULTS, REJECTED = "enrollment-results", "enrollment-rejected"

WITHIN = 20.0
"""Seconds for anything to come of a message."""
_MANY = 250
# For how long the SDK looks at its socket before it looks round.
_LOOK = 0.02


@dataclass(frozen=True, kw_only=True)
class ResultEvent:
    """A result as it lay in a queue: the message's properties, and the event in it."""

    message_id: str
    correlation_id: str
    content_type: str
    event: Any


@dataclass(frozen=True, kw_only=True)
class Parked:
    """A message of the rejected queue."""

    sequence_number: int
    source_message_id: str
    reason: str
    body: bytes = field(repr=False)


class Queues:
    """
    One client of the real SDK, with one link to each queue; belongs to the loop it is used in.

    One for the whole run, because the SDK takes a second to close a client. `reply_queues` are
    read like the results.
    """

    def __init__(self, connection_string: str, *, reply_queues: Iterable[str] = ()) -> None:
        self._client = ServiceBusClient.from_connection_string(
            connection_string, retry_total=0, try_timeout=WITHIN
        )
        self._senders: dict[str, ServiceBusSender] = {
            queue: self._client.get_queue_sender(queue) for queue in (REQUESTS, BULK)
        }
        self._receivers: dict[str, ServiceBusReceiver] = {
            queue: self._client.get_queue_receiver(
                queue,
                receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE,
                prefetch_count=0,
                socket_timeout=_LOOK,
            )
            for queue in (RESULTS, *reply_queues)
        }
        self._rejected = self._client.get_queue_receiver(
            REJECTED, prefetch_count=0, socket_timeout=_LOOK
        )
        self._unread: dict[str, list[ResultEvent]] = {queue: [] for queue in self._receivers}
        self._is_open = False

    @property
    def _links(self) -> Sequence[ServiceBusSender | ServiceBusReceiver]:
        return [*self._senders.values(), *self._receivers.values(), self._rejected]

    async def open(self) -> Sequence[str]:
        """All links at once, and to which queues; UnexpectedError after a bounded time."""
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(*(link.__aenter__() for link in self._links))
        self._is_open = True
        return [*self._senders, *self._receivers, REJECTED]

    async def aclose(self) -> None:
        """All at once: each takes the SDK a while."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._client.close)
            await asyncio.gather(*(link.close() for link in self._links), return_exceptions=True)

    def _check(self) -> None:
        if not self._is_open:
            raise NothingToShowError("no queue is open")

    async def send(self, queue: str, *messages: ServiceBusMessage) -> None:
        """As one batch: they arrive together."""
        self._check()
        await self._senders[queue].send_messages(list(messages))

    async def results(
        self, of: str, number: int = 1, *, queue: str = RESULTS
    ) -> Sequence[ResultEvent]:
        """So many results with the correlation id `of`; UnexpectedError if they do not come."""
        return await self.results_of([of], number, queue=queue)

    async def results_of(
        self, ids: Iterable[str], number: int, *, queue: str = RESULTS
    ) -> Sequence[ResultEvent]:
        """The same for several correlation ids."""
        wanted = set(ids)
        unread = self._unread[queue]
        try:
            async with asyncio.timeout(WITHIN):
                while missing := number - sum(event.correlation_id in wanted for event in unread):
                    unread += await self._received(queue, missing)
        except TimeoutError:
            raise UnexpectedError(f"no result came in {WITHIN:.0f} s") from None
        found = [event for event in unread if event.correlation_id in wanted]
        unread[:] = [event for event in unread if event.correlation_id not in wanted]
        return found

    async def _received(self, queue: str, at_most: int) -> Sequence[ResultEvent]:
        # The SDK waits a while for more, unless it has as many as it may take.
        found = await self._receivers[queue].receive_messages(at_most, max_wait_time=WITHIN)
        return [_result(message) for message in found]

    async def rejected(self) -> Sequence[Parked]:
        """What lies in the rejected queue; it stays there."""
        self._check()
        # Otherwise the SDK goes on after the last that it has seen.
        found = await self._rejected.peek_messages(_MANY, sequence_number=1)
        return [_parked(message) for message in found]


def message(body: Any, **properties: Any) -> ServiceBusMessage:
    """A message with this body: bytes, or a document."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ServiceBusMessage(raw, **properties)


def _result(found: ServiceBusReceivedMessage) -> ResultEvent:
    return ResultEvent(
        message_id=str(found.message_id),
        correlation_id=str(found.correlation_id),
        content_type=str(found.content_type),
        event=json.loads(b"".join(found.body)),
    )


def _parked(found: ServiceBusReceivedMessage) -> Parked:
    properties = {
        _text(name): value for name, value in (found.application_properties or {}).items()
    }
    return Parked(
        sequence_number=found.sequence_number or 0,
        source_message_id=_text(properties.get("sourceMessageId")),
        reason=_text(properties.get("reason")),
        body=b"".join(found.body),
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
