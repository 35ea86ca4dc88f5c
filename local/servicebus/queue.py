"""A queue: messages in, locks and settlements, messages out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import ClassVar

from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.deadlines import Deadlines
from local.servicebus.duplicates import DuplicateHistory
from local.servicebus.locks import Locks
from local.servicebus.message import Message, MessageState
from local.servicebus.message_sessions import MessageSessions
from local.servicebus.options import DEAD_LETTER_QUEUE, QueueOptions
from local.servicebus.ready import Ready
from local.servicebus.resources import Resources
from local.servicebus.settlement import NOTHING, Properties, Settlement, because

_EXPIRED = because("TTLExpiredException", "The message expired and was dead lettered.")
_IS_DEAD = "A message of a dead-letter queue cannot be dead-lettered."
_NO_SESSION = "The SessionId was not set on a message sent to an entity that requires sessions."


class Queue:
    """A queue, or the dead-letter queue of `parent`."""

    def __init__(
        self, name: str, options: QueueOptions, resources: Resources, parent: "Queue | None" = None
    ) -> None:
        self.name = name
        self.messages: dict[int, Message] = {}
        self._options = options
        self._resources = resources
        self._parent = parent
        self._timers = timers = resources.timers
        self._memory = memory = resources.memory
        self._statistics = resources.statistics
        self._numbers = count(1)
        self.ready = self._make_ready()  # what a receiver without a session waits for
        lock = int(options.lock_duration * 1000)
        # In a session the session's lock stands for those of its messages.
        self.locks = Locks(timers, lock, self._lock_expired, expire=not self.requires_session)
        self.sessions = MessageSessions(timers, memory, lock, self._make_ready, self._session_freed)
        self._history = DuplicateHistory(timers, memory, int(options.duplicate_detection * 1000))
        self._expiries = Deadlines(timers, self.messages, Message.dies_at, self.dies)
        self._schedule = Deadlines(timers, self.messages, Message.activates_at, self._activate)
        self.dead_letters = self
        if parent is None:
            self.dead_letters = Queue(f"{name}/{DEAD_LETTER_QUEUE}", options, resources, self)

    @property
    def requires_session(self) -> bool:
        """Whether its messages belong to sessions; those of a dead-letter queue do not."""
        return self._options.requires_session and self._parent is None

    def put(self, messages: Sequence[Message]) -> list[int]:
        """Takes all of them or, with an AmqpError, none; their numbers, 0 for a duplicate."""
        for message in messages:
            self._check(message)
        self._memory.take(sum(message.cost + self._history.cost for message in messages))
        self._statistics.received += len(messages)
        numbers = [self._put(message) for message in messages]
        self._deliver([message for message in messages if message.sequence_number])
        return numbers

    def settle(
        self, messages: Iterable[Message], settlement: Settlement, written: Properties = NOTHING
    ) -> None:
        """Does it with messages that are locked, and unlocks them; AmqpError if it cannot be done.

        `written` becomes part of the application properties first.
        """
        if settlement is Settlement.DEAD_LETTER and self._parent:
            raise AmqpError(Condition.NOT_ALLOWED, _IS_DEAD)
        if written and settlement is not Settlement.DEAD_LETTER:  # which a message is only once
            self._memory.check()
        for message in messages:
            self._memory.grow(message.describe(written))
            self.locks.release(message)
            self._SETTLING[settlement](self, message)

    def remove(self, message: Message) -> None:
        """Forgets it."""
        self._leave(message)
        self._memory.give(message.cost)

    def adopt(self, message: Message) -> None:
        """Takes over a message of the queue whose dead-letter queue this is."""
        self.messages[message.sequence_number] = message
        self.ready.add(message)
        self.ready.deliver()

    def clear(self) -> None:
        """Forgets all messages, sessions and duplicates; who holds a lock has lost it."""
        self.locks.clear()
        for message in list(self.messages.values()):
            self.remove(message)
        self.sessions.clear()
        self._history.clear()
        if self._parent is None:
            self.dead_letters.clear()

    # In

    def _check(self, message: Message) -> None:
        size, limit = message.size, self._resources.max_message_bytes
        if size > limit:
            text = f"The received message (size={size}) exceeds the limit ({limit})."
            raise AmqpError(Condition.MESSAGE_SIZE_EXCEEDED, text)
        if self._parent:
            raise AmqpError(Condition.NOT_ALLOWED, "A dead-letter queue cannot be sent to.")
        if self.requires_session and message.session_id is None:
            raise AmqpError(Condition.NOT_ALLOWED, _NO_SESSION)

    def _put(self, message: Message) -> int:
        if self._history.cost and self._is_duplicate(message):
            self._memory.give(message.cost + self._history.cost)
            self._statistics.duplicates += 1
            return 0
        if message.scheduled and message.scheduled > self._timers.now():
            message.state = MessageState.SCHEDULED
            self._number(message)
            self._schedule.add(message)
        else:
            self._enqueue(message)
        return message.sequence_number

    def _is_duplicate(self, message: Message) -> bool:
        if message.message_id is None:
            self._memory.give(self._history.cost)
            return False
        return self._history.has_seen(message.message_id)

    def _number(self, message: Message) -> None:
        message.sequence_number = number = next(self._numbers)
        message.enqueued = self._timers.now()
        self.messages[number] = message

    def _enqueue(self, message: Message) -> None:
        self._number(message)
        longest = (self._options.time_to_live or 0) * 1000
        time_to_live = message.time_to_live or longest
        if time_to_live:
            message.limit_life(int(min(time_to_live, longest or time_to_live)))
            self._expiries.add(message)
        self._ready_of(message).add(message)

    def _activate(self, message: Message) -> None:
        # A scheduled message gets its place, and another number, when it becomes active.
        del self.messages[message.sequence_number]
        message.state = MessageState.ACTIVE
        self._enqueue(message)
        self._deliver([message])

    # Out

    def _make_ready(self) -> Ready:
        return Ready(self.messages, self.dies)

    def _ready_of(self, message: Message) -> Ready:
        if not self.requires_session:
            return self.ready
        return self.sessions.find(message.session_id or "").ready

    def _deliver(self, messages: Iterable[Message]) -> None:
        if not self.requires_session:
            self.ready.deliver()
            return
        for session_id in {message.session_id or "" for message in messages}:
            self.sessions.find(session_id).ready.deliver()
        self.sessions.serve_waiting()

    def _leave(self, message: Message) -> None:
        del self.messages[message.sequence_number]
        if self.requires_session:
            self.sessions.forget_if_empty(self.sessions.find(message.session_id or ""))

    def _complete(self, message: Message) -> None:
        self._statistics.completed += 1
        self.remove(message)

    def _abandon(self, message: Message) -> None:
        self._statistics.abandoned += 1
        self._fail(message)

    def _release(self, message: Message) -> None:
        self._statistics.released += 1
        self._put_back(message)

    def _defer(self, message: Message) -> None:
        self._statistics.deferred += 1
        message.state = MessageState.DEFERRED
        # The service counts it as a delivery (Azure/azure-service-bus#375).
        self._fail(message)

    def _dead_letter(self, message: Message, reasons: Properties = NOTHING) -> None:
        self._statistics.dead_lettered += 1
        self._memory.grow(message.describe(reasons))
        self._leave(message)
        message.state, message.expires = MessageState.ACTIVE, None
        self.dead_letters.adopt(message)

    def _lock_expired(self, message: Message) -> None:
        self._statistics.locks_lost += 1
        self.locks.release(message)
        self._fail(message)

    def _session_freed(self, holder: object, has_expired: bool) -> None:
        for message in self.locks.held_by(holder):
            if has_expired:
                self._lock_expired(message)
            else:  # closing counts no delivery ("Message sessions")
                self.settle([message], Settlement.RELEASE)

    def _fail(self, message: Message) -> None:
        # A dead-letter queue counts no deliveries (Azure/azure-sdk-for-net#53437).
        message.delivery_count += self._parent is None
        if self._parent is None and message.delivery_count >= self._options.max_delivery_count:
            times = f"{message.delivery_count} delivery attempts"
            text = f"Message could not be consumed after {times}."
            self._dead_letter(message, because("MaxDeliveryCountExceeded", text))
        else:
            self._put_back(message)

    def _put_back(self, message: Message) -> None:
        if message.state is MessageState.ACTIVE and not self.dies(message):
            self._ready_of(message).add(message)
            self._deliver([message])

    def dies(self, message: Message) -> bool:
        """Whether it has outlived its time to live, and is gone therefore."""
        is_over = message.expires is not None and message.expires <= self._timers.now()
        if not is_over or message.token is not None:
            return False
        self._statistics.expired += 1
        if self._options.dead_letter_on_expiration:
            self._dead_letter(message, _EXPIRED)
        else:
            self.remove(message)
        return True

    _SETTLING: ClassVar[Mapping[Settlement, Callable[["Queue", Message], None]]] = {
        Settlement.COMPLETE: _complete,
        Settlement.ABANDON: _abandon,
        Settlement.RELEASE: _release,
        Settlement.DEFER: _defer,
        Settlement.DEAD_LETTER: _dead_letter,
    }
