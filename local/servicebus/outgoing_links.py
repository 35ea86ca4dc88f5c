"""Links on which clients receive: messages from queues, responses from $cbs and $management."""

import os
from collections import deque
from collections.abc import Mapping
from typing import Any

from local.servicebus.amqp import encode, frames, serial_numbers
from local.servicebus.amqp.decode import Described
from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.amqp.performatives import Attach, Flow
from local.servicebus.delivery import AvailableMessages
from local.servicebus.interfaces import SessionPort
from local.servicebus.message import Message
from local.servicebus.message_sessions import MessageSession
from local.servicebus.namespace import Node
from local.servicebus.queue import Queue
from local.servicebus.timers import Alarm

_MAX_PENDING_RESPONSES = 1000  # for a client that grants no credit
_SESSION_FILTER = "com.microsoft:session-filter"
_FILTER = 7  # index of the field in a source (part 3, 3.5.3)
_TIMEOUT = "com.microsoft:timeout"
_LOCKED_UNTIL = "com.microsoft:locked-until-utc"
_DEFAULT_SESSION_TIMEOUT = 60_000  # milliseconds
# .NET counts ticks of 100 ns from the year 1.
_TICKS_AT_1970 = 621_355_968_000_000_000
_TICKS_PER_MILLISECOND = 10_000
_SETTLED = 1  # snd-settle-mode

# By whether the client requests a session.
_SESSION_MISMATCH: Mapping[bool, str] = {
    True: "The entity does not support sessions.",
    False: "It is not possible for an entity that requires sessions to create a "
    "non-sessionful message receiver.",
}


class OutgoingLink:
    """The credit of a link on which the broker sends; subclasses provide what it sends."""

    def __init__(self, session: SessionPort, request: Attach, node: Node) -> None:
        self.node = node
        self.handle = request.handle
        self.request = request
        self._session = session
        self._credit = 0
        self._delivery_count = 0

    def attach(self) -> None:
        """Accepts the client's attach; raises AmqpError if that is not possible."""
        self._write_attach()

    def flow(self, flow: Flow) -> None:
        """Updates the credit, and sends as much as it allows (2.6.7)."""
        if flow.link_credit is not None:
            in_flight = serial_numbers.difference(self._delivery_count, flow.delivery_count or 0)
            self._credit = max(flow.link_credit - in_flight, 0)
        self.send_available()
        if flow.drain:
            self._delivery_count = serial_numbers.add(self._delivery_count, self._credit)
            self._credit = 0
        if flow.drain or flow.echo:
            state = (self.handle, self._delivery_count, self._credit)
            self._session.write_flow(state, drain=bool(flow.drain))

    def send_available(self) -> None:
        """Sends what is available, as far as the credit allows."""
        raise NotImplementedError

    def on_detached(self) -> None:
        """Sends nothing more."""
        self._credit = 0

    def _write_attach(
        self, *, source: bytes | None = None, properties: bytes = encode.NULL
    ) -> None:
        self._session.write(
            frames.attach(
                self._session.channel,
                self.request,
                max_message_size=self._session.namespace.options.max_message_bytes,
                source=source,
                properties=properties,
            )
        )

    def _send(self, message: bytes, tag: bytes, *, settled: bool) -> int:
        self._delivery_count = serial_numbers.add(self._delivery_count)
        self._credit -= 1
        return self._session.write_transfers(self.handle, message, tag, settled=settled)


class ResponseLink(OutgoingLink):
    """A link for responses from $cbs or $management."""

    def __init__(self, session: SessionPort, request: Attach, node: Node) -> None:
        super().__init__(session, request, node)
        self._pending: deque[bytes] = deque()

    @property
    def target_address(self) -> Any:
        """The address that requests give as reply-to."""
        target = self.request.target
        fields = target.value if target is not None else None
        return fields[0] if isinstance(fields, list) and fields else None

    def push(self, response: bytes) -> None:
        """Sends a response once there is credit; raises AmqpError if too many are pending."""
        if len(self._pending) >= _MAX_PENDING_RESPONSES:
            raise AmqpError(
                Condition.RESOURCE_LIMIT_EXCEEDED,
                f"{_MAX_PENDING_RESPONSES} responses are pending; the link needs credit.",
            )
        self._pending.append(response)
        self.send_available()

    def send_available(self) -> None:
        while self._pending and self._credit > 0:
            tag = encode.uint(self._delivery_count)
            self._send(self._pending.popleft(), tag, settled=True)


