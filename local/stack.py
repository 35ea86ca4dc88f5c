"""The whole stack in one process: the app on the local host, and the DPS stand-in it talks to."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from functions import _services
from local.dps import DpsStandIn, Options
from local.host import AppRefusedError, Host, environment
from local.host.listening import Listener, refuse_busy

ROOT = Path(__file__).resolve().parent.parent

# Either tells the app which DPS it talks to.
DPS_SETTINGS = ("DPS_CONNECTION_STRING", "DPS_ENDPOINT")

_ANSWER_WITHIN = aiohttp.ClientTimeout(total=30)


class Stack:
    """Both services on the event loop that starts them; ports of 0 take free ones.

    While it runs, the app's environment names the stand-in as its DPS, unless it names one already:
    then `other_dps` is the setting that does.
    """

    def __init__(self, dps: Options, *, functions_port: int = 7071, key: str | None = None) -> None:
        self.dps = DpsStandIn(dps)
        self.host = Host(ROOT, host=dps.host, port=functions_port, key=key)
        self.other_dps: str | None = None
        self._listeners = _listeners(dps, functions_port)
        self._running = AsyncExitStack()

    async def start(self) -> None:
        """Returns once both answer; PortBusyError or AppRefusedError say why they cannot."""
        refuse_busy(self._listeners)
        given = (name for name in DPS_SETTINGS if environment.setting(name))
        self.other_dps = next(given, None)
        async with AsyncExitStack() as running:
            running.push_async_callback(self.dps.stop)
            await self.dps.start()
            if self.other_dps is None:
                settings = {"DPS_CONNECTION_STRING": self.dps.connection_string}
                running.enter_context(environment.applied(settings))
            # In Azure the app's connections end with its process, here with the stack.
            running.push_async_callback(_services.aclose)
            running.push_async_callback(self.host.stop)
            await self.host.start()
            await self._ask()
            self._running = running.pop_all()

    async def stop(self) -> None:
        """Stops both and puts the environment back; may be called at any time."""
        await self._running.aclose()

    async def _ask(self) -> None:
        url = f"{self.host.url}/health/live"
        async with (
            aiohttp.ClientSession(timeout=_ANSWER_WITHIN) as client,
            client.get(f"{self.dps.url}/_stats", raise_for_status=True),
            client.get(url) as reply,
        ):
            if not reply.ok:
                raise AppRefusedError([f"GET {url} answers {reply.status}"])


def _listeners(dps: Options, functions_port: int) -> Sequence[Listener]:
    return (
        Listener("DPS stand-in (http)", dps.host, dps.port, "DPS_PORT"),
        Listener("DPS stand-in (https)", dps.host, dps.tls_port or 0, "DPS_TLS_PORT"),
        Listener("functions", dps.host, functions_port, "FUNCTIONS_PORT"),
    )
