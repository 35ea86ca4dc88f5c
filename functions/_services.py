"""What one worker process shares, made on first use in its event loop."""

import asyncio
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from shared.settings import MessagingSettings, Settings

if TYPE_CHECKING:  # costly: on first use
    from shared.dps.bulk_writer import BulkWriter
    from shared.messaging.rejected import RejectedMessages


class Services:
    """The way to DPS."""

    def __init__(self) -> None:
        from shared.dps.client import DpsClient  # noqa: PLC0415  costly: on first use
        from shared.readiness import Readiness  # noqa: PLC0415  costly: on first use

        self.settings = Settings.read()
        self.dps = DpsClient(self.settings)
        self.readiness = Readiness(self.dps)

    @cached_property
    def writer(self) -> "BulkWriter":
        """What gathers the changes that queues ask for."""
        from shared.dps.bulk_writer import BulkWriter  # noqa: PLC0415  costly: on first use

        return BulkWriter(self.dps)

    async def aclose(self) -> None:
        """Lets go of all connections."""
        if "writer" in self.__dict__:
            await self.writer.aclose()
        await self.dps.aclose()


class Queues:
    """The way to Service Bus, whether there is one to DPS or not; `fault` is in its settings."""

    def __init__(self) -> None:
        from shared.messaging.sending import Sender  # noqa: PLC0415  costly: on first use

        # A number that is wrong must not keep messages from being put off until it is mended.
        self.settings, self.fault = MessagingSettings.read_sound()
        self.sender = Sender(self.settings)
        self.bulk_places = asyncio.Semaphore(self.settings.bulk_concurrency)

    @cached_property
    def rejected(self) -> "RejectedMessages":
        """What operators read, replay and discard."""
        from shared.messaging.rejected import RejectedMessages  # noqa: PLC0415  costly: on first use

        return RejectedMessages(self.settings, self.sender)

    async def aclose(self) -> None:
        """Lets go of all connections."""
        await self.sender.aclose()


class _Closable(Protocol):
    async def aclose(self) -> None: ...


ClosableT = TypeVar("ClosableT", bound=_Closable)


class _OfLoop(Generic[ClosableT]):
    """One of each event loop: a worker has one, a test process several."""

    def __init__(self, make: Callable[[], ClosableT]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, ClosableT] = WeakKeyDictionary()

    def __call__(self) -> ClosableT:
        """That of the running loop; what `make` raises is tried again at the next call."""
        loop = asyncio.get_running_loop()
        found = self._made.get(loop)
        if found is None:
            found = self._made[loop] = self._make()
        return found

    async def aclose(self) -> None:
        """Closes that of the running loop; the next use makes a new one."""
        found = self._made.pop(asyncio.get_running_loop(), None)
        if found:
            await found.aclose()


services = _OfLoop(Services)
"""Those of the running loop; raises `NotConfiguredError` while settings are missing or wrong."""
queues = _OfLoop(Queues)
"""The same for Service Bus."""


async def aclose() -> None:
    """Closes the connections of the running loop."""
    await services.aclose()
    await queues.aclose()
