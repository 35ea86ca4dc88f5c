"""Tasks and events, with a bound on each wait."""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any

# For what a cancelled task still has to close.
_CANCELLED_WITHIN = 5.0


def keep(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task for `work` that stays in `tasks` until it has ended."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


async def ended(tasks: Collection[asyncio.Task[None]], *, within: float) -> None:
    """Waits until all of them have ended, or the time is over."""
    if tasks:
        await asyncio.wait(set(tasks), timeout=within)


async def cancelled(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancels what is left of them, and waits a moment for that."""
    left = {task for task in tasks if not task.done()}
    for task in left:
        task.cancel()
    await ended(left, within=_CANCELLED_WITHIN)


async def is_set(event: asyncio.Event, *, within: float) -> bool:
    """Whether `event` is set before `within` seconds are over."""
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return False
    return True
