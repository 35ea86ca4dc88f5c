"""Many sends into one queue at once, over a sender of the SDK that bears but one at a time."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.errors import MessageTooLargeError, QueueRefusedError, QueueUnreachableError, SendError
from shared.messaging.connection import closed, failure
from shared.messaging.encoding import alone, encoded
from shared.messaging.messages import OutgoingMessage

if TYPE_CHECKING:  # costly: on first use
    from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch
    from azure.servicebus.aio import ServiceBusSender

# Before each attempt. The first meets, as a rule, a link that was idle for ten minutes, which the
# service has ended.
_PAUSES = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
# A refusal may be a connection whose token has expired: it is believed the second time.
_REFUSALS = 2
# More is no faster, and the service takes 4,500 in one batch.
_MOST_IN_BATCH = 1000
_CLOSE_WITHIN = 5.0


@dataclass(eq=False, slots=True)
class _Parcel:
    """A message on its way; `sent` holds the error, or `None`. Who no longer waits, cancels it."""

    message: OutgoingMessage
    sent: "asyncio.Future[Exception | None]"

    @property
    def is_awaited(self) -> bool:
        return not self.sent.done()

    def tell(self, error: Exception | None) -> None:
        if self.is_awaited:
            self.sent.set_result(error)


@dataclass(eq=False, slots=True)
class _Shipment:
    """What goes out at once, and for whom."""

    parcels: list[_Parcel] = field(default_factory=list)
    content: "ServiceBusMessage | ServiceBusMessageBatch | None" = None


def _closed_error() -> QueueUnreachableError:
    return QueueUnreachableError("The connection was closed before the message was sent.")


class Outbox:
    """
    The way into one queue; of one event loop.

    While one batch is sent, what comes meanwhile waits and goes out as the next.
    """

    def __init__(
        self,
        queue: str,
        open_sender: "Callable[[], ServiceBusSender]",
        *,
        seconds: float,
        attempt_seconds: float,
    ) -> None:
        self._queue = queue
        self._open_sender = open_sender
        self._seconds = seconds
        self._attempt_seconds = attempt_seconds
        self._waiting: deque[_Parcel] = deque()
        self._shipment = _Shipment()
        # One task sends, whoever asked for it: a caller that is cancelled disturbs no other.
        self._delivery: asyncio.Task[None] | None = None
        self._sender: ServiceBusSender | None = None
        self._closings: set[asyncio.Task[None]] = set()

    async def send(self, messages: Sequence[OutgoingMessage]) -> None:
        """Returns once all are accepted; raises the first error once all have been tried."""
        loop = asyncio.get_running_loop()
        parcels = [_Parcel(message, loop.create_future()) for message in messages]
        self._waiting.extend(parcels)
        if self._delivery is None:
            # In no caller's context: what is logged there belongs to none of them.
            context = contextvars.Context()
            self._delivery = loop.create_task(self._deliver(), context=context)
        try:
            async with asyncio.timeout(self._seconds):
                outcomes = [await parcel.sent for parcel in parcels]
        except TimeoutError as error:
            raise failure(error, self._queue) from error
        finally:
            for parcel in parcels:
                parcel.sent.cancel()
        for outcome in filter(None, outcomes):
            raise outcome

    async def aclose(self) -> None:
        """Waits a few seconds for what is under way, if anybody does, and closes."""
        if self._delivery and self._is_awaited:
            await asyncio.wait([self._delivery], timeout=_CLOSE_WITHIN)
        if self._delivery:
            self._delivery.cancel()
            await asyncio.wait([self._delivery], timeout=_CLOSE_WITHIN)
        self._discard_sender()
        if self._closings:
            await asyncio.wait(self._closings)

    async def _deliver(self) -> None:
        try:
            while self._is_awaited:
                await self._send_next()
        finally:
            self._delivery = None
            while self._waiting:
                self._waiting.popleft().tell(_closed_error())

    async def _send_next(self) -> None:
        self._shipment = together = _Shipment()
        try:
            failed = await self._ship()
            if isinstance(failed, MessageTooLargeError) and len(together.parcels) > 1:
                # The batch fits, one in it does not: properties have limits of their own.
                for parcel in together.parcels:
                    self._shipment = _Shipment([parcel], encoded(parcel.message))
                    self._tell(await self._ship())
            else:
                self._tell(failed)
        finally:
            self._shipment = _Shipment()
            for parcel in together.parcels:
                if parcel.is_awaited:
                    parcel.tell(_closed_error())

    async def _ship(self) -> SendError | None:
        failed: SendError | None = None
        refusals = 0
        for pause in _PAUSES:
            await asyncio.sleep(pause)
            if not self._is_awaited:
                break
            failed = await self._attempt(self._shipment)
            refusals += isinstance(failed, QueueRefusedError)
            is_final = isinstance(failed, MessageTooLargeError) or refusals == _REFUSALS
            if failed is None or is_final:
                break
        return failed

    @property
    def _is_awaited(self) -> bool:
        parcels = self._shipment.parcels or self._waiting
        return any(parcel.is_awaited for parcel in parcels)

    def _tell(self, failed: SendError | None) -> None:
        if failed and not self._shipment.parcels:
            # Not even a sender could be had: nobody who waits need try again.
            self._shipment.parcels.extend(self._waiting)
            self._waiting.clear()
        for parcel in self._shipment.parcels:
            # Each its own: an error that is raised several times gathers all their stacks.
            parcel.tell(failed and failure(failed.__cause__ or failed, self._queue))

    async def _attempt(self, shipment: _Shipment) -> SendError | None:
        try:
            async with asyncio.timeout(self._attempt_seconds):
                await self._send(shipment)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            # The SDK's own doing.
            failed = failure(error, self._queue)
        except Exception as error:  # noqa: BLE001  the border to the SDK: errors by our names
            failed = failure(error, self._queue)
        else:
            return None
        if not isinstance(failed, MessageTooLargeError):
            self._discard_sender()
        return failed

    async def _send(self, shipment: _Shipment) -> None:
        if self._sender is None:
            self._sender = self._open_sender()
        if shipment.content is None:
            await self._fill(shipment, self._sender)
        if shipment.content is not None:
            await self._sender.send_messages(shipment.content)

    async def _fill(self, shipment: _Shipment, sender: "ServiceBusSender") -> None:
        from azure.servicebus.exceptions import (  # noqa: PLC0415  costly: on first use
            MessageSizeExceededError,
        )

        # Opens the sender: only then the size is known.
        batch = await sender.create_message_batch()
        while self._waiting and len(batch) < _MOST_IN_BATCH:
            parcel = self._waiting[0]
            try:
                if parcel.is_awaited:
                    batch.add_message(encoded(parcel.message))
                    shipment.parcels.append(parcel)
            except MessageSizeExceededError:
                if shipment.parcels:
                    break
                # A queue may take a message larger than any batch.
                self._waiting.popleft()
                shipment.parcels.append(parcel)
                shipment.content = alone(parcel.message, sender)
                return
            except Exception as error:  # noqa: BLE001  one that cannot be encoded fails alone
                parcel.tell(error)
            self._waiting.popleft()
        if len(shipment.parcels) > 1:
            shipment.content = batch
        elif shipment.parcels:
            shipment.content = encoded(shipment.parcels[0].message)

    def _discard_sender(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            closing = asyncio.get_running_loop().create_task(closed(sender.close))
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)
