"""Runs a replay and kills its own process `before` or `after` sending, as the argument says."""

import asyncio
import os
import signal
import sys

from shared.messaging.messages import OutgoingMessage
from shared.messaging.rejected.service import RejectedMessages
from shared.messaging.sender import MessageSender
from shared.settings import ServiceBusSettings


class KillingSender(MessageSender):
    """A sender that kills the process."""

    async def send(self, queue: str, *messages: OutgoingMessage) -> None:
        """Never returns."""
        if "after" in sys.argv:
            await super().send(queue, *messages)
        os.kill(os.getpid(), signal.SIGKILL)


async def main() -> None:
    """Replays every rejected message."""
    settings = ServiceBusSettings.read()
    await RejectedMessages(settings, KillingSender(settings)).replay()


asyncio.run(main())
