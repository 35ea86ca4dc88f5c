"""The system under test: stand-ins, host and queue client, with the faults that can be injected."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import MessageSizeExceededError, ServiceBusError

from local.dps import DpsStandIn, Options
from local.servicebus import Broker, BrokerOptions, QueueCounts, QueueOptions, Step
from local.servicebus.amqp.errors import Condition
from local.stack import RESULTS, ROOT, UNPACED
from shared.dps import DpsClient, Record
from shared.dps.resources import EnrollmentResource
from shared.settings import Settings
from tests.ledger.messages import BULK, SINGLE, Key
from tests.processes import Process, reserve_port

RESULTS_QUEUE, REJECTED_QUEUE = "enrollment-results", "enrollment-rejected"
INPUTS = (SINGLE, BULK)
BUDGET_SECONDS = 10
LOCK_SECONDS = 60
LARGEST_MESSAGE = 256 * 1024

_FAULTS = [
    {"rate": 0.02, "do": {"status": 500}},
    {"rate": 0.01, "do": {"resetAfterCommit": True}},
]
_REFUSALS = [{"rate": 0.05, "do": {"status": 429, "headers": {"Retry-After": "0"}}}]
# Less than the host could use, so that some of its calls are refused.
_OPERATIONS_PER_MINUTE = 6000
_THROTTLE = {
    "enabled": True,
    "operationsPerMinute": _OPERATIONS_PER_MINUTE,
    "burst": _OPERATIONS_PER_MINUTE / 60,
}
_HOST_RATE = {
    "DPS_OPERATIONS_PER_MINUTE": str(2 * _OPERATIONS_PER_MINUTE),
    "DPS_PACING_START": str(2 * _OPERATIONS_PER_MINUTE),
}
_REFUSING_SECONDS, _OUTAGE_SECONDS = 3, 10
_POLL_SECONDS = 0.05
# A full queue, one that the app may not send to, and one that was deleted.
_RESULT_REFUSALS = (
    Condition.RESOURCE_LIMIT_EXCEEDED,
    "amqp:unauthorized-access",
    Condition.NOT_FOUND,
)
_EVERY = 1_000_000
# Longer than a sender tries, and than a message is retried.
_IDLE_TIMEOUT = 300
# Longer than every lock, and than every delay of a retry.
_ADVANCE_SECONDS = 7200

_QUEUES: Mapping[str, QueueOptions] = {
    SINGLE: QueueOptions(lock_duration=LOCK_SECONDS),
    # Duplicate detection drops a copy whose message id was used before.
    BULK: QueueOptions(lock_duration=LOCK_SECONDS, duplicate_detection=600),
    RESULTS_QUEUE: QueueOptions(),
    REJECTED_QUEUE: QueueOptions(),
}

StartModule = Callable[..., Awaitable[Process]]


class HostProcess:
    """The host of the app, `python -m local.host`, in one process after the other."""

    def __init__(self, start_module: StartModule, variables: dict[str, str]) -> None:
        self._start_module = start_module
        self._variables = variables
        self._process: Process | None = None
        self.crashes = 0

    async def start(self) -> None:
        """Starts a process and waits until it is ready."""
        self._process = process = await self._start_module(
            "local.host", "--app", ROOT, "--port", 0, **self._variables
        )
        async with asyncio.timeout(60):
            while (line := await process.stdout.readline()).strip() != b"ready":
                assert line, "the host exited"

    async def kill(self) -> None:
        """Kills the process with SIGKILL."""
        assert self._process
        self.crashes += 1
        self._process.kill()
        await self._process.wait()


class QueueClient:
    """A client of Microsoft's SDK that sends and peeks; peeking cannot lose a message."""

    _PEEK_ATTEMPTS = 5
    _PEEK_COUNT = 250

    def __init__(self, connection_string: str) -> None:
        options: dict[str, Any] = {"try_timeout": 20, "retry_total": 3, "retry_backoff_factor": 0.1}
        self._client = ServiceBusClient.from_connection_string(connection_string, **options)
        self._senders: dict[str, ServiceBusSender] = {}
        self._receivers: dict[tuple[str, bool], ServiceBusReceiver] = {}
        self._last_peeked: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close_links()
        await self._client.close()

    async def close_links(self) -> None:
        """Closes all links; the next use opens new ones. A send on a detached link may repeat."""
        links = [*self._senders.values(), *self._receivers.values()]
        self._senders, self._receivers = {}, {}
        await asyncio.gather(*(link.close() for link in links), return_exceptions=True)

    async def send(self, queue: str, messages: Sequence[ServiceBusMessage]) -> None:
        """Returns when the queue has accepted each of the messages once."""
        if queue not in self._senders:
            self._senders[queue] = self._client.get_queue_sender(queue)
        sender = self._senders[queue]
        pending = list(messages)
        while pending:
            batch = await sender.create_message_batch()
            with contextlib.suppress(MessageSizeExceededError):
                while pending:
                    batch.add_message(pending[-1])
                    pending.pop()
            # A message may be too large for a batch, but not for the queue.
            await sender.send_messages(batch if len(batch) else pending.pop())

    async def peek_new(self, queue: str) -> list[ServiceBusReceivedMessage]:
        """Returns the messages that have arrived since the last call."""
        messages = await self._peek_from(queue, self._last_peeked.get(queue, 0) + 1)
        if messages:
            self._last_peeked[queue] = messages[-1].sequence_number or 0
        return messages

    async def peek_all(self, queue: str) -> list[ServiceBusReceivedMessage]:
        """Returns all messages of a queue, whatever their state."""
        return await self._peek_from(queue, 1)

    async def peek_dead_letters(self, queue: str) -> list[ServiceBusReceivedMessage]:
        """Returns the dead letters of a queue."""
        return await self._peek_from(queue, 1, dead_letters=True)

    async def _peek_from(
        self, queue: str, start: int, *, dead_letters: bool = False
    ) -> list[ServiceBusReceivedMessage]:
        messages: list[ServiceBusReceivedMessage] = []
        while batch := await self._peek_batch(queue, start, dead_letters=dead_letters):
            messages += batch
            start = (batch[-1].sequence_number or 0) + 1
        return messages

    async def _peek_batch(
        self, queue: str, start: int, *, dead_letters: bool
    ) -> list[ServiceBusReceivedMessage]:
        key = queue, dead_letters
        for attempt in range(self._PEEK_ATTEMPTS):
            if key not in self._receivers:
                sub_queue = ServiceBusSubQueue.DEAD_LETTER if dead_letters else None
                receiver = self._client.get_queue_receiver(queue, sub_queue=sub_queue)
                self._receivers[key] = receiver
            receiver = self._receivers[key]
            try:
                async with asyncio.timeout(20):
                    await receiver.__aenter__()
                    return await receiver.peek_messages(self._PEEK_COUNT, sequence_number=start)
            except (ServiceBusError, TimeoutError):
                # The broker has detached the link.
                del self._receivers[key]
                with contextlib.suppress(Exception):
                    await receiver.close()
                if attempt == self._PEEK_ATTEMPTS - 1:
                    raise
        raise AssertionError


