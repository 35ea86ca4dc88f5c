"""Messages available for delivery, and the receivers that they are delivered to."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from local.servicebus.message import Message, MessageState
from local.servicebus.timers import LazyHeap


class Receiver(Protocol):
    """A receiving link, as far as delivery needs it."""

    is_waiting: bool

    @property
    def can_receive(self) -> bool: ...

    def deliver(self, message: Message) -> None: ...


class AvailableMessages:
    """
    Active, unlocked messages, delivered by sequence number to the receivers round robin.

    `remove_if_expired` is called for each message just before it is delivered.
    """

    def __init__(
        self, messages: Mapping[int, Message], remove_if_expired: Callable[[Message], bool]
    ) -> None:
        self._messages = messages
        self._remove_if_expired = remove_if_expired
        self._numbers: LazyHeap[int] = LazyHeap(self._is_available)
        self._receivers: deque[Receiver] = deque()

    def __bool__(self) -> bool:
        """Returns whether there is a message."""
        return self._numbers.first() is not None

    def add(self, message: Message) -> None:
        """Adds a message of the mapping, which the next `deliver` may deliver."""
        self._numbers.push(message.sequence_number)

    def add_receiver(self, receiver: Receiver) -> None:
        """Delivers messages to `receiver` too, until it can receive no more."""
        if not receiver.is_waiting:
            receiver.is_waiting = True
            self._receivers.append(receiver)
        self.deliver()

    def remove_receiver(self, receiver: Receiver) -> None:
        """Delivers no more messages to `receiver`."""
        if receiver.is_waiting:
            receiver.is_waiting = False
            self._receivers.remove(receiver)

    def deliver(self) -> None:
        """Delivers messages until there is none left or no receiver can receive."""
        while self._receivers and (number := self._numbers.first()) is not None:
            receiver = self._receivers[0]
            message = self._messages[number]
            if not receiver.can_receive:
                self._receivers.popleft()
                receiver.is_waiting = False
            elif not self._remove_if_expired(message):
                self._numbers.pop()
                self._receivers.rotate(-1)
                receiver.deliver(message)

    def _is_available(self, number: int) -> bool:
        message = self._messages.get(number)
        return (
            message is not None
            and message.lock_token is None
            and message.state is MessageState.ACTIVE
        )
