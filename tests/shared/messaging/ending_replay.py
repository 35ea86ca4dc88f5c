"""A replay whose process is killed at the step that its argument names; its settings lead to it."""

import asyncio
import os
import signal
import sys

from shared.messaging.messages import OutgoingMessage
from shared.messaging.rejected import RejectedMessages
from shared.messaging.sending import Sender
from shared.settings import MessagingSettings


class EndingSender(Sender):
    """Ends the process, before or after it has sent."""

    async def send(self, queue: str, *messages: OutgoingMessage) -> None:
        """Does not return."""
        if "after" in sys.argv:
            await super().send(queue, *messages)
        os.kill(os.getpid(), signal.SIGKILL)


async def main() -> None:
    """Replays all."""
    settings = MessagingSettings.read()
    await RejectedMessages(settings, EndingSender(settings)).replay()


asyncio.run(main())
