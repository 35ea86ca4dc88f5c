"""Invocations: functions being run."""

import asyncio
import functools
import inspect
from typing import Any

from local.host.blocking import BlockingCalls
from local.host.context import Context
from local.host.loading import AppFunction

# Long enough for an answer that is being written, short enough for a person who pressed Ctrl-C.
STOP_WITHIN = 0.25


class OverdueError(Exception):
    """The function has not answered in time."""


class Invocations:
    """Runs functions, each invocation in a task of its own: what it sets in contextvars stays there."""

    def __init__(self) -> None:
        self._blocking = BlockingCalls()
        self._running: set[asyncio.Task[Any]] = set()

    async def result(
        self, function: AppFunction, value: object, context: Context, *, within: float
    ) -> Any:
        """What `function` returns for `value`; what it raises is raised.

        OverdueError if it takes longer than `within` seconds. It runs on then, as in Azure, where
        only the load balancer gives up.
        """
        task = asyncio.create_task(self._call(function, value, context))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait({task}, timeout=within)
        if not done:
            raise OverdueError(f"no answer within {within:g} s")
        if task.cancelled():
            raise RuntimeError("it was cancelled")
        return task.result()

    async def stop(self) -> None:
        """Cancels what still runs and waits a moment for it to end."""
        running = set(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=STOP_WITHIN)

    async def _call(self, function: AppFunction, value: object, context: Context) -> Any:
        arguments = {str(function.trigger["name"]): value}
        if function.takes_context:
            arguments["context"] = context
        call = functools.partial(function.call, **arguments)
        try:
            if inspect.iscoroutinefunction(function.call):
                return await call()
            return await self._blocking.run(functools.partial(_in_thread, call, context))
        except SystemExit as exc:
            # Let through, it would end the event loop and with it the host.
            raise RuntimeError("it called sys.exit") from exc


def _in_thread(call: functools.partial[Any], context: Context) -> Any:
    context.thread_local_storage.invocation_id = context.invocation_id
    return call()
