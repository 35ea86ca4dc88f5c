"""The whole stack in one process: the app on the local host, and what it talks to."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from functions import _services
from local.dps import DpsStandIn, Options
from local.host import AppRefusedError, Host, environment
from local.host.queues.connections import DEFAULT_NAME, PLACES
from local.listening import Listener, refuse_busy
from local.servicebus import Broker, BrokerOptions, QueueOptions

ROOT = Path(__file__).resolve().parent.parent

# Either tells the app which DPS it talks to.
DPS_SETTINGS = ("DPS_CONNECTION_STRING", "DPS_ENDPOINT")

# Each names a namespace of Service Bus; the host looks for them in this order.
SERVICE_BUS_SETTINGS = tuple(
    place.format(DEFAULT_NAME) + suffix
    for place in PLACES
    for suffix in ("", "__fullyQualifiedNamespace")
)

# Set where the environment names none: without it nobody would be told what became of a message.
RESULTS = {"ENROLLMENT_RESULTS_QUEUE": "enrollment-results"}
# The app's own names by default. The broker makes others when they are first used.
QUEUES = ("enrollment-requests", "bulk-operations", "enrollment-results", "enrollment-rejected")

# As long as nobody orders a throttle, the stand-in has no quota to find one's share of.
UNPACED = {"DPS_OPERATIONS_PER_MINUTE": "1000000", "DPS_PACING_START": "1000000"}

_ANSWER_WITHIN = aiohttp.ClientTimeout(total=30)


class Stack:
    """All services on the event loop that starts them; ports of 0 take free ones.

    While it runs, the app's environment names the stand-in as its DPS and the broker as its Service
    Bus, unless it names one already: then `other_dps` or `other_service_bus` is the setting that
    does.
    """

    def __init__(
        self,
        dps: Options,
        *,
        functions_port: int = 7071,
        servicebus_port: int = 0,
        key: str | None = None,
    ) -> None:
        self.dps = DpsStandIn(dps)
        queues = {name: QueueOptions() for name in QUEUES}
        self.broker = Broker(BrokerOptions(host=dps.host, port=servicebus_port, queues=queues))
        self.host = Host(ROOT, host=dps.host, port=functions_port, key=key)
        self.other_dps: str | None = None
        self.other_service_bus: str | None = None
        self._listeners = _listeners(dps, functions_port, servicebus_port)
        self._running = AsyncExitStack()

    async def start(self) -> None:
        """Returns once all answer; PortBusyError or AppRefusedError say why they cannot."""
        refuse_busy(self._listeners)
        self.other_dps = _first_set(DPS_SETTINGS)
        self.other_service_bus = _first_set(SERVICE_BUS_SETTINGS)
        async with AsyncExitStack() as running:
            running.push_async_callback(self.dps.stop)
            await self.dps.start()
            running.push_async_callback(self.broker.stop)
            await self.broker.start()
            running.enter_context(environment.applied(self._settings()))
            # In Azure the app's connections end with its process, here with the stack.
            running.push_async_callback(_services.aclose)
            running.push_async_callback(self.host.stop)
            await self.host.start()
            await self._ask()
            self._running = running.pop_all()

    async def stop(self) -> None:
        """Stops all of it and puts the environment back; may be called at any time."""
        await self._running.aclose()

    def _settings(self) -> dict[str, str]:
        """What the app's environment lacks."""
        settings = _unset(RESULTS)
        if self.other_dps is None:
            settings["DPS_CONNECTION_STRING"] = self.dps.connection_string
            # One of them set is a quota that somebody wants to see at work.
            settings |= {} if _first_set(tuple(UNPACED)) else UNPACED
        if self.other_service_bus is None:
            settings["ServiceBus"] = self.broker.connection_string
        return settings

    async def _ask(self) -> None:
        url = f"{self.host.url}/health/live"
        async with (
            aiohttp.ClientSession(timeout=_ANSWER_WITHIN) as client,
            client.get(f"{self.dps.url}/_stats", raise_for_status=True),
            client.get(url) as reply,
        ):
            if not reply.ok:
                raise AppRefusedError([f"GET {url} answers {reply.status}"])


def _unset(settings: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in settings.items() if not environment.setting(name)}


def _first_set(names: Sequence[str]) -> str | None:
    return next((name for name in names if environment.setting(name)), None)


def _listeners(dps: Options, functions_port: int, servicebus_port: int) -> Sequence[Listener]:
    return (
        Listener("DPS stand-in (http)", dps.host, dps.port, "DPS_PORT"),
        Listener("DPS stand-in (https)", dps.host, dps.tls_port or 0, "DPS_TLS_PORT"),
        Listener("Service Bus broker", dps.host, servicebus_port, "SERVICEBUS_PORT"),
        Listener("functions", dps.host, functions_port, "FUNCTIONS_PORT"),
    )
