"""An event loop on a simulated clock, which jumps to the next timer when nothing else is ready."""

import asyncio
import selectors
from typing import Any


class VirtualTime(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at 0; it handles timers but no I/O."""

    def __init__(self) -> None:
        self._clock = _ClockSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        """Returns the simulated seconds since the loop was created."""
        return self._clock.now

    def stand_still(self, seconds: float) -> None:
        """Advances the clock without running timers, as if the process had been suspended."""
        self._clock.now += seconds


class _ClockSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        if timeout is None:
            raise RuntimeError("no timer is left: the loop would wait forever")
        self.now += timeout
        return super().select(0)
