"""Background tasks, and bounded waits for them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

# Time for a cancelled task to close what it has open.
_CANCEL_TIMEOUT = 5.0


class BackgroundTasks:
    """Running tasks, referenced so that none is garbage-collected; `len()` is their number."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Starts `work` in a task."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def wait(self, *, within: float) -> None:
        """Waits until all tasks have ended, or `within` seconds have passed."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=within)

    async def cancel(self, *, within: float = _CANCEL_TIMEOUT) -> None:
        """Cancels the tasks that still run, and waits for them to end, at most `within` seconds."""
        for task in set(self._running):
            task.cancel()
        await self.wait(within=within)
