"""Receivers of the real SDK, with a bound on everything that they may wait for."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from local.host.queues.connections import Connection

if TYPE_CHECKING:  # costly: only an app with a Service Bus trigger pays for it
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver

_OPEN_WITHIN = 30.0
_RECEIVE_WITHIN = 20.0
_CLOSE_WITHIN = 3.0
# For how long the SDK looks at its socket before it looks round; an idle queue costs a look as often.
_LOOK = 0.05
# For how long one call waits for a message.
_WAIT = 0.5

logger = logging.getLogger("local.host.queues")


@contextlib.asynccontextmanager
async def opened(connection: Connection, queue: str) -> "AsyncIterator[ServiceBusReceiver]":
    """A receiver for `queue` in peek-lock mode, closed in the end; the SDK says why there is none.

    It has a connection of its own, and may not be used by two tasks at once: the SDK's are not made
    for that (TROUBLESHOOTING.md of azure-servicebus 7.15.0, "Thread safety limitations").
    """
    client, credential = connection.client()
    async with contextlib.AsyncExitStack() as stack:
        if credential is not None:
            stack.push_async_callback(_closed, credential.close)
        stack.push_async_callback(_closed, client.close)
        # Prefetched messages would spend their locks in the buffer.
        receiver = client.get_queue_receiver(queue, prefetch_count=0, socket_timeout=_LOOK)
        async with asyncio.timeout(_OPEN_WITHIN):
            await receiver.__aenter__()
        yield receiver


async def received(receiver: "ServiceBusReceiver") -> "ServiceBusReceivedMessage | None":
    """The next message, locked, or None if there is none within a moment.

    Call it again without a pause: what comes between two calls the SDK may give back. After an
    error the receiver is not good for anything.
    """
    async with asyncio.timeout(_RECEIVE_WITHIN):
        # One at a time: those that the SDK has collected in a call during which the link fails
        # are handed to nobody, and stay locked.
        messages = await receiver.receive_messages(1, max_wait_time=_WAIT)
    return messages[0] if messages else None


async def _closed(close: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(_CLOSE_WITHIN):
            await close()
    except Exception as exc:  # noqa: BLE001 - what cannot be closed is left, whatever the reason
        logger.debug("closing failed: %s", type(exc).__name__)
