"""Settlements and renewals of locks."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from local.host.queues.connections import Connection
from local.host.queues.receiving import opened
from local.host.queues.tasks import ended, keep

if TYPE_CHECKING:  # costly: only an app with a Service Bus trigger pays for it
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver

_SETTLE_WITHIN = 30.0
_REQUEST_WITHIN = 10.0
_CLOSE_WITHIN = 5.0
# azure-servicebus 7.15.0 keeps a note of each answer for as long as the connection lasts.
_REQUESTS_OF_ONE_CONNECTION = 1_000
# Before each attempt; all but the first are made on a connection that has been opened anew.
_PAUSES = (0.0, 0.1, 0.2, 0.5, *[1.0] * 8)

logger = logging.getLogger("local.host.queues")

Act = Callable[["ServiceBusReceiver"], Awaitable[object]]


class Settling:
    """Settles messages of one queue, and renews their locks, for any number of tasks at once.

    It is done by a request that names the lock, as the SDK does for a message of another receiver.
    So it does not matter whether the link over which a message came is still there, and who
    receives is not disturbed. An error may mean that a lock is lost, or that it was done before.
    """

    def __init__(self, connection: Connection, queue: str, *, at_once: int) -> None:
        """`at_once` are the connections on which requests are made, each one after the other."""
        self._requesters = [_Requester(connection, queue) for _ in range(at_once)]
        # The one that was used last comes first: the other is opened once that is busy.
        self._free: asyncio.LifoQueue[_Requester] = asyncio.LifoQueue()
        for requester in self._requesters:
            self._free.put_nowait(requester)

    async def open(self) -> None:
        """Opens a connection unless there is one; the SDK's errors say why it cannot be had.

        Done before messages come: the lock of the first might not last until then.
        """
        if any(requester.is_open for requester in self._requesters):
            return
        requester = await self._free.get()
        try:
            await requester.open()
        finally:
            self._free.put_nowait(requester)

    async def complete(self, message: "ServiceBusReceivedMessage") -> None:
        """Takes `message` out of the queue."""
        await self._request(lambda receiver: receiver.complete_message(message))

    async def abandon(self, message: "ServiceBusReceivedMessage") -> None:
        """Has `message` delivered again at once, or dead-lettered if that was its last delivery."""
        await self._request(lambda receiver: receiver.abandon_message(message))

    async def renew(self, message: "ServiceBusReceivedMessage") -> None:
        """Locks `message` for a further lock period."""
        await self._request(lambda receiver: receiver.renew_message_lock(message))

    async def close(self) -> None:
        """Closes what has been opened; nobody may be settling any more."""
        await asyncio.gather(*(requester.close() for requester in self._requesters))

    async def _request(self, act: Act) -> None:
        async with asyncio.timeout(_SETTLE_WITHIN):
            requester = await self._free.get()
            try:
                await requester.request(act)
            finally:
                self._free.put_nowait(requester)


class _Requester:
    """A connection that is opened when it is needed, for one request at a time."""

    def __init__(self, connection: Connection, queue: str) -> None:
        self._connection = connection
        self._queue = queue
        self._receiver: ServiceBusReceiver | None = None
        self._left = 0
        self._opened = contextlib.AsyncExitStack()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, which may have failed unnoticed."""
        return self._receiver is not None

    async def open(self) -> None:
        """Opens the connection, unless it is open."""
        if not self.is_open:
            await self._open()

    async def request(self, act: Act) -> None:
        """Does it, if need be again; what it raises in the end says why it cannot be done."""
        from azure.servicebus.exceptions import (  # noqa: PLC0415 - costly
            MessageAlreadySettled,
            MessageLockLostError,
        )

        for pause in _PAUSES:
            if pause:
                await asyncio.sleep(pause)
            try:
                async with asyncio.timeout(_REQUEST_WITHIN):
                    await act(self._receiver or await self._open())
            except (MessageLockLostError, MessageAlreadySettled):
                raise
            except Exception as exc:  # noqa: BLE001 - by whatever name, the connection has failed
                logger.debug("once more on another connection: %s", type(exc).__name__)
                self._discard()
            except BaseException:
                # Cancelled: what the SDK has half read is of no use to the next request.
                self._discard()
                raise
            else:
                self._count()
                return
        raise ConnectionError("no request was answered")

    async def close(self) -> None:
        """Closes the connection, and waits for those that failed before."""
        self._discard()
        await ended(self._closing, within=_CLOSE_WITHIN)

    async def _open(self) -> "ServiceBusReceiver":
        receiver = opened(self._connection, self._queue)
        self._receiver = await self._opened.enter_async_context(receiver)
        self._left = _REQUESTS_OF_ONE_CONNECTION
        return self._receiver

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            self._discard()

    def _discard(self) -> None:
        self._receiver = None
        keep(self._closing, self._opened.pop_all().aclose())
