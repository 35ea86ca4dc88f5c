"""
Taking chosen messages out of a queue, wherever in it they lie.

A queue gives its messages in order. Those before the chosen ones are deferred: they stay where they
are and can be had by their numbers. That counts as one delivery of each, once; giving them back would
count at every run, until the queue dead-letters them (docs page "Message deferral",
learn.microsoft.com/azure/service-bus-messaging/message-deferral; Azure/azure-service-bus#375).
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.errors import MessageTooLargeError, SendError
from shared.messaging.browsing import read
from shared.messaging.connection import failure
from shared.messaging.rejections import RejectedMessage

if TYPE_CHECKING:  # costly: on first use
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver

# All locks start together, and the shortest lock lasts five seconds.
_RECEIVED_AT_ONCE = 16
_SETTLE_WITHIN = 10.0
# Beyond what the SDK is told to wait.
_GRACE = 15.0

Act = Callable[[RejectedMessage], Awaitable[None]]
"""What is done with a message before it is completed; raises `SendError` to keep it."""


@dataclass(kw_only=True, slots=True)
class Taken:
    """What became of the chosen messages, by sequence number, and of others."""

    done: list[int] = field(default_factory=list)
    uncompleted: list[int] = field(default_factory=list)
    """Done, but their locks were lost: they are still there, or were completed unconfirmed."""
    failed: dict[int, SendError] = field(default_factory=dict)
    """Each for its own reason."""
    left: list[int] = field(default_factory=list)
    """Not come by: locked by others, or too far behind."""
    deferred: int = 0
    stopped: SendError | None = None
    """Why it ended before all was tried."""

    def raise_if_in_vain(self) -> None:
        """Raises the first error if nothing was done."""
        errors = [*self.failed.values(), *filter(None, [self.stopped])]
        if errors and not self.done:
            raise errors[0]

    def told(self, deed: str) -> dict[str, Any]:
        """All of it as a JSON document; `deed` names the number of messages done."""
        return {
            deed: len(self.done),
            "sequenceNumbers": sorted(self.done),
            "uncompleted": sorted(self.uncompleted),
            "failed": {str(number): str(error) for number, error in sorted(self.failed.items())},
            "left": self.left,
            "deferred": self.deferred,
            "stopped": self.stopped and str(self.stopped),
        }


class Taking:
    """One run over a place; `act` is applied to each chosen message, at most once."""

    def __init__(
        self,
        receiver: "ServiceBusReceiver",
        place: str,
        act: Act,
        *,
        deadline: float,
        at_most: int,
        wait: float,
    ) -> None:
        self._receiver = receiver
        self._place = place
        self._act = act
        self._deadline = deadline
        self._at_most = at_most
        self._wait = wait
        self._missing: set[int] = set()
        self._taken = Taken()
        self._is_broken = False

    async def take(self, chosen: Collection[int], *, deferred: Collection[int]) -> Taken:
        """Takes `chosen`, of which `deferred` were found deferred; never longer than allowed."""
        self._missing = set(chosen)
        await self._take_by_number(deferred)
        await self._take_from_head()
        # Others may have deferred some meanwhile.
        await self._take_by_number(self._missing - set(deferred))
        self._taken.left = sorted(self._missing)
        return self._taken

    @property
    def _goes_on(self) -> bool:
        is_in_time = asyncio.get_running_loop().time() < self._deadline
        return is_in_time and not self._taken.stopped and bool(self._missing)

    async def _take_by_number(self, numbers: Collection[int]) -> None:
        from azure.servicebus.exceptions import (  # noqa: PLC0415  costly: on first use
            MessageNotFoundError,
        )

        for number in sorted(numbers):
            if not self._goes_on:
                return
            try:
                async with asyncio.timeout(_GRACE):
                    found = await self._receiver.receive_deferred_messages([number])
            except MessageNotFoundError:
                continue
            except Exception as error:  # noqa: BLE001  the border to the SDK
                self._stop(error)
                return
            await self._handle(found)

    async def _take_from_head(self) -> None:
        received, wanted = 0, 1
        while self._goes_on and received < self._at_most:
            found = await self._received(min(wanted, self._at_most - received))
            received += len(found)
            await self._handle(found)
            last = max((message.sequence_number or 0 for message in found), default=0)
            # No more than there can be up to the last that is missing.
            wanted = min(max(self._missing, default=0) - last, _RECEIVED_AT_ONCE)
            # Or else what is missing was passed by: it is not to be had now.
            if not found or wanted <= 0:
                return

    async def _received(self, at_most: int) -> "list[ServiceBusReceivedMessage]":
        try:
            async with asyncio.timeout(self._wait + _GRACE):
                return await self._receiver.receive_messages(at_most, max_wait_time=self._wait)
        except Exception as error:  # noqa: BLE001  the border to the SDK
            self._stop(error)
            return []

    async def _handle(self, found: "Sequence[ServiceBusReceivedMessage]") -> None:
        wanted = [message for message in found if message.sequence_number in self._missing]
        errors = await asyncio.gather(*map(self._acted, wanted))
        kept = [message for message in found if message not in wanted]
        for message, error in zip(wanted, errors, strict=True):
            number = message.sequence_number or 0
            self._missing.discard(number)
            if error is None:
                await self._complete(message, number)
            else:
                self._note(number, error)
                kept.append(message)
        for message in kept:
            self._taken.deferred += await self._settled(self._receiver.defer_message, message)

    async def _acted(self, message: "ServiceBusReceivedMessage") -> SendError | None:
        try:
            await self._act(read(message, self._place))
        except SendError as error:
            return error
        return None

    def _note(self, number: int, error: SendError) -> None:
        self._taken.failed[number] = error
        if not isinstance(error, MessageTooLargeError):
            self._taken.stopped = error

    async def _complete(self, message: "ServiceBusReceivedMessage", number: int) -> None:
        is_completed = await self._settled(self._receiver.complete_message, message)
        self._taken.done.append(number)
        if not is_completed:
            self._taken.uncompleted.append(number)

    async def _settled(
        self,
        settle: "Callable[[ServiceBusReceivedMessage], Awaitable[None]]",
        message: "ServiceBusReceivedMessage",
    ) -> bool:
        from azure.servicebus.exceptions import (  # noqa: PLC0415  costly: on first use
            MessageLockLostError,
        )

        if self._is_broken:
            return False  # its lock lapses
        try:
            async with asyncio.timeout(_SETTLE_WITHIN):
                await settle(message)
        except MessageLockLostError:
            return False
        except Exception as error:  # noqa: BLE001  the border to the SDK
            self._stop(error)
            return False
        return True

    def _stop(self, error: Exception) -> None:
        self._is_broken = True
        self._taken.stopped = self._taken.stopped or failure(error, self._place)
