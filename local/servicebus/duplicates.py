"""Duplicate detection: the ids of messages that came lately."""

from collections import OrderedDict
from collections.abc import Hashable

from local.servicebus.memory import Memory
from local.servicebus.timers import Timers

_COST = 256  # bytes that a remembered id takes


class DuplicateHistory:
    """Remembers ids for `window` milliseconds; for 0 none at all."""

    def __init__(self, timers: Timers, memory: Memory, window: int) -> None:
        self._timers = timers
        self._memory = memory
        self._window = window
        self._until: OrderedDict[Hashable, int] = OrderedDict()
        # Of one id: taken by the caller together with that of the message, so that neither can
        # be refused alone.
        self.cost = _COST if window else 0

    def has_seen(self, key: Hashable) -> bool:
        """Whether `key` came within the window; if not, it is remembered from now on."""
        now = self._timers.now()
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
            self._memory.give(_COST)
        if key in self._until:
            return True
        if self._window:
            self._until[key] = now + self._window
        return False

    def clear(self) -> None:
        """Forgets all of them."""
        self._memory.give(_COST * len(self._until))
        self._until.clear()
