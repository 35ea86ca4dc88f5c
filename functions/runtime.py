"""Services of a worker process, created on first use and shared by its invocations."""

import asyncio
from collections.abc import Callable
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from shared.settings import (
    ServiceBusSettings,
    Settings,
    SharedAccessSettings,
    allocation_policies_file,
    host_name,
)

if TYPE_CHECKING:
    from shared.allocation.policy_file.load import Policies, PolicyCache
    from shared.dps.batching.writer import BatchWriter
    from shared.messaging.processor import MessageProcessor
    from shared.messaging.rejected.service import RejectedMessages
    from shared.readiness import Readiness
    from shared.shared_access import AccessControl

_APP_FOLDER = Path(__file__).resolve().parent.parent


class Services:
    """The DPS client and what uses it; raises `NotConfiguredError` for invalid settings."""

    def __init__(self) -> None:
        from shared.dps.client import DpsClient
        from shared.readiness import Readiness, find_dps_errors

        self.settings = Settings.read()
        self.dps = DpsClient(self.settings)
        self.readiness = Readiness(partial(find_dps_errors, self.dps))

    @cached_property
    def writer(self) -> "BatchWriter":
        """The batch writer for changes from queues."""
        from shared.dps.batching.writer import BatchWriter

        return BatchWriter(self.dps.enrollments, self.dps.enrollment_groups)

    async def aclose(self) -> None:
        """Closes all connections."""
        if "writer" in self.__dict__:
            await self.writer.aclose()
        await self.dps.aclose()


class Messaging:
    """
    The Service Bus sender and what uses it, also while the settings for DPS are invalid.

    `settings_fault` names invalid settings, for which `settings` has defaults: messages can then be
    postponed. Raises `NotConfiguredError` without a namespace.
    """

    def __init__(self) -> None:
        from shared.messaging.sender import MessageSender

        self.settings, self.settings_fault = ServiceBusSettings.read_with_defaults()
        self.sender = MessageSender(self.settings)

    @cached_property
    def readiness(self) -> "Readiness":
        """Whether the app can use its queues."""
        from shared.messaging.queue_access import find_queue_errors
        from shared.readiness import Readiness

        return Readiness(partial(find_queue_errors, self.settings))

    @cached_property
    def processor(self) -> "MessageProcessor":
        """The processor of the input queues' messages."""
        from shared.messaging.processor import MessageProcessor

        return MessageProcessor(
            self.settings, self.settings_fault, self.sender, lambda: services().writer
        )

    @cached_property
    def rejected(self) -> "RejectedMessages":
        """The rejected messages, for operators."""
        from shared.messaging.rejected.service import RejectedMessages

        return RejectedMessages(self.settings, self.sender)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self.sender.aclose()


class _Closable(Protocol):
    async def aclose(self) -> None: ...


ClosableT = TypeVar("ClosableT", bound=_Closable)


class PerEventLoop(Generic[ClosableT]):
    """One instance per event loop: a worker has one loop, a test process several."""

    def __init__(self, create: Callable[[], ClosableT]) -> None:
        self.create = create
        self._instances: WeakKeyDictionary[asyncio.AbstractEventLoop, ClosableT] = (
            WeakKeyDictionary()
        )

    def __call__(self) -> ClosableT:
        """Returns the running loop's instance; if `create` raises, the next call tries again."""
        loop = asyncio.get_running_loop()
        instance = self._instances.get(loop)
        if instance is None:
            instance = self._instances[loop] = self.create()
        return instance

    async def aclose(self) -> None:
        """Closes the running loop's instance; the next use creates a new one."""
        instance = self._instances.pop(asyncio.get_running_loop(), None)
        if instance:
            await instance.aclose()


services = PerEventLoop(Services)
messaging = PerEventLoop(Messaging)


@cache
def access_control() -> "AccessControl":
    """Returns the check of signatures; with invalid settings it has no policies: none is valid."""
    from shared.shared_access import AccessControl

    settings, _ = SharedAccessSettings.read_with_defaults()
    hosts = (host_name(), *settings.shared_access_hosts)
    return AccessControl(settings.shared_access_policies, hosts)


async def aclose() -> None:
    """Closes the connections of the running loop, and forgets the settings of SAS mode."""
    access_control.cache_clear()
    await services.aclose()
    await messaging.aclose()


@cache
def _policy_cache() -> "PolicyCache":
    from shared.allocation.policy_file.load import PolicyCache

    return PolicyCache()


async def policies() -> "Policies":
    """
    Returns the allocation policies of the policy file.

    A relative path starts at the app's folder. Raises `PolicyFileError` while the file is missing or
    invalid.
    """
    file = allocation_policies_file()
    return await _policy_cache().get(_APP_FOLDER / file.path, must_exist=file.is_set)