@dataclass(kw_only=True)
class Clock:
    """The broker's clock, which can be set back to the time that the host has."""

    behind: float = field(default=0.0)

    def __call__(self) -> float:
        return time.time() - self.behind


@dataclass(kw_only=True)
class Testbed:
    """Stand-ins, host and clients, and the faults that can be injected into them."""

    __test__ = False

    broker: Broker
    clock: Clock
    dps: DpsStandIn
    client: DpsClient
    queues: QueueClient
    host: HostProcess

    # Records

    def resource(self, path: str) -> EnrollmentResource:
        """Returns the resource of a collection."""
        client = self.client
        return {"enrollments": client.enrollments, "enrollmentGroups": client.enrollment_groups}[
            path
        ]

    async def read_records(self) -> dict[Key, Record]:
        """Returns all records, without symmetric keys."""
        records = {}
        for path in ("enrollments", "enrollmentGroups"):
            resource = self.resource(path)
            async for record in resource.query({"query": "SELECT *"}, top=1000):
                records[path, record[resource.kind.id_member].casefold()] = record
        return records

    async def read_symmetric_keys(self, records: Iterable[Key]) -> Mapping[Key, Mapping[str, str]]:
        """Returns the symmetric keys of these records."""
        limit = asyncio.Semaphore(16)

        async def read(key: Key) -> tuple[Key, Mapping[str, str]]:
            async with limit:
                mechanism = await self.resource(key[0]).get_attestation_mechanism(key[1])
            return key, mechanism.get("symmetricKey") or {}

        return dict(await asyncio.gather(*map(read, records)))

    # Fault injection

    def advance_clock(self) -> None:
        """Expires every lock and delivers everything scheduled, at once."""
        self.broker.advance(_ADVANCE_SECONDS)
        # The host keeps scheduling by its own clock.
        self.clock.behind += _ADVANCE_SECONDS

    async def fail_and_refuse(self) -> None:
        """
        Lets DPS fail occasionally, and throttle one call in twenty with 429 for a few seconds.

        The time is short because each 429 lowers the host's rate, which did not cause it.
        """
        await self._control("PUT", "_faults", [*_REFUSALS, *_FAULTS])
        await asyncio.sleep(_REFUSING_SECONDS)
        await self._control("PUT", "_faults", _FAULTS)

    async def fail_and_throttle(self) -> None:
        """Lets DPS fail occasionally, and throttle calls beyond its quota."""
        await self._control("PUT", "_faults", _FAULTS)
        await self._control("PUT", "_throttle", _THROTTLE)

    async def stop_faults(self) -> None:
        """Ends all failures and throttling of DPS."""
        await self._control("DELETE", "_faults", None)
        await self._control("PUT", "_throttle", {"enabled": False})

    async def interrupt_dps(self) -> None:
        """Stops DPS for some seconds, then starts it again."""
        await self.dps.stop()
        await asyncio.sleep(_OUTAGE_SECONDS)
        await self.dps.start()

    async def detach_links(self) -> None:
        """Lets the broker detach all links of the host."""
        await self.queues.close_links()
        self.broker.detach_all()

    async def refuse_results(self) -> None:
        """Lets the results queue refuse everything in each way, until all results are postponed."""
        for condition in _RESULT_REFUSALS:
            self.broker.refuse(Step.SEND, condition, times=_EVERY, queue=RESULTS_QUEUE)
            await self._end_results_outage()

    async def ignore_results(self) -> None:
        """Lets the results queue not respond, until all results are postponed."""
        self.broker.ignore(Step.SEND, times=_EVERY, queue=RESULTS_QUEUE)
        await self._end_results_outage()

    async def _end_results_outage(self) -> None:
        await self._wait_until_idle()
        # Postponed results are due again, and postponed once more.
        self.advance_clock()
        await self._wait_until_idle()
        self.broker.clear_faults()
        self.advance_clock()

    async def _wait_until_idle(self) -> None:
        """Waits until the host has nothing to process."""
        async with asyncio.timeout(_IDLE_TIMEOUT):
            while any(map(_is_busy, map(self.broker.queue, INPUTS))):  # noqa: ASYNC110  by a process
                await asyncio.sleep(_POLL_SECONDS)

    async def crash_host(self) -> None:
        """Kills the host, expires its locks, and starts another."""
        await self.host.kill()
        self.advance_clock()
        await self.host.start()

    async def describe_statistics(self) -> str:
        """Returns the counts of both stand-ins."""
        return f"{await self._control('GET', '_stats', None)}\n{self.broker.statistics}"

    async def _control(self, method: str, endpoint: str, document: Any) -> str:
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.request(method, f"{self.dps.url}/{endpoint}", json=document) as reply,
        ):
            return await reply.text()


