"""Listeners: each receives messages from one queue and invokes its function with them."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.host.host_json import ServiceBusOptions
from local.host.invocations import Context, Invocations, TraceContext
from local.host.service_bus.connection import open_receiver
from local.host.service_bus.messages import delivery_count, to_trigger_value, traceparent
from local.host.service_bus.settlement import LockRenewer, SettlementClient
from local.host.service_bus.trigger import QueueTrigger
from local.host.tasks import BackgroundTasks

if TYPE_CHECKING:  # imported only for an app that has a Service Bus trigger: it is slow to load
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver

_FIRST_BACKOFF, _MAX_BACKOFF = 0.1, 30.0
# A receiver notices a stop within one poll of its socket; then it closes.
_RECEIVER_STOP_TIMEOUT = 1.0
_CLOSE_TIMEOUT = 5.0
_RECEIVE_TIMEOUT = 20.0
# How long one receive call waits for a message.
_MAX_WAIT_TIME = 0.5
# The platform's default limit: https://learn.microsoft.com/azure/azure-functions/
# functions-scale#timeout
_FUNCTION_TIMEOUT = 1800.0

logger = logging.getLogger("local.host.service_bus")


@dataclass(frozen=True, kw_only=True)
class ListenerOptions:
    """
    Options for receiving from queues.

    A stop waits `drain_timeout` seconds for messages in flight. Several `receivers` empty a distant
    queue faster; one keeps its order. azure-servicebus 7.15.0 remembers every message that a
    receiver got and every request made on a connection, so both are replaced after a number of them.
    """

    receivers: int = 1
    drain_timeout: float = 5.0
    messages_per_receiver: int = 1_000
    requests_per_connection: int = 1_000


class QueueListeners:
    """The listeners of an app's queue triggers; one whose namespace is unreachable retries."""

    def __init__(
        self,
        triggers: Iterable[QueueTrigger],
        options: ServiceBusOptions,
        invocations: Invocations,
        listener_options: ListenerOptions,
    ) -> None:
        self._listeners = [
            _QueueListener(trigger, options, invocations, listener_options) for trigger in triggers
        ]

    def start(self) -> None:
        """Starts to receive, and returns at once."""
        for listener in self._listeners:
            listener.start()

    async def stop(self) -> None:
        """
        Stops receiving, and waits for messages in flight.

        One that takes too long is not settled: the queue redelivers it when its lock expires.
        """
        await asyncio.gather(*(listener.stop() for listener in self._listeners))


class _QueueListener:
    """A listener that invokes a function with `max_concurrent_calls` messages at a time."""

    def __init__(
        self,
        trigger: QueueTrigger,
        options: ServiceBusOptions,
        invocations: Invocations,
        listener_options: ListenerOptions,
    ) -> None:
        self._trigger = trigger
        self._free_calls = options.max_concurrent_calls
        self._options = listener_options
        self._settlement = SettlementClient(
            trigger.connection,
            trigger.queue,
            connections=2 * listener_options.receivers,
            requests_per_connection=listener_options.requests_per_connection,
        )
        self._renewer = LockRenewer(self._settlement, max_duration=options.max_lock_renewal)
        self._processor = _MessageProcessor(trigger, invocations, self._settlement, self._renewer)
        self._stopping = asyncio.Event()
        self._call_ended = asyncio.Event()
        self._receiving = BackgroundTasks()
        self._in_flight = BackgroundTasks()
        self._closing = BackgroundTasks()
        self._backoff = _FIRST_BACKOFF
        self._last_error = ""

    def start(self) -> None:
        for _ in range(self._options.receivers):
            self._receiving.start(self._run())

    async def stop(self) -> None:
        self._stopping.set()
        self._call_ended.set()
        await self._receiving.wait(within=_RECEIVER_STOP_TIMEOUT)
        await self._receiving.cancel()
        await self._in_flight.wait(within=self._options.drain_timeout)
        if self._in_flight:
            logger.warning(
                "%s: stopped with %d messages in flight, redelivered when their locks expire",
                self._trigger.function.name,
                len(self._in_flight),
            )
        await self._in_flight.cancel()
        await self._renewer.stop()
        self._closing.start(self._settlement.close())
        await self._closing.wait(within=_CLOSE_TIMEOUT)
        await self._closing.cancel()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._use_receiver()
            except Exception as exc:  # noqa: BLE001 - after any error a new receiver may work
                self._log_error(exc)
                await self._back_off()

    async def _use_receiver(self) -> None:
        """
        Receives until the listener stops or the receiver has reached its number of messages.

        Errors of the SDK propagate.
        """
        async with contextlib.AsyncExitStack() as stack:
            receiver = await stack.enter_async_context(
                open_receiver(self._trigger.connection, self._trigger.queue)
            )
            await self._settlement.open()
            self._log_listening()
            try:
                await self._receive(receiver)
            finally:
                # Closing is slow, and the next receiver need not wait for it.
                self._closing.start(stack.pop_all().aclose())

    async def _receive(self, receiver: "ServiceBusReceiver") -> None:
        remaining = self._options.messages_per_receiver
        while remaining and not self._stopping.is_set():
            if self._free_calls < 1:
                self._call_ended.clear()
                await self._call_ended.wait()
            elif await self._process_next(receiver):
                remaining -= 1

    async def _process_next(self, receiver: "ServiceBusReceiver") -> bool:
        """Starts to process the next message; returns whether one arrived."""
        self._free_calls -= 1
        try:
            message = await _receive_message(receiver)
        except BaseException:
            self._release_call()
            raise
        if message is None:
            self._release_call()
            return False
        task = self._in_flight.start(self._processor.process(message))
        task.add_done_callback(lambda _: self._release_call())
        return True

    def _release_call(self) -> None:
        self._free_calls += 1
        self._call_ended.set()

    async def _back_off(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._backoff):
                await self._stopping.wait()
        self._backoff = min(2 * self._backoff, _MAX_BACKOFF)

    def _log_listening(self) -> None:
        logger.info("%s: listening to queue %s", self._trigger.function.name, self._trigger.queue)
        self._backoff, self._last_error = _FIRST_BACKOFF, ""

    def _log_error(self, exc: Exception) -> None:
        """Logs the error, unless it is the same as the last one."""
        # The SDK wraps the refusal of a token, which has Service Bus's own text.
        text = getattr(exc, "inner_exception", None) or exc
        error = f"{type(exc).__name__}: {' '.join(str(text).splitlines())}"
        if error != self._last_error:
            function, queue = self._trigger.function.name, self._trigger.queue
            logger.warning("%s: cannot receive from queue %s: %s", function, queue, error)
        self._last_error = error


