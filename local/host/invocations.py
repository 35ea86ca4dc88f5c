"""
Invocations: runs functions, each with its invocation context.

https://learn.microsoft.com/python/api/azure-functions/azure.functions.context
"""

import asyncio
import contextlib
import contextvars
import functools
import inspect
import os
import re
import secrets
import threading
import uuid
from collections.abc import Callable
from typing import Any

import azure.functions as func
from typing_extensions import override

from local.host.app import AppFunction
from local.host.tasks import BackgroundTasks

# Long enough to finish writing a response, short enough for a person who pressed Ctrl-C.
STOP_TIMEOUT = 0.25
# The size of the Python worker's thread pool, that of concurrent.futures.ThreadPoolExecutor.
_MAX_THREADS = min(32, (os.cpu_count() or 1) + 4)

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")
# Shared by all invocations, as in Azure's worker; each thread has its own values in it.
_thread_local_storage = threading.local()


class TraceContext:
    """The trace of an invocation: the caller's if `traceparent` is valid, else a new one."""

    def __init__(self, traceparent: str, tracestate: str) -> None:
        given = _TRACEPARENT.fullmatch(traceparent)
        trace_id, flags = given.groups() if given else (secrets.token_hex(16), "01")
        self.trace_parent = f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"
        self.trace_state = tracestate if given else ""
        self.attributes: dict[str, str] = {}
        # The worker has both spellings; the documentation uses these.
        self.Traceparent = self.trace_parent
        self.Tracestate = self.trace_state


class RetryContext:
    """No retries: the host retries neither HTTP functions nor messages, which are redelivered."""

    retry_count = 0
    max_retry_count = 0
    exception = None


class Context(func.Context):
    """The context of a new invocation of one function."""

    def __init__(self, function_name: str, function_directory: str, trace: TraceContext) -> None:
        self._function_name = function_name
        self._function_directory = function_directory
        self._trace = trace
        self._invocation_id = str(uuid.uuid4())

    @property
    @override
    def invocation_id(self) -> str:
        return self._invocation_id

    @property
    @override
    def function_name(self) -> str:
        return self._function_name

    @property
    @override
    def function_directory(self) -> str:
        return self._function_directory

    @property
    @override
    def thread_local_storage(self) -> Any:
        return _thread_local_storage

    @property
    @override
    def trace_context(self) -> Any:
        return self._trace

    @property
    @override
    def retry_context(self) -> Any:
        return RetryContext


class InvocationTimeoutError(Exception):
    """The function did not return in time."""


class Invocations:
    """Invocations of functions, each in its own task and so with its own contextvars."""

    def __init__(self) -> None:
        self._threads = _DaemonThreads(_MAX_THREADS)
        self._tasks = BackgroundTasks()

    async def run(
        self, function: AppFunction, trigger_value: object, context: Context, *, within: float
    ) -> Any:
        """
        Returns what `function` returns for `trigger_value`; an exception of the function propagates.

        Raises InvocationTimeoutError after `within` seconds. The function continues to run, as in
        Azure, where only the load balancer times out.
        """
        task = self._tasks.start(self._call(function, trigger_value, context))
        done, _ = await asyncio.wait({task}, timeout=within)
        if not done:
            raise InvocationTimeoutError(f"no response within {within:g} s")
        if task.cancelled():
            raise RuntimeError("the function was cancelled")
        return task.result()

    async def stop(self) -> None:
        """Cancels the functions that still run, and waits briefly for them to end."""
        await self._tasks.cancel(within=STOP_TIMEOUT)

    async def _call(self, function: AppFunction, trigger_value: object, context: Context) -> Any:
        arguments = {str(function.trigger["name"]): trigger_value}
        if function.takes_context:
            arguments["context"] = context
        call = functools.partial(function.call, **arguments)
        try:
            if inspect.iscoroutinefunction(function.call):
                return await call()
            return await self._threads.run(functools.partial(_call_in_thread, call, context))
        except SystemExit as exc:
            # If it were not caught, it would end the event loop and with it the host.
            raise RuntimeError("the function called sys.exit") from exc


def _call_in_thread(call: functools.partial[Any], context: Context) -> Any:
    context.thread_local_storage.invocation_id = context.invocation_id
    return call()


_Outcome = tuple[Any, BaseException | None]


class _DaemonThreads:
    """
    Daemon threads for blocking calls, at most `limit` at a time.

    A call that never returns does not keep the process from ending, as it would in a
    ThreadPoolExecutor.
    """

    def __init__(self, limit: int) -> None:
        self._limit = asyncio.Semaphore(limit)

    async def run(self, call: Callable[[], Any]) -> Any:
        """Returns what `call` returns; an exception of the call propagates."""
        async with self._limit:
            outcome: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
            run = contextvars.copy_context().run
            threading.Thread(target=run, args=(_run_call, call, outcome), daemon=True).start()
            value, error = await outcome
        if error is not None:
            raise error
        return value


def _run_call(call: Callable[[], Any], outcome: asyncio.Future[_Outcome]) -> None:
    result: _Outcome
    try:
        result = call(), None
    except BaseException as error:  # noqa: BLE001 - re-raised by the task that awaits the call
        result = None, error
    # If the host has stopped meanwhile, the loop is closed and no task awaits the outcome.
    with contextlib.suppress(RuntimeError):
        outcome.get_loop().call_soon_threadsafe(_set_outcome, outcome, result)


def _set_outcome(outcome: asyncio.Future[_Outcome], result: _Outcome) -> None:
    if not outcome.done():
        outcome.set_result(result)
