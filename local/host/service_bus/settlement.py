"""Settles messages and renews their locks."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from local.host.service_bus.connection import Connection, open_receiver
from local.host.tasks import BackgroundTasks

if TYPE_CHECKING:  # imported only for an app that has a Service Bus trigger: it is slow to load
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver

_SETTLE_TIMEOUT = 30.0
_REQUEST_TIMEOUT = 10.0
_CLOSE_TIMEOUT = 5.0
# The delay before each attempt; every attempt but the first opens a new connection.
_DELAYS = (0.0, 0.1, 0.2, 0.5, *[1.0] * 8)
# The fraction of the remaining lock time after which it is renewed: a failed renewal can be retried.
_RENEW_AFTER = 0.5
_MIN_RETRY_DELAY = 1.0
# A longer limit on renewals would overflow when it is added to the current time.
_MAX_DURATION = timedelta(days=365)

logger = logging.getLogger("local.host.service_bus")

Request = Callable[["ServiceBusReceiver"], Awaitable[object]]


class SettlementClient:
    """
    A client that settles a queue's messages and renews their locks, for any number of tasks.

    Each request names the lock, as the SDK does for messages of another receiver. So it does not
    need the link that delivered the message, and does not disturb the receiver. An error can mean
    that the lock was lost, or that an earlier attempt took effect.
    """

    def __init__(
        self, connection: Connection, queue: str, *, connections: int, requests_per_connection: int
    ) -> None:
        """`connections` is the number of AMQP connections; each sends one request at a time."""
        self._connections = [
            _SettlementConnection(connection, queue, max_requests=requests_per_connection)
            for _ in range(connections)
        ]
        # Last in, first out: another connection is opened only when the last used one is busy.
        self._idle: asyncio.LifoQueue[_SettlementConnection] = asyncio.LifoQueue()
        for idle in self._connections:
            self._idle.put_nowait(idle)

    async def open(self) -> None:
        """
        Opens a connection if none is open; errors of the SDK propagate.

        Called before messages arrive, because the first message's lock may expire during opening.
        """
        if any(connection.is_open for connection in self._connections):
            return
        connection = await self._idle.get()
        try:
            await connection.open()
        finally:
            self._idle.put_nowait(connection)

    async def complete(self, message: "ServiceBusReceivedMessage") -> None:
        """Completes `message`: removes it from the queue."""
        await self._request(lambda receiver: receiver.complete_message(message))

    async def abandon(self, message: "ServiceBusReceivedMessage") -> None:
        """Abandons `message`: it is redelivered, or dead-lettered after its last delivery."""
        await self._request(lambda receiver: receiver.abandon_message(message))

    async def renew(self, message: "ServiceBusReceivedMessage") -> None:
        """Renews the lock of `message` for another lock duration."""
        await self._request(lambda receiver: receiver.renew_message_lock(message))

    async def close(self) -> None:
        """Closes all connections; no request may be in flight."""
        await asyncio.gather(*(connection.close() for connection in self._connections))

    async def _request(self, request: Request) -> None:
        async with asyncio.timeout(_SETTLE_TIMEOUT):
            connection = await self._idle.get()
            try:
                await connection.send(request)
            finally:
                self._idle.put_nowait(connection)


class _SettlementConnection:
    """An AMQP connection, opened on demand, for one request at a time."""

    def __init__(self, connection: Connection, queue: str, *, max_requests: int) -> None:
        self._connection = connection
        self._queue = queue
        self._max_requests = max_requests
        self._receiver: ServiceBusReceiver | None = None
        self._requests_left = 0
        self._open_resources = contextlib.AsyncExitStack()
        self._closing = BackgroundTasks()

    @property
    def is_open(self) -> bool:
        """Whether the connection was opened; it may have failed since without being noticed."""
        return self._receiver is not None

    async def open(self) -> None:
        """Opens the connection, unless it is open."""
        if not self.is_open:
            await self._open()

    async def send(self, request: Request) -> None:
        """Sends the request, with retries; raises ConnectionError if every attempt failed."""
        from azure.servicebus.exceptions import (
            MessageAlreadySettled,
            MessageLockLostError,
        )

        for delay in _DELAYS:
            if delay:
                await asyncio.sleep(delay)
            try:
                async with asyncio.timeout(_REQUEST_TIMEOUT):
                    await request(self._receiver or await self._open())
            except (MessageLockLostError, MessageAlreadySettled):
                raise
            except Exception as exc:  # noqa: BLE001 - any other error means a failed connection
                logger.debug("retrying on a new connection: %s", type(exc).__name__)
                self._discard()
            except BaseException:
                # Cancelled: the SDK may have read half a response, which the next request must not see.
                self._discard()
                raise
            else:
                self._count_request()
                return
        raise ConnectionError(f"no response after {len(_DELAYS)} attempts")

    async def close(self) -> None:
        """Closes the connection, and waits for those that were discarded earlier."""
        self._discard()
        await self._closing.wait(within=_CLOSE_TIMEOUT)

    async def _open(self) -> "ServiceBusReceiver":
        receiver = open_receiver(self._connection, self._queue)
        self._receiver = await self._open_resources.enter_async_context(receiver)
        self._requests_left = self._max_requests
        return self._receiver

    def _count_request(self) -> None:
        self._requests_left -= 1
        if not self._requests_left:
            self._discard()

    def _discard(self) -> None:
        self._receiver = None
        self._closing.start(self._open_resources.pop_all().aclose())


class LockRenewer:
    """A renewer of the locks of one queue's messages, each for at most `max_duration`."""

    def __init__(self, settlement: SettlementClient, *, max_duration: timedelta) -> None:
        self._settlement = settlement
        self._max_duration = max_duration
        self._in_flight = BackgroundTasks()

    @contextlib.contextmanager
    def renew_lock(self, message: "ServiceBusReceivedMessage") -> Iterator[None]:
        """Renews the lock of `message` until the block ends."""
        deadline = datetime.now(UTC) + min(self._max_duration, _MAX_DURATION)
        renewal = _LockRenewal(message, self._start, deadline=deadline)
        renewal.schedule()
        try:
            yield
        finally:
            renewal.end()

    async def stop(self) -> None:
        """Cancels the renewals in flight; no message may be in flight any more."""
        await self._in_flight.cancel()

    def _start(self, renewal: "_LockRenewal") -> None:
        self._in_flight.start(self._renew(renewal))

    async def _renew(self, renewal: "_LockRenewal") -> None:
        try:
            await self._settlement.renew(renewal.message)
        except Exception as exc:  # noqa: BLE001 - after any error the renewal is retried
            if not renewal.has_ended:
                number, name = renewal.message.sequence_number, type(exc).__name__
                logger.warning("the lock of message %s could not be renewed: %s", number, name)
            renewal.schedule(min_delay=_MIN_RETRY_DELAY)
        else:
            renewal.schedule()


class _LockRenewal:
    """A message and the timer of its next renewal: most messages are settled before it fires."""

    def __init__(
        self,
        message: "ServiceBusReceivedMessage",
        start: Callable[["_LockRenewal"], None],
        *,
        deadline: datetime,
    ) -> None:
        self.message = message
        self.has_ended = False
        self._start = start
        self._deadline = deadline
        self._timer: asyncio.TimerHandle | None = None

    def schedule(self, *, min_delay: float = 0.0) -> None:
        """Sets the timer, unless the lock is lost or lasts beyond the deadline."""
        locked_until, now = self.message.locked_until_utc, datetime.now(UTC)
        if self.has_ended or not locked_until or not now < locked_until < self._deadline:
            return
        remaining = (locked_until - now).total_seconds()
        delay = max(remaining * _RENEW_AFTER, min_delay)
        self._timer = asyncio.get_running_loop().call_later(delay, self._start, self)

    def end(self) -> None:
        """Starts no further renewal; one in flight continues."""
        self.has_ended = True
        if self._timer is not None:
            self._timer.cancel()
