"""An event loop whose hours pass in an instant: its time goes on when nothing is left to do."""

import asyncio
import selectors
from typing import Any


class VirtualTime(asyncio.SelectorEventLoop):
    """Starts at 0 and waits for nothing but its own timers."""

    def __init__(self) -> None:
        self._instants = _Instants()
        super().__init__(self._instants)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._instants.now

    def stand_still(self, seconds: float) -> None:
        """The process is stopped for so long, while its clock goes on."""
        self._instants.now += seconds


class _Instants(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        if timeout is None:
            raise RuntimeError("Nothing is left to wait for.")
        self.now += timeout
        return super().select(0)
