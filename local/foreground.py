"""A service in the foreground of a terminal."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from typing import Protocol


class NotStartedError(Exception):
    """Why a service cannot be started, in words for whoever starts it."""


class Service(Protocol):
    """What can be started once and stopped at any time."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


def exit_code(serve: Callable[[], None]) -> int:
    """Runs `serve` as a process's main part: 0, or 1 with the reason on stderr."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Of an SDK at work each frame would be a line.
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        serve()
    except (NotStartedError, OSError, ValueError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


async def serve_until_signalled(service: Service, announce: Callable[[], None]) -> None:
    """Starts `service`, calls `announce`, and stops it at SIGINT or SIGTERM, even while it starts.

    What start raises is raised, once the service is stopped.
    """
    signalled = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, signalled.set)
    starting = asyncio.create_task(service.start())
    ending = asyncio.create_task(signalled.wait())
    try:
        await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            announce()
            await ending
    finally:
        await _cancel(starting)
        await _cancel(ending)
        await service.stop()


async def _cancel(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.wait({task})
