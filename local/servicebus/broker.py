"""The broker: a namespace on a port, and what tests may do to it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from local.servicebus import browsing
from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.connections import Connections
from local.servicebus.counts import QueueCounts, Statistics
from local.servicebus.faults import Effect, Fault, Step
from local.servicebus.namespace import Namespace
from local.servicebus.options import KEY, KEY_NAME, BrokerOptions, QueueOptions

T = TypeVar("T")
_ANSWER_WITHIN = 10.0  # seconds that a call from another thread waits for the broker's
_GOODBYE_WITHIN = 1.0  # seconds that clients have to close when the broker stops


class Broker:
    """Queues that Service Bus clients can use, on the event loop that starts it.

    Everything but start and stop may be called from any thread, before the start as well.
    """

    def __init__(self, options: BrokerOptions | None = None) -> None:
        self.options = options or BrokerOptions()
        self._namespace = Namespace(self.options)
        self._connections = Connections(self._namespace)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Returns once clients can connect; OSError if the port cannot be had."""
        self._loop = asyncio.get_running_loop()
        host, port = self.options.host, self.options.port
        self._server = await self._loop.create_server(self._connections.make, host, port)
        self._namespace.timers.start()

    async def stop(self) -> None:
        """Ends all connections, with a word to the clients; may be called at any time."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        self._connections.silence(False)
        self.close_all(description="The broker is stopping.")
        if not await self._connections.wait_deserted(_GOODBYE_WITHIN):
            self.drop_all()
            await self._connections.wait_deserted(_GOODBYE_WITHIN)
        self._namespace.timers.stop()
        self._loop = None

    @property
    def port(self) -> int:
        """Where it listens; the one that it was made with while it does not."""
        if self._server is None:
            return self.options.port
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connection_string(self) -> str:
        """For SDKs; of the first key, if there are any."""
        name, key = next(iter(self.options.keys.items()), (KEY_NAME, KEY))
        host = "127.0.0.1" if self.options.host == "0.0.0.0" else self.options.host  # noqa: S104
        return (
            f"Endpoint=sb://{host}:{self.port};SharedAccessKeyName={name};"
            f"SharedAccessKey={key};UseDevelopmentEmulator=true;"
        )

    # Queues

    def add_queue(self, name: str, options: QueueOptions | None = None) -> None:
        """Makes a queue; ValueError if there is one of that name."""
        self._call(lambda: self._namespace.add_queue(name, options or QueueOptions()))

    @property
    def queues(self) -> list[str]:
        """The names of all queues."""
        return self._call(lambda: [queue.name for queue in self._namespace.queues.values()])

    def queue(self, name: str) -> QueueCounts:
        """The counts of a queue; KeyError if there is none of that name."""
        return self._call(lambda: browsing.counts(self._namespace.queues[name.lower()]))

    @property
    def statistics(self) -> Statistics:
        """What has happened so far."""
        return self._call(
            lambda: replace(
                self._namespace.statistics,
                connections=len(self._connections),
                stored_bytes=self._namespace.memory.taken,
            )
        )

    def reset(self) -> None:
        """Empties all queues, takes all faults back and counts anew; clients stay connected."""
        self.clear_faults()
        self._call(self._namespace.clear)
        self._call(self._namespace.statistics.forget)

    def advance(self, seconds: float) -> None:
        """Moves the broker's clock: locks expire and scheduled messages become active at once."""
        self._call(lambda: self._namespace.timers.advance(seconds))

    @property
    def now(self) -> float:
        """The broker's time, in seconds since 1970."""
        return self._call(self._namespace.timers.now) / 1000

    # Faults that strike now

    def detach_all(
        self,
        condition: str = Condition.DETACH_FORCED,
        description: str = "The link was idle for longer than 00:10:00.",
    ) -> None:
        """Ends every link to a queue, as the service does when it has been idle."""
        error = AmqpError(condition, description)
        self._call(lambda: self._connections.detach_all(error))

    def close_all(
        self,
        condition: str = Condition.CONNECTION_FORCED,
        description: str = "The connection was closed by the broker.",
    ) -> None:
        """Ends every connection with an error, as the service does when it is redeployed."""
        error = AmqpError(condition, description)
        self._call(lambda: self._connections.close_all(error))

    def drop_all(self) -> None:
        """Ends every connection without a word."""
        self._call(self._connections.drop_all)

    def silence(self) -> None:
        """Neither reads nor writes any more, on new connections as well, until `clear_faults`."""
        self._call(lambda: self._connections.silence(True))

    # Faults to order

    def refuse(
        self, step: Step, condition: str, *, times: int = 1, queue: str | None = None
    ) -> None:
        """Answers the next `times` of `step` with an error."""
        self._order(step, AmqpError(condition, f"Ordered: {condition}"), times, queue)

    def server_busy(self, times: int = 1, *, queue: str | None = None) -> None:
        """Refuses the next sends as an overloaded namespace does; SDKs send again."""
        self.refuse(Step.SEND, Condition.SERVER_BUSY, times=times, queue=queue)

    def ignore(self, step: Step, *, times: int = 1, queue: str | None = None) -> None:
        """Neither does nor answers the next `times` of `step`."""
        self._order(step, Effect.IGNORED, times, queue)

    def leave_unconfirmed(self, step: Step, *, times: int = 1, queue: str | None = None) -> None:
        """Does the next `times` of `step`, but does not say so."""
        self._order(step, Effect.UNCONFIRMED, times, queue)

    def clear_faults(self) -> None:
        """Takes back what was ordered, and ends a silence."""
        self._call(self._namespace.faults.clear)
        self._call(lambda: self._connections.silence(False))

    def _order(self, step: Step, effect: Effect | AmqpError, times: int, queue: str | None) -> None:
        fault = Fault(step=step, effect=effect, times=times, queue=queue)
        self._call(lambda: self._namespace.faults.order(fault))

    # On the broker's own loop

    def _call(self, act: Callable[[], T]) -> T:
        loop = self._loop
        if loop is None or loop is _running_loop():
            return act()

        async def acted() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(acted(), loop).result(_ANSWER_WITHIN)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
