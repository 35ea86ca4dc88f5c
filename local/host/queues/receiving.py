"""A receiver of the real SDK, with a bound on everything that it may wait for."""

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
_SETTLE_WITHIN = 30.0
_RENEW_WITHIN = 30.0
_CLOSE_WITHIN = 3.0
# Between attempts to settle by a link that has been opened anew.
_PAUSES = (0.1, 0.5, 2.0, 5.0)
# Settlements that wait for their confirmation at once. When a link fails, the SDK opens a connection
# for each of them and forgets all but one; and the more tasks look at one socket, the longer it takes.
_SETTLING = 16
# For how long the SDK looks at its socket before it looks round: a settlement whose confirmation
# another task has read is noticed after this time, and an idle queue costs a look as often.
_LOOK = 0.05
# The SDK goes on collecting for a while after a message, unless this time is over by then: so a
# message that comes alone is handed over at once.
_WAIT = 0.001

logger = logging.getLogger("local.host.queues")

Act = Callable[["ServiceBusReceivedMessage"], Awaitable[object]]


class Receiving:
    """An open receiver in peek-lock mode; `open` makes one.

    Several tasks may use one at once. A message is settled by the receiver that it came from, also
    after the link has failed: nothing can be received then, but the receiver can be opened anew,
    and the SDK settles by request what came over a link that is gone.
    """

    def __init__(self, receiver: "ServiceBusReceiver") -> None:
        self._receiver = receiver
        self._failed = asyncio.Event()
        self._calls = 0
        self._is_unused = asyncio.Event()
        self._turn = asyncio.Lock()
        self._settling = asyncio.Semaphore(_SETTLING)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, connection: Connection, queue: str) -> AsyncIterator["Receiving"]:
        """A receiver for `queue`, closed in the end; the SDK's errors say why there is none."""
        client, credential = connection.client()
        async with contextlib.AsyncExitStack() as opened:
            if credential is not None:
                opened.push_async_callback(_closed, credential.close)
            opened.push_async_callback(_closed, client.close)
            # Prefetched messages would spend their locks in the buffer.
            receiver = client.get_queue_receiver(queue, prefetch_count=0, socket_timeout=_LOOK)
            async with asyncio.timeout(_OPEN_WITHIN):
                await receiver.__aenter__()
            yield cls(receiver)

    async def receive(self, most: int) -> "list[ServiceBusReceivedMessage]":
        """Up to `most` messages, locked; none if there are none within a moment.

        Call it again without a pause: what comes between two calls the SDK gives back.
        """
        if self._failed.is_set():
            raise ConnectionError("the link has failed")
        async with asyncio.timeout(_RECEIVE_WITHIN), self._well():
            return await self._receiver.receive_messages(most, max_wait_time=_WAIT)

    async def complete(self, message: "ServiceBusReceivedMessage") -> None:
        """Takes `message` out of the queue; an error may mean that its lock is lost."""
        await self._settle(self._receiver.complete_message, message)

    async def abandon(self, message: "ServiceBusReceivedMessage") -> None:
        """Has `message` delivered again at once, or dead-lettered if that was its last delivery."""
        await self._settle(self._receiver.abandon_message, message)

    async def renew(self, message: "ServiceBusReceivedMessage") -> None:
        """Locks `message` for a further lock period."""
        async with asyncio.timeout(_RENEW_WITHIN):
            await self._by_any_link(self._receiver.renew_message_lock, message)

    async def _settle(self, settle: Act, message: "ServiceBusReceivedMessage") -> None:
        async with asyncio.timeout(_SETTLE_WITHIN), self._settling:
            await self._by_any_link(settle, message)

    async def _by_any_link(self, act: Act, message: "ServiceBusReceivedMessage") -> None:
        if not self._failed.is_set():
            try:
                async with self._well():
                    await act(message)
            except Exception as exc:
                if not self._failed.is_set():
                    raise
                logger.debug("again by another link: %s", type(exc).__name__)
            else:
                return
        # The SDK expects neither to be opened by two tasks at once, nor while others still fail.
        async with self._turn:
            await self._is_unused.wait()
            await self._reopened(act, message)

    async def _reopened(self, act: Act, message: "ServiceBusReceivedMessage") -> None:
        from azure.servicebus.exceptions import MessageLockLostError  # noqa: PLC0415 - costly

        for pause in _PAUSES:
            try:
                await self._receiver.__aenter__()
                await act(message)
            except MessageLockLostError:
                raise
            except Exception as exc:  # noqa: BLE001 - by many names, the new link has failed as well
                logger.debug("once more by another link: %s", type(exc).__name__)
                await asyncio.sleep(pause)
            else:
                return
        raise ConnectionError("no link could be had")

    @contextlib.asynccontextmanager
    async def _well(self) -> AsyncIterator[None]:
        """For a call that others may make at the same time; most errors are the end of that."""
        from azure.servicebus.exceptions import MessageLockLostError  # noqa: PLC0415 - costly

        self._calls += 1
        self._is_unused.clear()
        try:
            yield
        except MessageLockLostError:
            raise
        except BaseException:
            self._failed.set()
            raise
        finally:
            self._calls -= 1
            if not self._calls:
                self._is_unused.set()


async def _closed(close: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(_CLOSE_WITHIN):
            await close()
    except Exception as exc:  # noqa: BLE001 - what cannot be closed is left, whatever the reason
        logger.debug("closing failed: %s", type(exc).__name__)
