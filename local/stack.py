"""The local stack in one process: the app on the local host, the DPS stand-in and the broker."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import aiohttp

from functions import runtime
from local.dps import DpsStandIn, Options
from local.host import AppStartError, Host, environment
from local.host.service_bus.connection import connection_settings
from local.ports import ServicePort, check_ports_free
from local.servicebus import Broker, BrokerOptions, QueueOptions
from shared.settings.base import comma_separated

ROOT = Path(__file__).resolve().parent.parent

# Each selects the DPS that the app calls.
DPS_SETTINGS = ("DPS_CONNECTION_STRING", "DPS_ENDPOINT")

# Each selects a Service Bus namespace, in the order of precedence.
SERVICE_BUS_SETTINGS = tuple(
    setting + suffix
    for setting in connection_settings()
    for suffix in ("", "__fullyQualifiedNamespace")
)

# Set unless the environment does: without this queue the app sends no results.
RESULTS = {"ENROLLMENT_RESULTS_QUEUE": "enrollment-results"}
# The app's default queue names. The broker creates other queues on first use.
QUEUES = ("enrollment-requests", "bulk-operations", "enrollment-results", "enrollment-rejected")

# Practically no rate limit: the stand-in has no quota unless a throttle is set.
UNPACED = {"DPS_OPERATIONS_PER_MINUTE": "1000000", "DPS_PACING_START": "1000000"}

_HEALTH_TIMEOUT = aiohttp.ClientTimeout(total=30)


class Stack:
    """
    All local services, on the event loop that starts them; port 0 picks a free port.

    While the stack runs, the app's settings name the stand-in as DPS and the broker as Service Bus.
    If the environment already names another one, the app uses that, and `other_dps` or
    `other_service_bus` is the setting that names it.
    """

    def __init__(
        self,
        dps: Options,
        *,
        functions_port: int = 7071,
        functions_tls_port: int | None = None,
        servicebus_port: int = 0,
        key: str | None = None,
        app_dir: Path = ROOT,
    ) -> None:
        self.dps = DpsStandIn(_with_api_versions(dps))
        queues = {name: QueueOptions() for name in QUEUES}
        self.broker = Broker(BrokerOptions(host=dps.host, port=servicebus_port, queues=queues))
        self.host = Host(
            app_dir, host=dps.host, port=functions_port, tls_port=functions_tls_port, key=key
        )
        self.other_dps: str | None = None
        self.other_service_bus: str | None = None
        self._ports = _service_ports(dps, functions_port, functions_tls_port, servicebus_port)
        self._running = AsyncExitStack()

    async def start(self) -> None:
        """
        Starts all services and waits until they respond.

        Raises PortInUseError or AppStartError if one of them cannot be started.
        """
        check_ports_free(self._ports)
        self.other_dps = _first_set(DPS_SETTINGS)
        self.other_service_bus = _first_set(SERVICE_BUS_SETTINGS)
        async with AsyncExitStack() as running:
            running.push_async_callback(self.dps.stop)
            await self.dps.start()
            running.push_async_callback(self.broker.stop)
            await self.broker.start()
            running.enter_context(environment.applied(self._settings()))
            # In Azure the app's connections end with its process, here they end with the stack.
            running.push_async_callback(runtime.aclose)
            running.push_async_callback(self.host.stop)
            await self.host.start()
            await self._check_health()
            self._running = running.pop_all()

    async def stop(self) -> None:
        """Stops all services and restores the environment; may be called at any time."""
        await self._running.aclose()

    def _settings(self) -> dict[str, str]:
        """Returns the app settings to add to the environment."""
        settings = environment.unset(RESULTS | environment.LOCAL_HOST_NAMES)
        if self.other_dps is None:
            settings["DPS_CONNECTION_STRING"] = self.dps.connection_string
            # If one of them is set, the user wants to see the rate limiter at work.
            settings |= {} if _first_set(tuple(UNPACED)) else UNPACED
        if self.other_service_bus is None:
            settings["ServiceBus"] = self.broker.connection_string
        return settings

    async def _check_health(self) -> None:
        url = f"{self.host.url}/health/live"
        async with (
            aiohttp.ClientSession(timeout=_HEALTH_TIMEOUT) as client,
            client.get(f"{self.dps.url}/_stats", raise_for_status=True),
            client.get(url) as response,
        ):
            # A setting may have this route require a function key.
            if not response.ok and response.status != HTTPStatus.UNAUTHORIZED:
                raise AppStartError([f"GET {url} returned {response.status}"])


def _with_api_versions(dps: Options) -> Options:
    """Returns the options with the versions that the app accepts besides the known ones."""
    added = comma_separated(environment.setting("DPS_API_VERSIONS") or "")
    return replace(dps, api_versions=dps.api_versions.union(added))


def _first_set(names: Sequence[str]) -> str | None:
    return next((name for name in names if environment.setting(name)), None)


def _service_ports(
    dps: Options, functions_port: int, functions_tls_port: int | None, servicebus_port: int
) -> Sequence[ServicePort]:
    return (
        ServicePort("DPS stand-in (http)", dps.host, dps.port, "DPS_PORT"),
        ServicePort("DPS stand-in (https)", dps.host, dps.tls_port or 0, "DPS_TLS_PORT"),
        ServicePort("Service Bus broker", dps.host, servicebus_port, "SERVICEBUS_PORT"),
        ServicePort("functions (http)", dps.host, functions_port, "FUNCTIONS_PORT"),
        ServicePort("functions (https)", dps.host, functions_tls_port or 0, "FUNCTIONS_TLS_PORT"),
    )
