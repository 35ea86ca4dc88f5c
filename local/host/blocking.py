"""Threads for functions that are not coroutines."""

import asyncio
import contextlib
import contextvars
import os
import threading
from collections.abc import Callable
from typing import Any

# The size of the worker's own pool, that of concurrent.futures.ThreadPoolExecutor.
PLACES = min(32, (os.cpu_count() or 1) + 4)

Outcome = tuple[Any, BaseException | None]


class BlockingCalls:
    """Runs blocking calls beside the event loop, at most `places` at once.

    Its threads are daemons: a call that never returns does not keep the process from ending, as it
    would in a ThreadPoolExecutor.
    """

    def __init__(self, places: int = PLACES) -> None:
        self._places = asyncio.Semaphore(places)

    async def run(self, call: Callable[[], Any]) -> Any:
        """What `call` returns; what it raises is raised."""
        async with self._places:
            outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            in_context = contextvars.copy_context().run
            threading.Thread(target=in_context, args=(_settle, call, outcome), daemon=True).start()
            value, error = await outcome
        if error is not None:
            raise error
        return value


def _settle(call: Callable[[], Any], outcome: asyncio.Future[Outcome]) -> None:
    result: Outcome
    try:
        result = call(), None
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits the call
        result = None, error
    # The loop is closed if the host stopped meanwhile; then nobody waits for the outcome.
    with contextlib.suppress(RuntimeError):
        outcome.get_loop().call_soon_threadsafe(_deliver, outcome, result)


def _deliver(outcome: asyncio.Future[Outcome], result: Outcome) -> None:
    if not outcome.done():
        outcome.set_result(result)
