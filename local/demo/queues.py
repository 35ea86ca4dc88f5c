"""The demo's Service Bus client: sends requests, reads results and rejected messages."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusReceiveMode
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

from local.demo.example_messages import BULK, REQUESTS
from local.demo.steps import CheckFailedError, StepSkippedError

RESULTS, REJECTED = "enrollment-results", "enrollment-rejected"

QUEUE_TIMEOUT = 20.0
"""Seconds to wait for the effect of a message."""
_MAX_MESSAGES = 250
# How long the SDK blocks on its socket before it checks for other work.
_SOCKET_TIMEOUT = 0.02


@dataclass(frozen=True, kw_only=True)
class ResultMessage:
    """A result: the message's properties, and the event in its body."""

    message_id: str
    correlation_id: str
    content_type: str
    event: Any


@dataclass(frozen=True, kw_only=True)
class RejectedMessage:
    """A message in the rejected queue."""

    sequence_number: int
    source_message_id: str
    reason: str
    body: bytes = field(repr=False)


class DemoQueues:
    """
    One client of the Service Bus SDK with one link per queue, for use on one event loop.

    It is shared by all steps, because the SDK takes a second to close a client. `reply_queues` hold
    results, as the results queue does.
    """

    def __init__(self, connection_string: str, *, reply_queues: Iterable[str] = ()) -> None:
        self._client = ServiceBusClient.from_connection_string(
            connection_string, retry_total=0, try_timeout=QUEUE_TIMEOUT
        )
        self._senders: dict[str, ServiceBusSender] = {
            queue: self._client.get_queue_sender(queue) for queue in (REQUESTS, BULK)
        }
        self._receivers: dict[str, ServiceBusReceiver] = {
            queue: self._client.get_queue_receiver(
                queue,
                receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE,
                prefetch_count=0,
                socket_timeout=_SOCKET_TIMEOUT,
            )
            for queue in (RESULTS, *reply_queues)
        }
        self._rejected = self._client.get_queue_receiver(
            REJECTED, prefetch_count=0, socket_timeout=_SOCKET_TIMEOUT
        )
        self._unread: dict[str, list[ResultMessage]] = {queue: [] for queue in self._receivers}
        self._is_open = False

    @property
    def _links(self) -> Sequence[ServiceBusSender | ServiceBusReceiver]:
        return [*self._senders.values(), *self._receivers.values(), self._rejected]

    async def open(self) -> Sequence[str]:
        """Opens all links concurrently; returns the names of the queues."""
        async with asyncio.timeout(QUEUE_TIMEOUT):
            await asyncio.gather(*(link.__aenter__() for link in self._links))
        self._is_open = True
        return [*self._senders, *self._receivers, REJECTED]

    async def aclose(self) -> None:
        """Closes all links concurrently, because each takes a while, then the client."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._client.close)
            await asyncio.gather(*(link.close() for link in self._links), return_exceptions=True)

    def _check_open(self) -> None:
        if not self._is_open:
            raise StepSkippedError("no queue is open")

    async def send(self, queue: str, *messages: ServiceBusMessage) -> None:
        """Sends the messages as one batch, so that they arrive together."""
        self._check_open()
        await self._senders[queue].send_messages(list(messages))

    async def receive_results(
        self, correlation_ids: Iterable[str], number: int = 1, *, queue: str = RESULTS
    ) -> Sequence[ResultMessage]:
        """
        Returns the results with these correlation ids, once there are `number` of them.

        Raises CheckFailedError if they do not arrive in time.
        """
        wanted = set(correlation_ids)
        unread = self._unread[queue]
        try:
            async with asyncio.timeout(QUEUE_TIMEOUT):
                while missing := number - sum(item.correlation_id in wanted for item in unread):
                    unread += await self._receive(queue, missing)
        except TimeoutError:
            raise CheckFailedError(f"no result within {QUEUE_TIMEOUT:.0f} s") from None
        results = [item for item in unread if item.correlation_id in wanted]
        unread[:] = [item for item in unread if item.correlation_id not in wanted]
        return results

    async def _receive(self, queue: str, at_most: int) -> Sequence[ResultMessage]:
        # The SDK returns at once only if it has received the maximum number of messages.
        messages = await self._receivers[queue].receive_messages(
            at_most, max_wait_time=QUEUE_TIMEOUT
        )
        return [_parse_result(message) for message in messages]

    async def peek_rejected(self) -> Sequence[RejectedMessage]:
        """Returns the messages in the rejected queue without receiving them."""
        self._check_open()
        # Without a sequence number the SDK continues after the last message that it peeked.
        messages = await self._rejected.peek_messages(_MAX_MESSAGES, sequence_number=1)
        return [_parse_rejected(message) for message in messages]


def create_message(body: Any, **properties: Any) -> ServiceBusMessage:
    """Creates a message whose body is bytes or the JSON of a document."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ServiceBusMessage(raw, **properties)


def _parse_result(message: ServiceBusReceivedMessage) -> ResultMessage:
    return ResultMessage(
        message_id=str(message.message_id),
        correlation_id=str(message.correlation_id),
        content_type=str(message.content_type),
        event=json.loads(b"".join(message.body)),
    )


def _parse_rejected(message: ServiceBusReceivedMessage) -> RejectedMessage:
    properties = {
        _text(name): value for name, value in (message.application_properties or {}).items()
    }
    return RejectedMessage(
        sequence_number=message.sequence_number or 0,
        source_message_id=_text(properties.get("sourceMessageId")),
        reason=_text(properties.get("reason")),
        body=b"".join(message.body),
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