def _is_busy(counts: QueueCounts) -> bool:
    return bool(counts.active or counts.locked)


@contextlib.asynccontextmanager
async def run_testbed(start_module: StartModule, *, seed: int) -> AsyncIterator[Testbed]:
    """Runs both stand-ins, empty and without faults; the host is not started yet."""
    async with contextlib.AsyncExitStack() as stack:
        # Reserved, so that DPS can listen on it again after an outage.
        port = stack.enter_context(reserve_port())
        # A write without symmetric keys loses them.
        options = Options(port=port, tls_port=None, seed=seed, keep_keys_on_update=False)
        dps = DpsStandIn(options)
        stack.push_async_callback(dps.stop)
        await dps.start()
        clock = Clock()
        broker = _create_broker(clock)
        stack.push_async_callback(broker.stop)
        await broker.start()
        dps_settings = {"DPS_CONNECTION_STRING": dps.connection_string}
        # The checks retry through all injected faults.
        settings = Settings.read({**dps_settings, **UNPACED, "DPS_MAX_ATTEMPTS": "20"})
        client = await stack.enter_async_context(DpsClient(settings))
        queues = await stack.enter_async_context(QueueClient(broker.connection_string))
        variables = {
            **dps_settings,
            **_HOST_RATE,
            **RESULTS,
            "ServiceBus": broker.connection_string,
            "MESSAGE_BUDGET_SECONDS": str(BUDGET_SECONDS),
        }
        host = HostProcess(start_module, variables)
        yield Testbed(broker=broker, clock=clock, dps=dps, client=client, queues=queues, host=host)


def _create_broker(clock: Clock) -> Broker:
    return Broker(
        BrokerOptions(
            port=0,
            queues=_QUEUES,
            auto_create=False,
            clock=clock,
            max_message_bytes=LARGEST_MESSAGE,
            max_stored_bytes=1024**3,
        )
    )
