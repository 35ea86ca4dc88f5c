"""Messages to which something happens at a time."""

from collections.abc import Callable, Mapping

from local.servicebus.heap import LiveHeap
from local.servicebus.message import Message
from local.servicebus.timers import Alarm, Timers


class Deadlines:
    """Calls `reached` with each message at its `time_of`, unless that is another by then."""

    def __init__(
        self,
        timers: Timers,
        messages: Mapping[int, Message],
        time_of: Callable[[Message], int | None],
        reached: Callable[[Message], object],
    ) -> None:
        self._messages = messages
        self._time_of = time_of
        self._reached = reached
        self._heap: LiveHeap[tuple[int, int]] = LiveHeap(self._is_live)
        self._alarm = Alarm(timers, self._ring)

    def add(self, message: Message) -> None:
        """Watches a message of the mapping."""
        when = self._time_of(message)
        if when is not None:
            self._heap.push((when, message.sequence_number))
            self._alarm.set(when)

    def _is_live(self, entry: tuple[int, int]) -> bool:
        when, sequence_number = entry
        message = self._messages.get(sequence_number)
        return message is not None and self._time_of(message) == when

    def _ring(self, now: int) -> int | None:
        while (first := self._heap.first()) and first[0] <= now:
            self._heap.pop()
            self._reached(self._messages[first[1]])
        return first[0] if first else None
