"""Sending messages: each arrives at least once, or its sender is told."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from shared.errors import QueueUnreachableError
from shared.messaging.connection import Namespace
from shared.messaging.messages import OutgoingMessage
from shared.messaging.outbox import Outbox
from shared.settings import MessagingSettings

if TYPE_CHECKING:  # costly: on first use
    from azure.servicebus.aio import ServiceBusSender

_SECONDS = 25.0
_ATTEMPT_SECONDS = 8.0


class Sender:
    """
    The way into queues, for any number of tasks of the event loop that it was made in.

    Connections are made on first use and kept. `seconds` bounds a send with all its attempts,
    `attempt_seconds` each of them.
    """

    def __init__(
        self,
        settings: MessagingSettings,
        *,
        seconds: float = _SECONDS,
        attempt_seconds: float = _ATTEMPT_SECONDS,
    ) -> None:
        self._namespace = Namespace(settings, try_timeout=attempt_seconds)
        self._seconds = seconds
        self._attempt_seconds = attempt_seconds
        self._outboxes: dict[str, Outbox] = {}
        self._is_closed = False

    async def send(self, queue: str, *messages: OutgoingMessage) -> None:
        """
        Returns once `queue` has accepted all messages.

        Raises `QueueRefusedError`, `MessageTooLargeError` or `QueueUnreachableError` if it has not
        accepted one of them; the others may have come into the queue all the same. A send that is
        cancelled may be done or not.
        """
        if self._is_closed:
            raise QueueUnreachableError("The connection was closed.")
        if messages:
            await self._outbox(queue).send(messages)

    async def aclose(self) -> None:
        """Finishes what is under way, within seconds, and closes all connections for good."""
        self._is_closed = True
        await asyncio.gather(*(outbox.aclose() for outbox in self._outboxes.values()))
        await self._namespace.aclose()

    def _outbox(self, queue: str) -> Outbox:
        found = self._outboxes.get(queue)
        if found is None:
            found = self._outboxes[queue] = Outbox(
                queue,
                self._opening(queue),
                seconds=self._seconds,
                attempt_seconds=self._attempt_seconds,
            )
        return found

    def _opening(self, queue: str) -> "Callable[[], ServiceBusSender]":
        return lambda: self._namespace.client().get_queue_sender(queue)
