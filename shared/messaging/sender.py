"""Sending of messages: each is sent at least once, or an error is raised."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.errors import MessageTooLargeError, QueueError, QueueRefusedError, QueueUnreachableError
from shared.messaging.messages import OutgoingMessage
from shared.messaging.service_bus import (
    ServiceBusNamespace,
    close_quietly,
    to_large_sdk_message,
    to_queue_error,
    to_sdk_message,
)
from shared.settings import ServiceBusSettings

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch
    from azure.servicebus.aio import ServiceBusSender

# Seconds before each attempt. The first often meets a link that was idle for ten minutes, which the
# service has detached.
_DELAYS = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
# A refusal may be due to an expired token of the connection, so it is retried once.
_MAX_REFUSALS = 2
# Larger batches are not faster; the service accepts 4,500 messages per batch.
_MAX_BATCH_SIZE = 1000
_CLOSE_TIMEOUT = 5.0


class MessageSender:
    """
    A sender of messages to queues, for any number of tasks of the event loop that created it.

    Connections are created on first use and kept. `timeout` bounds a send with all its attempts,
    `attempt_timeout` each attempt, in seconds.
    """

    def __init__(
        self,
        settings: ServiceBusSettings,
        *,
        timeout: float = 25.0,
        attempt_timeout: float = 8.0,
    ) -> None:
        self._namespace = ServiceBusNamespace(settings, try_timeout=attempt_timeout)
        self._timeout = timeout
        self._attempt_timeout = attempt_timeout
        self._queue_senders: dict[str, QueueSender] = {}
        self._is_closed = False

    async def send(self, queue: str, *messages: OutgoingMessage) -> None:
        """
        Sends the messages and returns once the queue has accepted all of them.

        Raises `QueueRefusedError`, `MessageTooLargeError` or `QueueUnreachableError` if it did not
        accept one of them; the others may have been accepted. The outcome of a cancelled send is
        unknown.
        """
        if self._is_closed:
            raise QueueUnreachableError("The connection was closed.")
        if messages:
            await self._queue_sender(queue).send(messages)

    async def aclose(self) -> None:
        """Finishes the sends in flight within seconds, and closes all connections for good."""
        self._is_closed = True
        await asyncio.gather(*(sender.aclose() for sender in self._queue_senders.values()))
        await self._namespace.aclose()

    def _queue_sender(self, queue: str) -> "QueueSender":
        sender = self._queue_senders.get(queue)
        if sender is None:
            sender = self._queue_senders[queue] = QueueSender(
                queue,
                lambda: self._namespace.client().get_queue_sender(queue),
                timeout=self._timeout,
                attempt_timeout=self._attempt_timeout,
            )
        return sender


@dataclass(eq=False, slots=True)
class _PendingSend:
    """A message and the future of its error, or `None`; the caller cancels the future to leave."""

    message: OutgoingMessage
    outcome: "asyncio.Future[Exception | None]"

    @property
    def is_awaited(self) -> bool:
        return not self.outcome.done()

    def resolve(self, error: Exception | None) -> None:
        if self.is_awaited:
            self.outcome.set_result(error)


@dataclass(eq=False, slots=True)
class _Batch:
    """The sends that go out together, and the SDK's message or batch for them."""

    sends: list[_PendingSend] = field(default_factory=list)
    content: "ServiceBusMessage | ServiceBusMessageBatch | None" = None


def _closed_error() -> QueueUnreachableError:
    return QueueUnreachableError("The connection was closed before the message was sent.")


