"""A service in the foreground, from its start to the signal that ends it."""

import asyncio
import os
import signal

import pytest

from local.foreground import serve_until_signalled


class Recorded:
    """A service that notes what is asked of it; `starting` is what its start does."""

    def __init__(self, starting):
        self.asked = []
        self._starting = starting

    async def start(self):
        self.asked.append("start")
        await self._starting()

    async def stop(self):
        self.asked.append("stop")


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


async def test_signal_stops_a_service_that_runs():
    """It is announced once it has started, and stopped once."""
    service = Recorded(lambda: asyncio.sleep(0))

    await serve_until_signalled(service, lambda: (service.asked.append("announced"), terminate()))

    assert service.asked == ["start", "announced", "stop"]


async def test_signal_stops_a_service_that_still_starts():
    """A start that takes for ever does not keep a signal waiting, and nothing is announced."""

    async def never():
        terminate()
        await asyncio.Event().wait()

    service = Recorded(never)

    await serve_until_signalled(service, lambda: service.asked.append("announced"))

    assert service.asked == ["start", "stop"]


async def test_failed_start_is_raised_and_stopped():
    """What a start raises comes out, after what had started is stopped."""

    async def fail():
        raise OSError("no such port")

    service = Recorded(fail)

    with pytest.raises(OSError, match="no such port"):
        await serve_until_signalled(service, lambda: service.asked.append("announced"))
    assert service.asked == ["start", "stop"]
