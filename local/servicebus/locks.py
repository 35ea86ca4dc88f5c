"""Locks on messages (peek-lock receive mode)."""

import os
from collections.abc import Callable

from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.message import Message
from local.servicebus.timers import Alarm, Timers

_LOCK_LOST = (
    "The lock supplied is invalid. Either the lock expired, or the message has already been "
    "removed from the queue."
)


class MessageLocks:
    """
    The locked messages of a queue, by lock token.

    All locks have the same duration, so they expire in the order in which they were granted or
    renewed. `on_expired` is called with each message whose lock expires; without `expire`, locks
    do not expire.
    """

    def __init__(
        self,
        timers: Timers,
        duration: int,
        on_expired: Callable[[Message], None],
        *,
        expire: bool,
    ) -> None:
        self._timers = timers
        self._duration = duration
        self._on_expired = on_expired
        self._expire = expire
        self._alarm = Alarm(timers, self._expire_due)
        self._messages: dict[bytes, Message] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, token: bytes) -> bool:
        return token in self._messages

    def grant(self, message: Message, holder: object) -> bytes:
        """Locks `message` for `holder`, and returns the lock token."""
        message.lock_token = token = os.urandom(16)
        message.lock_holder = holder
        self._start(token, message)
        return token

    def find(self, token: bytes) -> Message:
        """Returns the message locked by `token`; raises AmqpError if there is none."""
        message = self._messages.get(token)
        if message is None or (self._expire and message.locked_until <= self._timers.now()):
            raise AmqpError(Condition.MESSAGE_LOCK_LOST, _LOCK_LOST)
        return message

    def renew(self, message: Message) -> int:
        """Renews the lock on `message`, and returns its new expiration time."""
        token = self._remove(message)
        self._start(token, message)
        return message.locked_until

    def release(self, message: Message) -> None:
        """Unlocks `message`."""
        self._remove(message)
        message.lock_token = message.lock_holder = None

    def held_by(self, holder: object) -> list[Message]:
        """Returns the messages locked for `holder`."""
        return [message for message in self._messages.values() if message.lock_holder is holder]

    def clear(self) -> None:
        """Forgets all locks."""
        self._messages.clear()

    def _start(self, token: bytes, message: Message) -> None:
        message.locked_until = self._timers.now() + self._duration
        self._messages[token] = message
        if self._expire:
            self._alarm.set(message.locked_until)

    def _remove(self, message: Message) -> bytes:
        token = message.lock_token or b""
        del self._messages[token]
        return token

    def _expire_due(self, now: int) -> int | None:
        expired = []
        for message in self._messages.values():
            if message.locked_until > now:
                break
            expired.append(message)
        for message in expired:
            self._on_expired(message)
        return next((message.locked_until for message in self._messages.values()), None)
