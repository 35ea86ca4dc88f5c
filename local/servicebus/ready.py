"""Messages that may be delivered now, and the receivers that wait for them."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from local.servicebus.heap import LiveHeap
from local.servicebus.message import Message, MessageState


class Receiver(Protocol):
    """Who takes messages while it can."""

    is_waiting: bool

    @property
    def can_take(self) -> bool: ...

    def take(self, message: Message) -> None: ...


class Ready:
    """Active, unlocked messages, delivered in the order of their sequence numbers.

    Receivers take turns. `dies` is asked about each message at the last moment and may remove it.
    """

    def __init__(self, messages: Mapping[int, Message], dies: Callable[[Message], bool]) -> None:
        self._messages = messages
        self._dies = dies
        self._numbers: LiveHeap[int] = LiveHeap(self._is_live)
        self._receivers: deque[Receiver] = deque()

    def __bool__(self) -> bool:
        """Whether there is a message."""
        return self._numbers.first() is not None

    def add(self, message: Message) -> None:
        """Adds a message of the mapping; it is not delivered before `deliver` is called."""
        self._numbers.push(message.sequence_number)

    def wait(self, receiver: Receiver) -> None:
        """Gives `receiver` its share of the messages, for as long as it can take them."""
        if not receiver.is_waiting:
            receiver.is_waiting = True
            self._receivers.append(receiver)
        self.deliver()

    def leave(self, receiver: Receiver) -> None:
        """Gives `receiver` no more messages."""
        if receiver.is_waiting:
            receiver.is_waiting = False
            self._receivers.remove(receiver)

    def deliver(self) -> None:
        """Hands out messages while there are both: one, and a receiver that can take it."""
        while self._receivers and (number := self._numbers.first()) is not None:
            receiver = self._receivers[0]
            message = self._messages[number]
            if not receiver.can_take:
                self._receivers.popleft()
                receiver.is_waiting = False
            elif not self._dies(message):
                self._numbers.pop()
                self._receivers.rotate(-1)
                receiver.take(message)

    def _is_live(self, number: int) -> bool:
        message = self._messages.get(number)
        return (
            message is not None and message.token is None and message.state is MessageState.ACTIVE
        )
