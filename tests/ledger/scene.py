"""Where a run takes place: broker, stand-in DPS and host, and what can happen to them."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from local.dps import DpsStandIn, Options
from local.servicebus import Broker, BrokerOptions, QueueOptions
from local.stack import RESULTS, UNPACED
from shared.dps import DpsClient
from shared.settings import Settings
from tests.ledger.asked import BULK, SINGLE
from tests.ledger.courier import Courier
from tests.ledger.host_process import HostProcess, Run

RESULTS_QUEUE, REJECTED_QUEUE = "enrollment-results", "enrollment-rejected"
INPUTS = (SINGLE, BULK)
BUDGET_SECONDS = 10
LOCK_SECONDS = 60
LARGEST_MESSAGE = 256 * 1024

_FAILURES = [
    {"rate": 0.02, "do": {"status": 500}},
    {"rate": 0.01, "do": {"resetAfterCommit": True}},
]
_REFUSALS = [{"rate": 0.05, "do": {"status": 429, "headers": {"Retry-After": "0"}}}]
# Less than the host could do, so that it is refused now and then.
_OPERATIONS_PER_MINUTE = 6000
_THROTTLE = {
    "enabled": True,
    "operationsPerMinute": _OPERATIONS_PER_MINUTE,
    "burst": _OPERATIONS_PER_MINUTE / 60,
}
_PACED = {
    "DPS_OPERATIONS_PER_MINUTE": str(2 * _OPERATIONS_PER_MINUTE),
    "DPS_PACING_START": str(2 * _OPERATIONS_PER_MINUTE),
}
_STORM_SECONDS, _OUTAGE_SECONDS = 3, 10
# Past every lock, and past every pause between two attempts.
_LONG = 7200

_QUEUES: Mapping[str, QueueOptions] = {
    SINGLE: QueueOptions(lock_duration=LOCK_SECONDS),
    # Here a message id that comes twice is dropped, so no copy may have one that was there before.
    BULK: QueueOptions(lock_duration=LOCK_SECONDS, duplicate_detection=600),
    RESULTS_QUEUE: QueueOptions(),
    REJECTED_QUEUE: QueueOptions(),
}


@dataclass(kw_only=True)
class Clock:
    """The broker's, which can be put back to the time that the host has."""

    behind: float = field(default=0.0)

    def __call__(self) -> float:
        return time.time() - self.behind


@dataclass(kw_only=True)
class Scene:
    """The parts of a run."""

    broker: Broker
    clock: Clock
    dps: DpsStandIn
    client: DpsClient
    courier: Courier
    host: HostProcess

    def elapse(self) -> None:
        """Lets every lock expire and everything scheduled come, in no time."""
        self.broker.advance(_LONG)
        # What the host schedules from now on is scheduled by its own clock.
        self.clock.behind += _LONG

    async def storm(self) -> None:
        """
        From now on the stand-in fails now and then, and first refuses one call in twenty, whoever calls.

        Not for long: who takes refusals for a sign of too many calls makes ever fewer.
        """
        await self._order("PUT", "_faults", [*_REFUSALS, *_FAILURES])
        await asyncio.sleep(_STORM_SECONDS)
        await self._order("PUT", "_faults", _FAILURES)

    async def rain(self) -> None:
        """From now on it fails now and then, and refuses what goes beyond its quota."""
        await self._order("PUT", "_faults", _FAILURES)
        await self._order("PUT", "_throttle", _THROTTLE)

    async def calm(self) -> None:
        """It neither fails nor refuses any more."""
        await self._order("DELETE", "_faults", None)
        await self._order("PUT", "_throttle", {"enabled": False})

    async def outage(self) -> None:
        """The stand-in is down for a while."""
        await self.dps.stop()
        await asyncio.sleep(_OUTAGE_SECONDS)
        await self.dps.start()

    async def detach(self) -> None:
        """The broker ends all links of the host."""
        await self.courier.renew()
        self.broker.detach_all()

    async def kill(self) -> None:
        """The host is killed, its messages come free, and another host takes its place."""
        await self.host.kill()
        self.elapse()
        await self.host.start()

    async def statistics(self) -> str:
        """What the stand-in and the broker have seen."""
        return f"{await self._order('GET', '_stats', None)}\n{self.broker.statistics}"

    async def _order(self, method: str, endpoint: str, document: Any) -> str:
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.request(method, f"{self.dps.url}/{endpoint}", json=document) as reply,
        ):
            return await reply.text()


@contextlib.asynccontextmanager
async def staged(run: Run, *, seed: int) -> AsyncIterator[Scene]:
    """All of it running, empty and undisturbed."""
    async with contextlib.AsyncExitStack() as stack:
        port = stack.enter_context(_reserved_port())
        # Whoever writes a record without its keys loses them.
        options = Options(port=port, tls_port=None, seed=seed, keep_keys_on_update=False)
        dps = DpsStandIn(options)
        stack.push_async_callback(dps.stop)
        await dps.start()
        clock = Clock()
        broker_options = BrokerOptions(
            port=0,
            queues=_QUEUES,
            auto_create=False,
            clock=clock,
            max_message_bytes=LARGEST_MESSAGE,
            max_stored_bytes=1024**3,
        )
        broker = Broker(broker_options)
        stack.push_async_callback(broker.stop)
        await broker.start()
        # Its own way to the records is not to give up.
        way = {"DPS_CONNECTION_STRING": dps.connection_string, "DPS_MAX_ATTEMPTS": "20"}
        client = await stack.enter_async_context(DpsClient(Settings.read({**way, **UNPACED})))
        courier = await stack.enter_async_context(Courier(broker.connection_string))
        variables = {
            "DPS_CONNECTION_STRING": dps.connection_string,
            **_PACED,
            **RESULTS,
            "ServiceBus": broker.connection_string,
            "MESSAGE_BUDGET_SECONDS": str(BUDGET_SECONDS),
        }
        host = HostProcess(run, variables)
        yield Scene(broker=broker, clock=clock, dps=dps, client=client, courier=courier, host=host)


@contextlib.contextmanager
def _reserved_port() -> Iterator[int]:
    """A port that nobody else is given, so that what listened on it can come back."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
