"""A service in the foreground: start, signal, stop."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine

import pytest

from local.foreground import serve_until_signalled


class RecordingService:
    """A service that records the calls it receives; `starting` is run by its start."""

    def __init__(self, starting: Callable[[], Coroutine[None, None, None]]) -> None:
        self.calls: list[str] = []
        self._starting = starting

    async def start(self) -> None:
        self.calls.append("start")
        await self._starting()

    async def stop(self) -> None:
        self.calls.append("stop")


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


async def test_signal_stops_a_running_service() -> None:
    """The service is started, announced and stopped, each once."""
    service = RecordingService(lambda: asyncio.sleep(0))

    def announce() -> None:
        service.calls.append("announced")
        terminate()

    await serve_until_signalled(service, announce)

    assert service.calls == ["start", "announced", "stop"]


async def test_signal_interrupts_the_start() -> None:
    """A signal during the start stops the service, which is not announced."""

    async def never() -> None:
        terminate()
        await asyncio.Event().wait()

    service = RecordingService(never)

    await serve_until_signalled(service, lambda: service.calls.append("announced"))

    assert service.calls == ["start", "stop"]


async def test_failed_start_stops_the_service() -> None:
    """The error of a failed start propagates after the service was stopped."""

    async def fail() -> None:
        raise OSError("no such port")

    service = RecordingService(fail)

    with pytest.raises(OSError, match="no such port"):
        await serve_until_signalled(service, lambda: service.calls.append("announced"))
    assert service.calls == ["start", "stop"]
