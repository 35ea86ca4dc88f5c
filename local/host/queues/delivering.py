"""One delivery: a message is kept locked while its function runs, and settled by what it does."""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from local.host.context import Context, TraceContext
from local.host.invoking import Invocations
from local.host.queues.messages import delivery_count, to_function, traceparent
from local.host.queues.receiving import Receiving
from local.host.queues.tasks import is_set, keep
from local.host.queues.triggers import QueueTrigger

if TYPE_CHECKING:  # costly: only an app with a Service Bus trigger pays for it
    from azure.servicebus import ServiceBusReceivedMessage

# The platform's limit by default: https://learn.microsoft.com/azure/azure-functions/
# functions-scale#timeout
_FUNCTION_WITHIN = 1800.0
# Of what is left of a lock, so that a renewal which fails can be repeated.
_RENEW_AFTER = 0.5
_RENEW_AGAIN_AFTER = 1.0

logger = logging.getLogger("local.host.queues")


class Delivering:
    """Delivers messages of one trigger to its function."""

    def __init__(
        self, trigger: QueueTrigger, invocations: Invocations, *, max_lock_renewal: timedelta
    ) -> None:
        self._trigger = trigger
        self._invocations = invocations
        self._max_lock_renewal = max_lock_renewal
        self._renewals: set[asyncio.Task[None]] = set()

    async def deliver(self, receiving: Receiving, message: "ServiceBusReceivedMessage") -> None:
        """Runs the function for `message`, then completes or abandons it; raises nothing."""
        begun = time.perf_counter()
        function = self._trigger.function
        trace = TraceContext(traceparent(message), "")
        context = Context(function.name, str(function.script_dir), trace)
        settlement = await self._outcome(receiving, message, context)
        settled = await self._settle(receiving, message, settlement)
        logger.info(
            "%s %s/%s, delivery %d -> %s in %.0f ms (invocation %s)",
            function.name,
            self._trigger.queue,
            message.sequence_number,
            delivery_count(message),
            settled,
            (time.perf_counter() - begun) * 1000,
            context.invocation_id,
        )

    async def _outcome(
        self, receiving: Receiving, message: "ServiceBusReceivedMessage", context: Context
    ) -> str:
        """How the message is to be settled: that is all that the function says about it."""
        function = self._trigger.function
        ended = asyncio.Event()
        keep(self._renewals, self._keep_locked(receiving, message, ended))
        try:
            value = to_function(message, is_binary=self._trigger.is_binary)
            await self._invocations.result(function, value, context, within=_FUNCTION_WITHIN)
        except Exception:
            logger.exception("%s failed (invocation %s)", function.name, context.invocation_id)
            return "abandoned"
        finally:
            # Not cancelled: the SDK may lose frames of others that it reads meanwhile.
            ended.set()
        return "completed" if self._trigger.completes else "left to its lock"

    async def _settle(
        self, receiving: Receiving, message: "ServiceBusReceivedMessage", settlement: str
    ) -> str:
        acts = {"completed": receiving.complete, "abandoned": receiving.abandon}
        if settlement not in acts:
            return settlement
        try:
            await acts[settlement](message)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the lock decides
            return f"not {settlement}, left to its lock: {type(exc).__name__}"
        return settlement

    async def _keep_locked(
        self, receiving: Receiving, message: "ServiceBusReceivedMessage", ended: asyncio.Event
    ) -> None:
        last = datetime.now(UTC) + self._max_lock_renewal
        while (locked_until := message.locked_until_utc) and locked_until < last:
            left = (locked_until - datetime.now(UTC)).total_seconds()
            if left <= 0 or await is_set(ended, within=left * _RENEW_AFTER):
                return
            try:
                await receiving.renew(message)
            except Exception as exc:  # noqa: BLE001 - whatever it is, the lock runs on
                logger.warning(
                    "%s: the lock of %s/%s could not be renewed: %s",
                    self._trigger.function.name,
                    self._trigger.queue,
                    message.sequence_number,
                    type(exc).__name__,
                )
                if await is_set(ended, within=_RENEW_AGAIN_AFTER):
                    return
