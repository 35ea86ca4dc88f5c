"""Message sessions of a queue: their locks, states, and the receivers waiting for one."""

from collections.abc import Callable, Collection
from typing import Protocol

from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.delivery import AvailableMessages, Receiver
from local.servicebus.resources import MemoryQuota
from local.servicebus.timers import Alarm, Timers

_STATE_OVERHEAD = 1024  # bytes of memory that a session with a state needs beyond the state
# With a last-updated-time from the year 10000 on, clients request all sessions with messages.
_YEAR_10000 = 253402300800000


class SessionReceiver(Receiver, Protocol):
    """A receiving link that holds a session or waits for one."""

    def accept_session(self, session: "MessageSession") -> None: ...

    def lose_session(self) -> None: ...


class MessageSession:
    """A session; it is locked while it has a holder."""

    def __init__(self, session_id: str, available: AvailableMessages) -> None:
        self.id = session_id
        self.available = available
        self.state: bytes | None = None
        self.updated_at = 0
        self.holder: SessionReceiver | None = None
        self.locked_until = 0


class MessageSessions:
    """
    The sessions of a queue.

    `on_released` is called with a receiver whose lock ends, and whether the lock has expired.
    """

    def __init__(
        self,
        timers: Timers,
        memory: MemoryQuota,
        lock_duration: int,
        create_available: Callable[[], AvailableMessages],
        on_released: Callable[[SessionReceiver, bool], None],
    ) -> None:
        self._timers = timers
        self._memory = memory
        self._lock_duration = lock_duration
        self._create_available = create_available
        self._on_released = on_released
        self._sessions: dict[str, MessageSession] = {}
        self._locked: dict[str, MessageSession] = {}  # in order of lock expiration
        self._waiting: dict[SessionReceiver, None] = {}  # in order of arrival
        self._lock_alarm = Alarm(timers, self._expire_locks)

    def find(self, session_id: str) -> MessageSession:
        """Returns the session, created if there is none."""
        session = self._sessions.get(session_id)
        if session is None:
            session = MessageSession(session_id, self._create_available())
            self._sessions[session_id] = session
        return session

    def lock(self, session_id: str, receiver: SessionReceiver) -> MessageSession:
        """Locks the session for `receiver`; raises AmqpError if it is locked."""
        session = self.find(session_id)
        if session.holder is not None:
            raise AmqpError(
                Condition.SESSION_CANNOT_BE_LOCKED,
                f"The requested session '{session_id}' cannot be accepted. "
                "It may be locked by another receiver.",
            )
        session.holder = receiver
        self.renew(session)
        return session

    def lock_next(self, receiver: SessionReceiver) -> MessageSession | None:
        """Locks the first unlocked session with messages, and returns it, or None."""
        unlocked = (
            session.id
            for session in self._sessions.values()
            if not session.holder and session.available
        )
        session_id = next(unlocked, None)
        return None if session_id is None else self.lock(session_id, receiver)

    def renew(self, session: MessageSession) -> int:
        """Renews the session's lock, and returns its new expiration time."""
        self._locked.pop(session.id, None)
        self._locked[session.id] = session
        session.locked_until = self._timers.now() + self._lock_duration
        self._lock_alarm.set(session.locked_until)
        return session.locked_until

    def find_locked(self, session_id: str) -> MessageSession:
        """Returns the session; raises AmqpError if it is not locked."""
        session = self._locked.get(session_id)
        if session is None:
            raise AmqpError(Condition.SESSION_LOCK_LOST, "The session lock was lost.")
        return session

    def release(self, session: MessageSession, *, expired: bool = False) -> None:
        """Unlocks the session and its messages, and serves the receivers that wait for one."""
        self._locked.pop(session.id, None)
        if session.holder is not None:
            session.available.remove_receiver(session.holder)
            # The holder is kept until its messages are unlocked: until then the session must
            # neither be removed nor be locked by another receiver.
            self._on_released(session.holder, expired)
            session.holder = None
        self.remove_if_empty(session)
        self.serve_waiting()

    def wait(self, receiver: SessionReceiver) -> None:
        """Locks the next available session for `receiver`, unless it stops waiting."""
        self._waiting[receiver] = None

    def stop_waiting(self, receiver: SessionReceiver) -> bool:
        """Returns whether `receiver` was waiting; it no longer is."""
        was_waiting = receiver in self._waiting
        self._waiting.pop(receiver, None)
        return was_waiting

    def serve_waiting(self) -> None:
        """Locks available sessions for the receivers that wait for one."""
        for receiver in list(self._waiting):
            session = self.lock_next(receiver)
            if session is None:
                return
            del self._waiting[receiver]
            receiver.accept_session(session)

    def set_state(self, session_id: str, state: bytes | None) -> None:
        """Sets the session state; raises AmqpError if that exceeds the memory quota."""
        session = self.find(session_id)
        self._memory.reserve(_stored_size(state))
        self._memory.release(_stored_size(session.state))
        session.state, session.updated_at = state, self._timers.now()
        self.remove_if_empty(session)

    def state(self, session_id: str) -> bytes | None:
        """Returns the session state."""
        session = self._sessions.get(session_id)
        return session.state if session else None

    def ids(
        self, *, with_messages: Collection[str], updated_since: int, skip: int, top: int
    ) -> list[str]:
        """
        Returns a page of the ids of sessions whose state was set after `updated_since`.

        From the year 10000 on, `updated_since` selects all sessions with a state or messages.
        """
        sessions = self._sessions.values()
        if updated_since >= _YEAR_10000:
            with_state = [session.id for session in sessions if session.state is not None]
            ids = list(dict.fromkeys([*with_state, *with_messages]))
        else:
            ids = [session.id for session in sessions if session.updated_at > updated_since]
        return ids[skip : skip + top]

    def remove_if_empty(self, session: MessageSession) -> None:
        """Removes a session without lock, state and messages."""
        is_empty = session.holder is None and session.state is None and not session.available
        if is_empty:
            self._sessions.pop(session.id, None)

    def clear(self) -> None:
        """Removes all states, and ends all locks."""
        for session in list(self._sessions.values()):
            self._memory.release(_stored_size(session.state))
            session.state = None
            self._expire_lock(session)
            self.remove_if_empty(session)

    def _expire_locks(self, now: int) -> int | None:
        for session in list(self._locked.values()):
            if session.locked_until > now:
                return session.locked_until
            self._expire_lock(session)
        return None

    def _expire_lock(self, session: MessageSession) -> None:
        holder = session.holder
        if holder is not None:
            self.release(session, expired=True)
            holder.lose_session()


def _stored_size(state: bytes | None) -> int:
    return 0 if state is None else _STATE_OVERHEAD + len(state)