class QueueSender:
    """
    A sender to one queue that batches concurrent sends: an SDK sender allows one at a time.

    Sends that arrive while a batch is in flight go out as the next batch.
    """

    def __init__(
        self,
        queue: str,
        open_sender: "Callable[[], ServiceBusSender]",
        *,
        timeout: float,
        attempt_timeout: float,
    ) -> None:
        self._queue = queue
        self._open_sender = open_sender
        self._timeout = timeout
        self._attempt_timeout = attempt_timeout
        self._pending: deque[_PendingSend] = deque()
        self._batch = _Batch()
        # One task sends for all callers: a cancelled caller does not disturb the others.
        self._task: asyncio.Task[None] | None = None
        self._sender: ServiceBusSender | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def send(self, messages: Sequence[OutgoingMessage]) -> None:
        """Returns once all are accepted; raises the first error once all have been tried."""
        loop = asyncio.get_running_loop()
        sends = [_PendingSend(message, loop.create_future()) for message in messages]
        self._pending.extend(sends)
        if self._task is None:
            # An empty context: a shared task must not log under a caller's invocation.
            self._task = loop.create_task(self._send_all(), context=contextvars.Context())
        try:
            async with asyncio.timeout(self._timeout):
                outcomes = [await send.outcome for send in sends]
        except TimeoutError as error:
            raise to_queue_error(error, self._queue) from error
        finally:
            for send in sends:
                send.outcome.cancel()
        for outcome in filter(None, outcomes):
            raise outcome

    async def aclose(self) -> None:
        """Waits a few seconds for sends that are awaited, and closes the connection."""
        if self._task and self._is_awaited:
            await asyncio.wait([self._task], timeout=_CLOSE_TIMEOUT)
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_CLOSE_TIMEOUT)
        self._discard_sender()
        if self._closing:
            await asyncio.wait(self._closing)

    async def _send_all(self) -> None:
        try:
            while self._is_awaited:
                await self._send_next()
        finally:
            self._task = None
            while self._pending:
                self._pending.popleft().resolve(_closed_error())

    async def _send_next(self) -> None:
        self._batch = batch = _Batch()
        try:
            error = await self._send_with_retries()
            if isinstance(error, MessageTooLargeError) and len(batch.sends) > 1:
                # The batch is within the limit but a message is not: properties have their own.
                for send in batch.sends:
                    self._batch = _Batch([send], to_sdk_message(send.message))
                    self._resolve(await self._send_with_retries())
            else:
                self._resolve(error)
        finally:
            self._batch = _Batch()
            for send in batch.sends:
                if send.is_awaited:
                    send.resolve(_closed_error())

    async def _send_with_retries(self) -> QueueError | None:
        error: QueueError | None = None
        refusals = 0
        for delay in _DELAYS:
            await asyncio.sleep(delay)
            if not self._is_awaited:
                break
            error = await self._attempt(self._batch)
            refusals += isinstance(error, QueueRefusedError)
            is_final = isinstance(error, MessageTooLargeError) or refusals == _MAX_REFUSALS
            if error is None or is_final:
                break
        return error

    @property
    def _is_awaited(self) -> bool:
        sends = self._batch.sends or self._pending
        return any(send.is_awaited for send in sends)

    def _resolve(self, error: QueueError | None) -> None:
        if error and not self._batch.sends:
            # No sender could be opened: all pending sends fail.
            self._batch.sends.extend(self._pending)
            self._pending.clear()
        for send in self._batch.sends:
            # One exception each: an exception raised several times collects all tracebacks.
            send.resolve(error and to_queue_error(error.__cause__ or error, self._queue))

    async def _attempt(self, batch: _Batch) -> QueueError | None:
        try:
            async with asyncio.timeout(self._attempt_timeout):
                await self._send(batch)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            # The SDK raised it itself.
            failure = to_queue_error(error, self._queue)
        except Exception as error:  # noqa: BLE001  any error of the SDK is translated
            failure = to_queue_error(error, self._queue)
        else:
            return None
        if not isinstance(failure, MessageTooLargeError):
            self._discard_sender()
        return failure

    async def _send(self, batch: _Batch) -> None:
        if self._sender is None:
            self._sender = self._open_sender()
        if batch.content is None:
            await self._fill(batch, self._sender)
        if batch.content is not None:
            await self._sender.send_messages(batch.content)

    async def _fill(self, batch: _Batch, sender: "ServiceBusSender") -> None:
        from azure.servicebus.exceptions import MessageSizeExceededError

        # Opens the link, which has the size limit.
        sdk_batch = await sender.create_message_batch()
        while self._pending and len(sdk_batch) < _MAX_BATCH_SIZE:
            send = self._pending[0]
            try:
                if send.is_awaited:
                    sdk_batch.add_message(to_sdk_message(send.message))
                    batch.sends.append(send)
            except MessageSizeExceededError:
                if batch.sends:
                    break
                # A queue may accept a message that is larger than any batch.
                self._pending.popleft()
                batch.sends.append(send)
                batch.content = to_large_sdk_message(send.message, sender)
                return
            except Exception as error:  # noqa: BLE001  a message that cannot be encoded fails alone
                send.resolve(error)
            self._pending.popleft()
        if len(batch.sends) > 1:
            batch.content = sdk_batch
        elif batch.sends:
            batch.content = to_sdk_message(batch.sends[0].message)

    def _discard_sender(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            task = asyncio.get_running_loop().create_task(close_quietly(sender.close))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
