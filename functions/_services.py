"""What one worker process shares, made on first use in its event loop."""

import asyncio
from weakref import WeakKeyDictionary

from shared.dps import DpsClient
from shared.readiness import Readiness
from shared.settings import Settings


class Services:
    """Everything that lives as long as an event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.dps = DpsClient(settings)
        self.readiness = Readiness(self.dps)


# A worker has one event loop, a test process several; connections do not pass between loops.
_OF_LOOP: WeakKeyDictionary[asyncio.AbstractEventLoop, Services] = WeakKeyDictionary()


def services() -> Services:
    """
    Those of the running loop.

    Raises `NotConfiguredError` while settings are missing or wrong; once right they are kept.
    """
    loop = asyncio.get_running_loop()
    found = _OF_LOOP.get(loop)
    if found is None:
        found = _OF_LOOP[loop] = Services(Settings.read())
    return found


async def aclose() -> None:
    """Closes the connections of the running loop; the next use makes new ones."""
    found = _OF_LOOP.pop(asyncio.get_running_loop(), None)
    if found:
        await found.dps.aclose()
