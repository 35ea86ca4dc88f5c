"""A heap whose entries may die before they are taken."""

import heapq
from collections.abc import Callable
from typing import Generic, TypeVar

EntryT = TypeVar("EntryT", int, tuple[int, int])
_SMALL = 64


class LiveHeap(Generic[EntryT]):
    """The entries for which `is_live` holds, least first.

    Dead ones are swept whenever the heap has doubled, so that it stays in proportion to the living.
    """

    def __init__(self, is_live: Callable[[EntryT], bool]) -> None:
        self._is_live: Callable[[EntryT], bool] = is_live
        self._entries: list[EntryT] = []
        self._sweep_at = _SMALL

    def push(self, entry: EntryT) -> None:
        """Adds an entry."""
        heapq.heappush(self._entries, entry)
        if len(self._entries) > self._sweep_at:
            self._entries = [entry for entry in self._entries if self._is_live(entry)]
            heapq.heapify(self._entries)
            self._sweep_at = max(_SMALL, 2 * len(self._entries))

    def first(self) -> EntryT | None:
        """The least living entry."""
        while self._entries and not self._is_live(self._entries[0]):
            heapq.heappop(self._entries)
        return self._entries[0] if self._entries else None

    def pop(self) -> None:
        """Takes away what `first` has just returned."""
        heapq.heappop(self._entries)
