"""
Receives selected messages from any position in a queue.

A queue delivers its messages in order. Those before the selected ones are deferred: they stay in the
queue and can be received by sequence number. Deferring counts as one delivery, once; abandoning
counts at every run until the queue dead-letters the message (docs page "Message deferral",
learn.microsoft.com/azure/service-bus-messaging/message-deferral; Azure/azure-service-bus#375).
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.errors import MessageTooLargeError, QueueError
from shared.messaging.rejected.model import RejectedMessage, to_rejected_message
from shared.messaging.service_bus import to_queue_error

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver

# All locks of a batch start together, and the shortest lock duration is five seconds.
_MAX_BATCH_SIZE = 16
_SETTLE_TIMEOUT = 10.0
# In addition to the time that the SDK waits.
_RECEIVE_GRACE = 15.0

Action = Callable[[RejectedMessage], Awaitable[None]]
"""Runs before a message is completed; raises `QueueError` to keep the message."""


@dataclass(kw_only=True, slots=True)
class ReceiveReport:
    """The outcomes of the selected messages, by sequence number, and of others."""

    done: list[int] = field(default_factory=list)
    uncompleted: list[int] = field(default_factory=list)
    """Done, but the lock was lost: they may still be in the queue."""
    failed: dict[int, QueueError] = field(default_factory=dict)
    remaining: list[int] = field(default_factory=list)
    """Not received: locked by others, or beyond the limit."""
    deferred: int = 0
    stopped_by: QueueError | None = None
    """The error that ended the run early."""

    def raise_if_nothing_done(self) -> None:
        """Raises the first error if no message was done."""
        errors = [*self.failed.values(), *filter(None, [self.stopped_by])]
        if errors and not self.done:
            raise errors[0]

    def document(self, count_member: str) -> dict[str, Any]:
        """Returns the report as JSON; `count_member` names the number of messages done."""
        return {
            count_member: len(self.done),
            "sequenceNumbers": sorted(self.done),
            "uncompleted": sorted(self.uncompleted),
            "failed": {str(number): str(error) for number, error in sorted(self.failed.items())},
            "left": self.remaining,
            "deferred": self.deferred,
            "stopped": self.stopped_by and str(self.stopped_by),
        }


class ReceiveRun:
    """
    One run over a queue path: applies `action` to each selected message, at most once.

    It ends at `deadline`, a time of the running loop, or after `limit` messages. A queue that
    delivers nothing for `idle_timeout` seconds counts as empty.
    """

    def __init__(
        self,
        receiver: "ServiceBusReceiver",
        queue_path: str,
        action: Action,
        *,
        deadline: float,
        limit: int,
        idle_timeout: float,
    ) -> None:
        self._receiver = receiver
        self._queue_path = queue_path
        self._action = action
        self._deadline = deadline
        self._limit = limit
        self._idle_timeout = idle_timeout
        self._missing: set[int] = set()
        self._report = ReceiveReport()
        self._is_broken = False

    async def receive(
        self, selected: Collection[int], *, deferred: Collection[int]
    ) -> ReceiveReport:
        """Receives the `selected` messages; those in `deferred` were seen as deferred."""
        self._missing = set(selected)
        await self._receive_deferred(deferred)
        await self._receive_from_head()
        # Another receiver may have deferred some meanwhile.
        await self._receive_deferred(self._missing - set(deferred))
        self._report.remaining = sorted(self._missing)
        return self._report

    @property
    def _continues(self) -> bool:
        is_in_time = asyncio.get_running_loop().time() < self._deadline
        return is_in_time and not self._report.stopped_by and bool(self._missing)

    async def _receive_deferred(self, numbers: Collection[int]) -> None:
        from azure.servicebus.exceptions import MessageNotFoundError

        for number in sorted(numbers):
            if not self._continues:
                return
            try:
                async with asyncio.timeout(_RECEIVE_GRACE):
                    batch = await self._receiver.receive_deferred_messages([number])
            except MessageNotFoundError:
                continue
            except Exception as error:  # noqa: BLE001  any error of the SDK is translated
                self._stop(error)
                return
            await self._process(batch)

    async def _receive_from_head(self) -> None:
        received, size = 0, 1
        while self._continues and received < self._limit:
            batch = await self._receive_batch(min(size, self._limit - received))
            received += len(batch)
            await self._process(batch)
            last = max((message.sequence_number or 0 for message in batch), default=0)
            # At most as many as there can be up to the last missing message.
            size = min(max(self._missing, default=0) - last, _MAX_BATCH_SIZE)
            # Otherwise the missing messages were passed: others have them locked.
            if not batch or size <= 0:
                return

    async def _receive_batch(self, limit: int) -> "list[ServiceBusReceivedMessage]":
        try:
            async with asyncio.timeout(self._idle_timeout + _RECEIVE_GRACE):
                return await self._receiver.receive_messages(
                    limit, max_wait_time=self._idle_timeout
                )
        except Exception as error:  # noqa: BLE001  any error of the SDK is translated
            self._stop(error)
            return []

    async def _process(self, batch: "Sequence[ServiceBusReceivedMessage]") -> None:
        selected = [message for message in batch if message.sequence_number in self._missing]
        errors = await asyncio.gather(*map(self._run_action, selected))
        kept = [message for message in batch if message not in selected]
        for message, error in zip(selected, errors, strict=True):
            number = message.sequence_number or 0
            self._missing.discard(number)
            if error is None:
                await self._complete(message, number)
            else:
                self._record_failure(number, error)
                kept.append(message)
        for message in kept:
            self._report.deferred += await self._settle(self._receiver.defer_message, message)

    async def _run_action(self, message: "ServiceBusReceivedMessage") -> QueueError | None:
        try:
            await self._action(to_rejected_message(message, self._queue_path))
        except QueueError as error:
            return error
        return None

    def _record_failure(self, number: int, error: QueueError) -> None:
        self._report.failed[number] = error
        if not isinstance(error, MessageTooLargeError):
            self._report.stopped_by = error

    async def _complete(self, message: "ServiceBusReceivedMessage", number: int) -> None:
        is_completed = await self._settle(self._receiver.complete_message, message)
        self._report.done.append(number)
        if not is_completed:
            self._report.uncompleted.append(number)

    async def _settle(
        self,
        settle: "Callable[[ServiceBusReceivedMessage], Awaitable[None]]",
        message: "ServiceBusReceivedMessage",
    ) -> bool:
        """Settles the message; returns whether Service Bus confirmed it."""
        from azure.servicebus.exceptions import MessageLockLostError

        if self._is_broken:
            return False  # its lock will expire
        try:
            async with asyncio.timeout(_SETTLE_TIMEOUT):
                await settle(message)
        except MessageLockLostError:
            return False
        except Exception as error:  # noqa: BLE001  any error of the SDK is translated
            self._stop(error)
            return False
        return True

    def _stop(self, error: Exception) -> None:
        self._is_broken = True
        self._report.stopped_by = self._report.stopped_by or to_queue_error(error, self._queue_path)
