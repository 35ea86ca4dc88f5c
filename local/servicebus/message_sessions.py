"""Sessions of messages: their locks, their states, and who waits for the next one."""

from collections.abc import Callable, Collection
from typing import Protocol

from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.memory import Memory
from local.servicebus.ready import Ready, Receiver
from local.servicebus.timers import Alarm, Timers

_COST = 1024  # bytes that a session with a state takes beside it
# From this time on (year 10000), "updated since" means every session that has messages.
_ANY_TIME = 253402300800000


class SessionReceiver(Receiver, Protocol):
    """A receiver that holds a session, or waits for one."""

    def accept(self, session: "MessageSession") -> None: ...

    def lose_session(self) -> None: ...


class MessageSession:
    """One session; it is locked while it has a holder."""

    def __init__(self, session_id: str, ready: Ready) -> None:
        self.id = session_id
        self.ready = ready
        self.state: bytes | None = None
        self.updated = 0
        self.holder: SessionReceiver | None = None
        self.locked_until = 0


class MessageSessions:
    """
    The sessions of a queue.

    `freed` is called with a receiver that loses its lock, and whether that has expired.
    """

    def __init__(
        self,
        timers: Timers,
        memory: Memory,
        duration: int,
        make_ready: Callable[[], Ready],
        freed: Callable[[SessionReceiver, bool], None],
    ) -> None:
        self._timers = timers
        self._memory = memory
        self._duration = duration
        self._make_ready = make_ready
        self._freed = freed
        self._sessions: dict[str, MessageSession] = {}
        self._locked: dict[str, MessageSession] = {}  # in the order in which the locks end
        self._waiting: dict[SessionReceiver, None] = {}  # first come, first served
        self._lock_alarm = Alarm(timers, self._end_locks)

    def find(self, session_id: str) -> MessageSession:
        """The session, made if there is none."""
        session = self._sessions.get(session_id)
        if session is None:
            session = MessageSession(session_id, self._make_ready())
            self._sessions[session_id] = session
        return session

    def lock(self, session_id: str, receiver: SessionReceiver) -> MessageSession:
        """Locks the session for `receiver`; AmqpError if another one holds it."""
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
        """Locks the first session that is free and has messages."""
        free = (
            session.id
            for session in self._sessions.values()
            if not session.holder and session.ready
        )
        session_id = next(free, None)
        return None if session_id is None else self.lock(session_id, receiver)

    def renew(self, session: MessageSession) -> int:
        """Starts the lock anew; when it ends now."""
        self._locked.pop(session.id, None)
        self._locked[session.id] = session
        session.locked_until = self._timers.now() + self._duration
        self._lock_alarm.set(session.locked_until)
        return session.locked_until

    def held(self, session_id: str) -> MessageSession:
        """The session, if somebody holds its lock; AmqpError else."""
        session = self._locked.get(session_id)
        if session is None:
            raise AmqpError(Condition.SESSION_LOCK_LOST, "The session lock was lost.")
        return session

    def release(self, session: MessageSession, *, expired: bool = False) -> None:
        """Unlocks it; its holder's messages go back, and the next in line may take it."""
        self._locked.pop(session.id, None)
        if session.holder is not None:
            session.ready.leave(session.holder)
            # While it is held, nobody forgets or takes it.
            self._freed(session.holder, expired)
            session.holder = None
        self.forget_if_empty(session)
        self.serve_waiting()

    def wait(self, receiver: SessionReceiver) -> None:
        """Gives `receiver` the next session that comes free; it leaves by `stop_waiting`."""
        self._waiting[receiver] = None

    def stop_waiting(self, receiver: SessionReceiver) -> bool:
        """Whether it was waiting."""
        was_waiting = receiver in self._waiting
        self._waiting.pop(receiver, None)
        return was_waiting

    def serve_waiting(self) -> None:
        """Gives free sessions to those who wait."""
        for receiver in list(self._waiting):
            session = self.lock_next(receiver)
            if session is None:
                return
            del self._waiting[receiver]
            receiver.accept(session)

    def set_state(self, session_id: str, state: bytes | None) -> None:
        """Keeps `state`; AmqpError if there is no room for it."""
        session = self.find(session_id)
        self._memory.take(_cost(state))
        self._memory.give(_cost(session.state))
        session.state, session.updated = state, self._timers.now()
        self.forget_if_empty(session)

    def state(self, session_id: str) -> bytes | None:
        """What has been kept."""
        session = self._sessions.get(session_id)
        return session.state if session else None

    def ids(self, *, busy: Collection[str], since: int, skip: int, top: int) -> list[str]:
        """Sessions whose state was set after `since`; from the year 10000 on, all in use."""
        if since >= _ANY_TIME:
            stateful = [
                session.id for session in self._sessions.values() if session.state is not None
            ]
            found = list(dict.fromkeys([*stateful, *busy]))
        else:
            found = [session.id for session in self._sessions.values() if session.updated > since]
        return found[skip : skip + top]

    def forget_if_empty(self, session: MessageSession) -> None:
        """Keeps nothing of a session without lock, state and messages."""
        is_empty = session.holder is None and session.state is None and not session.ready
        if is_empty:
            self._sessions.pop(session.id, None)

    def clear(self) -> None:
        """Forgets all states and takes all locks away."""
        for session in list(self._sessions.values()):
            self._memory.give(_cost(session.state))
            session.state = None
            self._take_away(session)
            self.forget_if_empty(session)

    def _end_locks(self, now: int) -> int | None:
        for session in list(self._locked.values()):
            if session.locked_until > now:
                return session.locked_until
            self._take_away(session)
        return None

    def _take_away(self, session: MessageSession) -> None:
        holder = session.holder
        if holder is not None:
            self.release(session, expired=True)
            holder.lose_session()


def _cost(state: bytes | None) -> int:
    return 0 if state is None else _COST + len(state)
