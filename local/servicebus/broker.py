"""The broker: a namespace served on a port, and control of it for tests."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.connection import Connections
from local.servicebus.faults import Effect, Fault, Step
from local.servicebus.namespace import Namespace
from local.servicebus.options import KEY, KEY_NAME, BrokerOptions, QueueOptions
from local.servicebus.resources import QueueCounts, Statistics

T = TypeVar("T")
_CALL_TIMEOUT = 10.0  # seconds, for a call from another thread
_CLOSE_TIMEOUT = 1.0  # seconds in which clients can close their connections on stop


class Broker:
    """
    A broker of queues for Service Bus clients, on the event loop that starts it.

    All methods except `start` and `stop` may be called from any thread, also before the start.
    """

    def __init__(self, options: BrokerOptions | None = None) -> None:
        self.options = options or BrokerOptions()
        self._namespace = Namespace(self.options)
        self._connections = Connections(self._namespace)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Starts to accept connections; raises OSError if it cannot listen on the port."""
        self._loop = asyncio.get_running_loop()
        host, port = self.options.host, self.options.port
        self._server = await self._loop.create_server(self._connections.create, host, port)
        self._namespace.timers.start()

    async def stop(self) -> None:
        """Closes all connections and the port. May be called at any time."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        self._connections.silence(False)
        self.close_all(description="The broker is stopping.")
        if not await self._connections.wait_closed(_CLOSE_TIMEOUT):
            self.drop_all()
            await self._connections.wait_closed(_CLOSE_TIMEOUT)
        self._namespace.timers.stop()
        self._loop = None

    @property
    def port(self) -> int:
        """The port that the broker listens on; before the start, the port of its options."""
        if self._server is None:
            return self.options.port
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connection_string(self) -> str:
        """The connection string for SDKs, with the first of the keys."""
        name, key = next(iter(self.options.keys.items()), (KEY_NAME, KEY))
        host = "127.0.0.1" if self.options.host == "0.0.0.0" else self.options.host  # noqa: S104
        return (
            f"Endpoint=sb://{host}:{self.port};SharedAccessKeyName={name};"
            f"SharedAccessKey={key};UseDevelopmentEmulator=true;"
        )

    # Queues

    def add_queue(self, name: str, options: QueueOptions | None = None) -> None:
        """Creates a queue; raises ValueError if the name is invalid or in use."""
        self._call(lambda: self._namespace.add_queue(name, options or QueueOptions()))

    @property
    def queues(self) -> list[str]:
        """The names of all queues."""
        return self._call(lambda: [queue.name for queue in self._namespace.queues.values()])

    def queue(self, name: str) -> QueueCounts:
        """Returns the numbers of messages in a queue; raises KeyError if it does not exist."""
        return self._call(lambda: self._namespace.queues[name.lower()].counts)

    @property
    def statistics(self) -> Statistics:
        """Counters since the broker was created or reset."""
        return self._call(
            lambda: replace(
                self._namespace.statistics,
                connections=len(self._connections),
                stored_bytes=self._namespace.memory.used,
            )
        )

    def reset(self) -> None:
        """Empties all queues, removes all faults and resets the statistics; connections stay."""
        self.clear_faults()
        self._call(self._namespace.clear)
        self._call(self._namespace.statistics.reset)

    def advance(self, seconds: float) -> None:
        """Moves the clock forward: locks and messages expire, scheduled messages activate."""
        self._call(lambda: self._namespace.timers.advance(seconds))

    @property
    def now(self) -> float:
        """The broker's time, in seconds since 1970."""
        return self._call(self._namespace.timers.now) / 1000

    # Immediate faults

    def detach_all(
        self,
        condition: str = Condition.DETACH_FORCED,
        description: str = "The link was idle for longer than 00:10:00.",
    ) -> None:
        """Detaches every link to a queue, as the service does with idle links."""
        error = AmqpError(condition, description)
        self._call(lambda: self._connections.detach_all(error))

    def close_all(
        self,
        condition: str = Condition.CONNECTION_FORCED,
        description: str = "The connection was closed by the broker.",
    ) -> None:
        """Closes every connection with an error, as the service does when it is redeployed."""
        error = AmqpError(condition, description)
        self._call(lambda: self._connections.close_all(error))

    def drop_all(self) -> None:
        """Aborts every connection, without a close frame."""
        self._call(self._connections.drop_all)

    def silence(self) -> None:
        """Stops reading and writing, also on new connections, until `clear_faults`."""
        self._call(lambda: self._connections.silence(True))

    # Faults of later operations

    def refuse(
        self, step: Step, condition: str, *, times: int = 1, queue: str | None = None
    ) -> None:
        """Answers the next `times` operations of kind `step` with an error."""
        self._add_fault(step, AmqpError(condition, f"Injected fault: {condition}"), times, queue)

    def server_busy(self, times: int = 1, *, queue: str | None = None) -> None:
        """Refuses the next sends as an overloaded namespace does; SDKs retry them."""
        self.refuse(Step.SEND, Condition.SERVER_BUSY, times=times, queue=queue)

    def ignore(self, step: Step, *, times: int = 1, queue: str | None = None) -> None:
        """Ignores the next `times` operations of kind `step`: no execution, no answer."""
        self._add_fault(step, Effect.IGNORED, times, queue)

    def leave_unconfirmed(self, step: Step, *, times: int = 1, queue: str | None = None) -> None:
        """Executes the next `times` operations of kind `step`, but does not answer them."""
        self._add_fault(step, Effect.UNCONFIRMED, times, queue)

    def clear_faults(self) -> None:
        """Removes all faults, and ends a silence."""
        self._call(self._namespace.faults.clear)
        self._call(lambda: self._connections.silence(False))

    def _add_fault(
        self, step: Step, effect: Effect | AmqpError, times: int, queue: str | None
    ) -> None:
        fault = Fault(step=step, effect=effect, times=times, queue=queue)
        self._call(lambda: self._namespace.faults.add(fault))

    def _call(self, function: Callable[[], T]) -> T:
        """Calls `function` on the broker's event loop."""
        loop = self._loop
        if loop is None or loop is _running_loop():
            return function()

        async def call() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), loop).result(_CALL_TIMEOUT)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
