"""Locks on messages: who has taken one, and until when."""

import os
from collections.abc import Callable

from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.message import Message
from local.servicebus.timers import Alarm, Timers

_LOST = (
    "The lock supplied is invalid. Either the lock expired, or the message has already been "
    "removed from the queue."
)


class Locks:
    """The messages of a queue that are locked, by their tokens.

    All last equally long, so they expire in the order in which they were granted or renewed.
    """

    def __init__(
        self,
        timers: Timers,
        duration: int,
        expired: Callable[[Message], None],
        *,
        expire: bool,
    ) -> None:
        """Calls `expired` with each message whose lock ends; unless they `expire`, none does."""
        self._timers = timers
        self._duration = duration
        self._expired = expired
        self._expire = expire
        self._alarm = Alarm(timers, self._ring)
        self._messages: dict[bytes, Message] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, token: bytes) -> bool:
        return token in self._messages

    def grant(self, message: Message, holder: object) -> bytes:
        """Locks `message` for `holder`; the token."""
        message.token = token = os.urandom(16)
        message.holder = holder
        self._start(token, message)
        return token

    def find(self, token: bytes) -> Message:
        """The message that is locked by `token`; AmqpError if none is."""
        message = self._messages.get(token)
        if message is None or (self._expire and message.locked_until <= self._timers.now()):
            raise AmqpError(Condition.MESSAGE_LOCK_LOST, _LOST)
        return message

    def renew(self, message: Message) -> int:
        """Starts the lock anew; when it ends now."""
        token = self._taken(message)
        self._start(token, message)
        return message.locked_until

    def release(self, message: Message) -> None:
        """Unlocks it."""
        self._taken(message)
        message.token = message.holder = None

    def held_by(self, holder: object) -> list[Message]:
        """The messages that `holder` has locked."""
        return [message for message in self._messages.values() if message.holder is holder]

    def clear(self) -> None:
        """Forgets all of them."""
        self._messages.clear()

    def _start(self, token: bytes, message: Message) -> None:
        message.locked_until = self._timers.now() + self._duration
        self._messages[token] = message
        if self._expire:
            self._alarm.set(message.locked_until)

    def _taken(self, message: Message) -> bytes:
        token = message.token or b""
        del self._messages[token]
        return token

    def _ring(self, now: int) -> int | None:
        ended = []
        for message in self._messages.values():
            if message.locked_until > now:
                break
            ended.append(message)
        for message in ended:
            self._expired(message)
        return next((message.locked_until for message in self._messages.values()), None)