class QueueLink(OutgoingLink):
    """A link for the messages of a queue, or of one of its sessions."""

    def __init__(self, session: SessionPort, request: Attach, node: Node, queue: Queue) -> None:
        super().__init__(session, request, node)
        self.queue = queue
        self.is_waiting = False  # for messages; set by AvailableMessages
        self._available: AvailableMessages | None = None  # None until attached
        self._message_session: MessageSession | None = None
        self._is_receive_and_delete = request.snd_settle_mode == _SETTLED
        self._session_timeout = Alarm(session.namespace.timers, self._on_session_timeout)

    def attach(self) -> None:
        has_filter, session_id = _session_filter(self.request)
        if has_filter != self.queue.requires_session:
            raise AmqpError(Condition.NOT_ALLOWED, _SESSION_MISMATCH[has_filter])
        if not has_filter:
            self._available = self.queue.available
            self._write_attach()
            return
        sessions = self.queue.sessions
        locked = sessions.lock_next(self) if session_id is None else sessions.lock(session_id, self)
        if locked:
            self.accept_session(locked)
        else:
            sessions.wait(self)
            timeout = (self.request.properties or {}).get(_TIMEOUT)
            wait = timeout if isinstance(timeout, int) else _DEFAULT_SESSION_TIMEOUT
            self._session_timeout.set(self._session.namespace.timers.now() + wait)

    def accept_session(self, session: MessageSession) -> None:
        """Accepts the client's attach for `session`, which is locked for it."""
        self._message_session, self._available = session, session.available
        accepted = encode.map_((encode.symbol(_SESSION_FILTER), encode.string(session.id)))
        fields = [encode.string(self.node.address), *[encode.NULL] * 6, accepted]
        ticks = session.locked_until * _TICKS_PER_MILLISECOND + _TICKS_AT_1970
        self._write_attach(
            source=encode.described(0x28, encode.list_(*fields)),
            properties=encode.map_((encode.symbol(_LOCKED_UNTIL), encode.long(ticks))),
        )

    def lose_session(self) -> None:
        """Detaches the link because its session lock has expired."""
        self._message_session = None
        text = "The session lock has expired on the MessageSession."
        self._session.detach(self, AmqpError(Condition.SESSION_LOCK_LOST, text))

    @property
    def can_receive(self) -> bool:
        """Whether a message can be sent to the client now."""
        return self._credit > 0 and self._session.can_write

    def deliver(self, message: Message) -> None:
        """Sends a message, and locks it, or deletes it in receive-and-delete mode."""
        self._session.namespace.statistics.delivered += 1
        if self._is_receive_and_delete:
            self._send(message.encoded(), os.urandom(16), settled=True)
            self.queue.remove(message)
            return
        token = self.queue.locks.grant(message, self)
        encoded = message.encoded(locked_until=message.locked_until)
        delivery_id = self._send(encoded, token, settled=False)
        self._session.track_delivery(delivery_id, self, token)

    def send_available(self) -> None:
        if self._available is not None and self._credit > 0:
            self._available.add_receiver(self)

    def on_detached(self) -> None:
        """Releases the session lock; locks on messages last until they expire, as in Azure."""
        super().on_detached()
        self.queue.sessions.stop_waiting(self)
        if self._available is not None:
            self._available.remove_receiver(self)
        if self._message_session is not None:
            session, self._message_session = self._message_session, None
            self.queue.sessions.release(session)

    def _on_session_timeout(self, _: int) -> None:
        if self.queue.sessions.stop_waiting(self):
            text = "The operation did not complete within the allotted timeout."
            self._session.refuse(self.request, AmqpError(Condition.TIMEOUT, text))


def _session_filter(request: Attach) -> tuple[bool, str | None]:
    """Returns whether the client requests a session, and its id, None for the next available."""
    fields = request.source.value if request.source is not None else None
    filters = fields[_FILTER] if isinstance(fields, list) and len(fields) > _FILTER else None
    if not isinstance(filters, dict) or _SESSION_FILTER not in filters:
        return False, None
    session_id = filters[_SESSION_FILTER]
    session_id = session_id.value if isinstance(session_id, Described) else session_id
    if not isinstance(session_id, str | None):
        raise AmqpError(Condition.INVALID_FIELD, "A session id must be a string.")
    return True, session_id
