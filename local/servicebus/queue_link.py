"""Links on which clients receive the messages of a queue."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from local.servicebus.amqp import encode
from local.servicebus.amqp.decode import Described
from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.amqp.performatives import Attach
from local.servicebus.message import Message
from local.servicebus.message_sessions import MessageSession
from local.servicebus.namespace import Node
from local.servicebus.outgoing import OutgoingLink
from local.servicebus.queue import Queue
from local.servicebus.ready import Ready
from local.servicebus.timers import Alarm

if TYPE_CHECKING:
    from local.servicebus.session import Session

SESSION_FILTER = "com.microsoft:session-filter"
_FILTER = 7  # of a source (part 3, 3.5.3)
_TIMEOUT = "com.microsoft:timeout"
_LOCKED_UNTIL = "com.microsoft:locked-until-utc"
_SESSION_WAIT = 60_000  # milliseconds, if the client names no timeout
_TICKS_OF_1970 = 621_355_968_000_000_000  # .NET counts 100 ns from the year 1
_TICKS_OF_MILLISECOND = 10_000
_SETTLED = 1  # snd-settle-mode


class QueueLink(OutgoingLink):
    """Brings the messages of a queue, or of one session of it."""

    def __init__(self, session: "Session", request: Attach, node: Node, queue: Queue) -> None:
        super().__init__(session, request, node)
        self.queue = queue
        self.is_waiting = False  # in line for messages
        self._ready: Ready | None = None  # where it stands in line once it is attached
        self._message_session: MessageSession | None = None
        self._deletes = request.snd_settle_mode == _SETTLED
        self._patience = Alarm(session.namespace.timers, self._give_up)

    def attach(self) -> None:
        has_filter, session_id = _session_filter(self.request)
        if has_filter != self.queue.requires_session:
            raise AmqpError(Condition.NOT_ALLOWED, _MISFITS[has_filter])
        if not has_filter:
            self._ready = self.queue.ready
            self._attach()
            return
        sessions = self.queue.sessions
        granted = (
            sessions.lock_next(self) if session_id is None else sessions.lock(session_id, self)
        )
        if granted:
            self.accept(granted)
        else:
            sessions.wait(self)
            timeout = (self.request.properties or {}).get(_TIMEOUT)
            wait = timeout if isinstance(timeout, int) else _SESSION_WAIT
            self._patience.set(self._session.namespace.timers.now() + wait)

    def accept(self, session: MessageSession) -> None:
        """Tells the client that it holds `session` now."""
        self._message_session, self._ready = session, session.ready
        chosen = encode.map_((encode.symbol(SESSION_FILTER), encode.string(session.id)))
        fields = [encode.string(self.node.address), *[encode.NULL] * 6, chosen]
        ticks = session.locked_until * _TICKS_OF_MILLISECOND + _TICKS_OF_1970
        self._attach(
            source=encode.described(0x28, encode.list_(*fields)),
            properties=encode.map_((encode.symbol(_LOCKED_UNTIL), encode.long(ticks))),
        )

    def lose_session(self) -> None:
        """Tells the client that it no longer holds its session."""
        self._message_session = None
        text = "The session lock has expired on the MessageSession."
        self._session.detach(self, AmqpError(Condition.SESSION_LOCK_LOST, text))

    @property
    def can_take(self) -> bool:
        """Whether the client can be sent a message now."""
        return self._credit > 0 and self._session.can_write

    def take(self, message: Message) -> None:
        """Sends a message, locked unless the client wants it deleted."""
        self._session.namespace.statistics.delivered += 1
        if self._deletes:
            self._send(message.encoded(), os.urandom(16), settled=True)
            self.queue.remove(message)
            return
        token = self.queue.locks.grant(message, self)
        encoded = message.encoded(locked_until=message.locked_until)
        number = self._send(encoded, token, settled=False)
        self._session.await_settlement(number, self, token)

    def supply(self) -> None:
        if self._ready is not None and self._credit > 0:
            self._ready.wait(self)

    def closed(self) -> None:
        """Message locks last until they expire, as in the service; a session's lock ends now."""
        super().closed()
        self.queue.sessions.stop_waiting(self)
        if self._ready is not None:
            self._ready.leave(self)
        if self._message_session is not None:
            session, self._message_session = self._message_session, None
            self.queue.sessions.release(session)

    def _give_up(self, _: int) -> None:
        if self.queue.sessions.stop_waiting(self):
            text = "The operation did not complete within the allotted timeout."
            self._session.refuse(self.request, AmqpError(Condition.TIMEOUT, text))


# By whether a session was asked for.
_MISFITS: Mapping[bool, str] = {
    True: "The entity does not support sessions.",
    False: "It is not possible for an entity that requires sessions to create a "
    "non-sessionful message receiver.",
}


def _session_filter(request: Attach) -> tuple[bool, str | None]:
    """Whether a session is asked for, and which; None for the next one that is free."""
    fields = request.source.value if request.source is not None else None
    filters = fields[_FILTER] if isinstance(fields, list) and len(fields) > _FILTER else None
    if not isinstance(filters, dict) or SESSION_FILTER not in filters:
        return False, None
    chosen = filters[SESSION_FILTER]
    chosen = chosen.value if isinstance(chosen, Described) else chosen
    if not isinstance(chosen, str | None):
        raise AmqpError(Condition.INVALID_FIELD, "A session id is a text.")
    return True, chosen
