"""One delivery: a message is kept locked while its function runs, and settled by what it does."""

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from local.host.context import Context, TraceContext
from local.host.invoking import Invocations
from local.host.queues.messages import delivery_count, to_function, traceparent
from local.host.queues.renewing import Renewing
from local.host.queues.settling import Settling
from local.host.queues.triggers import QueueTrigger

if TYPE_CHECKING:  # costly: only an app with a Service Bus trigger pays for it
    from azure.servicebus import ServiceBusReceivedMessage

# The platform's limit by default: https://learn.microsoft.com/azure/azure-functions/
# functions-scale#timeout
_FUNCTION_WITHIN = 1800.0

logger = logging.getLogger("local.host.queues")


class Delivering:
    """Delivers messages of one trigger to its function."""

    def __init__(
        self,
        trigger: QueueTrigger,
        invocations: Invocations,
        settling: Settling,
        *,
        max_lock_renewal: timedelta,
    ) -> None:
        self._trigger = trigger
        self._invocations = invocations
        self._settling = settling
        self._renewing = Renewing(settling, longest=max_lock_renewal)

    async def deliver(self, message: "ServiceBusReceivedMessage") -> None:
        """Runs the function for `message`, then completes or abandons it; raises nothing."""
        begun = time.perf_counter()
        function = self._trigger.function
        trace = TraceContext(traceparent(message), "")
        context = Context(function.name, str(function.script_dir), trace)
        settlement = await self._outcome(message, context)
        settled = await self._settle(message, settlement)
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

    async def stop(self) -> None:
        """Renews no lock any more; no delivery may be under way."""
        await self._renewing.stop()

    async def _outcome(self, message: "ServiceBusReceivedMessage", context: Context) -> str:
        """How the message is to be settled: that is all that the function says about it."""
        function = self._trigger.function
        try:
            value = to_function(message, is_binary=self._trigger.is_binary)
            with self._renewing.kept_locked(message):
                await self._invocations.result(function, value, context, within=_FUNCTION_WITHIN)
        except Exception:
            logger.exception("%s failed (invocation %s)", function.name, context.invocation_id)
            return "abandoned"
        return "completed" if self._trigger.completes else "left to its lock"

    async def _settle(self, message: "ServiceBusReceivedMessage", settlement: str) -> str:
        acts = {"completed": self._settling.complete, "abandoned": self._settling.abandon}
        if settlement not in acts:
            return settlement
        try:
            await acts[settlement](message)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the lock decides
            return f"not {settlement}, left to its lock: {type(exc).__name__}"
        return settlement