async def _receive_message(receiver: "ServiceBusReceiver") -> "ServiceBusReceivedMessage | None":
    """
    Returns the next message, locked, or None if none arrives in time.

    Call it again without a pause: the SDK may release messages that arrive between two calls. After
    an error the receiver must not be used again.
    """
    async with asyncio.timeout(_RECEIVE_TIMEOUT):
        # One at a time: if the link fails during a call, the messages that the SDK has collected in
        # it are returned to no caller and stay locked.
        messages = await receiver.receive_messages(1, max_wait_time=_MAX_WAIT_TIME)
    return messages[0] if messages else None


class _MessageProcessor:
    """A processor that invokes a trigger's function with messages, and settles each."""

    def __init__(
        self,
        trigger: QueueTrigger,
        invocations: Invocations,
        settlement: SettlementClient,
        renewer: LockRenewer,
    ) -> None:
        self._trigger = trigger
        self._invocations = invocations
        self._settlement = settlement
        self._renewer = renewer

    async def process(self, message: "ServiceBusReceivedMessage") -> None:
        """Invokes the function with `message`, then completes or abandons it; raises nothing."""
        started = time.perf_counter()
        function = self._trigger.function
        trace = TraceContext(traceparent(message), "")
        context = Context(function.name, str(function.script_dir), trace)
        outcome = await self._settle(message, await self._invoke(message, context))
        logger.info(
            "%s %s/%s, delivery %d -> %s in %.0f ms (invocation %s)",
            function.name,
            self._trigger.queue,
            message.sequence_number,
            delivery_count(message),
            outcome,
            (time.perf_counter() - started) * 1000,
            context.invocation_id,
        )

    async def _invoke(self, message: "ServiceBusReceivedMessage", context: Context) -> str:
        """Invokes the function; returns how the message is to be settled."""
        function = self._trigger.function
        try:
            value = to_trigger_value(message, is_binary=self._trigger.is_binary)
            with self._renewer.renew_lock(message):
                await self._invocations.run(function, value, context, within=_FUNCTION_TIMEOUT)
        except Exception:
            logger.exception("%s failed (invocation %s)", function.name, context.invocation_id)
            return "abandoned"
        return "completed" if self._trigger.auto_complete else "not settled"

    async def _settle(self, message: "ServiceBusReceivedMessage", outcome: str) -> str:
        """Settles the message; returns the outcome for the log."""
        actions = {"completed": self._settlement.complete, "abandoned": self._settlement.abandon}
        if outcome not in actions:
            return outcome
        try:
            await actions[outcome](message)
        except Exception as exc:  # noqa: BLE001 - after any error the lock expires and redelivers
            return f"not settled, could not be {outcome}: {type(exc).__name__}"
        return outcome
