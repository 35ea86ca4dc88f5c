"""Runs a service in the foreground of a terminal."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from typing import Protocol


class StartError(Exception):
    """A service cannot be started; the text, which is for the user, says why."""


class Service(Protocol):
    """A service that is started once and can be stopped at any time."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


def exit_code(serve: Callable[[], None]) -> int:
    """Runs `serve` as the main part of a process; returns 0, or prints the error and returns 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # At INFO the Azure SDKs log every AMQP frame and HTTP request.
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        serve()
    except (StartError, OSError, ValueError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


async def serve_until_signalled(service: Service, announce: Callable[[], None]) -> None:
    """
    Starts `service`, calls `announce`, and stops the service at SIGINT or SIGTERM.

    A signal also interrupts the start. If the start fails, the service is stopped and the error
    propagates.
    """
    signalled = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, signalled.set)
    start = asyncio.create_task(service.start())
    wait_for_signal = asyncio.create_task(signalled.wait())
    try:
        await asyncio.wait({start, wait_for_signal}, return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            start.result()
            announce()
            await wait_for_signal
    finally:
        await _cancel(start)
        await _cancel(wait_for_signal)
        await service.stop()


async def _cancel(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.wait({task})
