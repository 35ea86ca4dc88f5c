"""A queue: stores messages, delivers them, settles them, and dead-letters them."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import count
from typing import ClassVar

from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.delivery import AvailableMessages
from local.servicebus.locks import MessageLocks
from local.servicebus.message import Message, MessageState
from local.servicebus.message_sessions import MessageSessions
from local.servicebus.options import DEAD_LETTER_QUEUE, QueueOptions
from local.servicebus.resources import MemoryQuota, QueueCounts, Resources
from local.servicebus.settlement import (
    NO_PROPERTIES,
    Properties,
    Settlement,
    dead_letter_properties,
)
from local.servicebus.timers import MessageTimer, Timers

# The response to a peek is one message, so its size is limited, whatever count is requested.
_MAX_PEEKED_BYTES = 1024 * 1024
_REMEMBERED_ID_BYTES = 256  # bytes of memory that duplicate detection takes for each message id

_EXPIRED = dead_letter_properties(
    "TTLExpiredException", "The message expired and was dead lettered."
)
_IN_DEAD_LETTER_QUEUE = "A message in a dead-letter queue cannot be dead-lettered."
_NO_SESSION_ID = "The SessionId was not set on a message sent to an entity that requires sessions."


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
        self._sequence_numbers = count(1)
        self.available = self._create_available()  # for receivers without a session
        lock = int(options.lock_duration * 1000)
        # With sessions, locks on messages do not expire: the lock on their session does.
        self.locks = MessageLocks(timers, lock, self._expire_lock, expire=not self.requires_session)
        self.sessions = MessageSessions(
            timers, memory, lock, self._create_available, self._unlock_session
        )
        self._history = DuplicateHistory(timers, memory, int(options.duplicate_detection * 1000))
        self._expirations = MessageTimer(
            timers, self.messages, Message.expiration_time, self.remove_if_expired
        )
        self._activations = MessageTimer(
            timers, self.messages, Message.activation_time, self._activate
        )
        self.dead_letters = self
        if parent is None:
            self.dead_letters = Queue(f"{name}/{DEAD_LETTER_QUEUE}", options, resources, self)

    @property
    def requires_session(self) -> bool:
        """Whether messages belong to sessions; those in a dead-letter queue never do."""
        return self._options.requires_session and self._parent is None

    @property
    def counts(self) -> QueueCounts:
        """Numbers of messages by state; a locked message counts as locked only."""
        messages = self.messages.values()
        states = Counter(message.state for message in messages if message.lock_token is None)
        return QueueCounts(
            active=states[MessageState.ACTIVE],
            scheduled=states[MessageState.SCHEDULED],
            deferred=states[MessageState.DEFERRED],
            locked=len(self.locks),
            dead_lettered=len(self.dead_letters.messages),
        )

    def put(self, messages: Sequence[Message]) -> list[int]:
        """
        Stores all messages, and returns their sequence numbers, 0 for a duplicate.

        Raises AmqpError, and stores none, if one is not allowed or all exceed the memory quota.
        """
        for message in messages:
            self._check(message)
        self._memory.reserve(sum(message.stored_size + self._history.size for message in messages))
        self._statistics.received += len(messages)
        numbers = [self._put(message) for message in messages]
        self._deliver([message for message in messages if message.sequence_number])
        return numbers

    def peek(self, start: int, limit: int, session_id: str | None) -> list[Message]:
        """Returns messages of any state from sequence number `start` on, of one or all sessions."""
        peeked: list[Message] = []
        remaining_bytes = _MAX_PEEKED_BYTES
        for number in sorted(number for number in self.messages if number >= start):
            message = self.messages[number]
            if len(peeked) >= limit or remaining_bytes <= 0:
                break
            if session_id in (None, message.session_id):
                peeked.append(message)
                remaining_bytes -= message.stored_size
        return peeked

    def settle(
        self,
        messages: Iterable[Message],
        settlement: Settlement,
        properties: Properties = NO_PROPERTIES,
    ) -> None:
        """
        Sets application properties of locked messages, settles and unlocks them.

        Raises AmqpError if the settlement is not allowed or the memory quota is used up.
        """
        if settlement is Settlement.DEAD_LETTER and self._parent:
            raise AmqpError(Condition.NOT_ALLOWED, _IN_DEAD_LETTER_QUEUE)
        # A message is dead-lettered only once, so its properties cannot grow without limit.
        if properties and settlement is not Settlement.DEAD_LETTER:
            self._memory.check()
        for message in messages:
            self._memory.force(message.set_application_properties(properties))
            self.locks.release(message)
            self._SETTLE[settlement](self, message)

    def remove(self, message: Message) -> None:
        """Deletes a message."""
        self._unlink(message)
        self._memory.release(message.stored_size)

    def remove_if_expired(self, message: Message) -> bool:
        """Deletes or dead-letters an unlocked message whose time to live has passed."""
        is_expired = message.expires_at is not None and message.expires_at <= self._timers.now()
        if not is_expired or message.lock_token is not None:
            return False
        self._statistics.expired += 1
        if self._options.dead_letter_on_expiration:
            self._dead_letter(message, _EXPIRED)
        else:
            self.remove(message)
        return True

    def add_dead_letter(self, message: Message) -> None:
        """Stores a message of the parent queue, under the sequence number that it has."""
        self.messages[message.sequence_number] = message
        self.available.add(message)
        self.available.deliver()

    def clear(self) -> None:
        """Deletes all messages, locks, session states and remembered message ids."""
        self.locks.clear()
        for message in list(self.messages.values()):
            self.remove(message)
        self.sessions.clear()
        self._history.clear()
        if self._parent is None:
            self.dead_letters.clear()

    # Enqueueing

    def _check(self, message: Message) -> None:
        size, limit = message.size, self._resources.max_message_bytes
        if size > limit:
            text = f"The received message (size={size}) exceeds the limit ({limit})."
            raise AmqpError(Condition.MESSAGE_SIZE_EXCEEDED, text)
        if self._parent:
            raise AmqpError(Condition.NOT_ALLOWED, "A dead-letter queue does not accept messages.")
        if self.requires_session and message.session_id is None:
            raise AmqpError(Condition.NOT_ALLOWED, _NO_SESSION_ID)

    def _put(self, message: Message) -> int:
        if self._history.size and self._is_duplicate(message):
            self._memory.release(message.stored_size + self._history.size)
            self._statistics.duplicates += 1
            return 0
        if message.scheduled_at and message.scheduled_at > self._timers.now():
            message.state = MessageState.SCHEDULED
            self._assign_number(message)
            self._activations.add(message)
        else:
            self._enqueue(message)
        return message.sequence_number

    def _is_duplicate(self, message: Message) -> bool:
        if message.message_id is None:
            self._memory.release(self._history.size)
            return False
        return self._history.is_duplicate(message.message_id)

    def _assign_number(self, message: Message) -> None:
        message.sequence_number = number = next(self._sequence_numbers)
        message.enqueued_at = self._timers.now()
        self.messages[number] = message

    def _enqueue(self, message: Message) -> None:
        self._assign_number(message)
        limit = (self._options.time_to_live or 0) * 1000
        time_to_live = message.time_to_live or limit
        if time_to_live:
            message.set_time_to_live(int(min(time_to_live, limit or time_to_live)))
            self._expirations.add(message)
        self._available_for(message).add(message)

    def _activate(self, message: Message) -> None:
        # As in Service Bus, a scheduled message gets a new sequence number on activation.
        del self.messages[message.sequence_number]
        message.state = MessageState.ACTIVE
        self._enqueue(message)
        self._deliver([message])

    # Delivery

    def _create_available(self) -> AvailableMessages:
        return AvailableMessages(self.messages, self.remove_if_expired)

    def _available_for(self, message: Message) -> AvailableMessages:
        if not self.requires_session:
            return self.available
        return self.sessions.find(message.session_id or "").available

    def _deliver(self, messages: Iterable[Message]) -> None:
        if not self.requires_session:
            self.available.deliver()
            return
        for session_id in {message.session_id or "" for message in messages}:
            self.sessions.find(session_id).available.deliver()
        self.sessions.serve_waiting()

    def _unlink(self, message: Message) -> None:
        del self.messages[message.sequence_number]
        if self.requires_session:
            self.sessions.remove_if_empty(self.sessions.find(message.session_id or ""))

    # Settlement

    def _complete(self, message: Message) -> None:
        self._statistics.completed += 1
        self.remove(message)

    def _abandon(self, message: Message) -> None:
        self._statistics.abandoned += 1
        self._count_delivery(message)

    def _release(self, message: Message) -> None:
        self._statistics.released += 1
        self._make_available(message)

    def _defer(self, message: Message) -> None:
        self._statistics.deferred += 1
        message.state = MessageState.DEFERRED
        # The service counts it as a delivery (Azure/azure-service-bus#375).
        self._count_delivery(message)

    def _dead_letter(self, message: Message, properties: Properties = NO_PROPERTIES) -> None:
        self._statistics.dead_lettered += 1
        self._memory.force(message.set_application_properties(properties))
        self._unlink(message)
        message.state, message.expires_at = MessageState.ACTIVE, None
        self.dead_letters.add_dead_letter(message)

    def _expire_lock(self, message: Message) -> None:
        self._statistics.locks_lost += 1
        self.locks.release(message)
        self._count_delivery(message)

    def _unlock_session(self, holder: object, has_expired: bool) -> None:
        for message in self.locks.held_by(holder):
            if has_expired:
                self._expire_lock(message)
            else:  # closing a session does not count as a delivery ("Message sessions")
                self.settle([message], Settlement.RELEASE)

    def _count_delivery(self, message: Message) -> None:
        # A dead-letter queue does not count deliveries (Azure/azure-sdk-for-net#53437).
        message.delivery_count += self._parent is None
        if self._parent is None and message.delivery_count >= self._options.max_delivery_count:
            attempts = f"{message.delivery_count} delivery attempts"
            text = f"Message could not be consumed after {attempts}."
            self._dead_letter(message, dead_letter_properties("MaxDeliveryCountExceeded", text))
        else:
            self._make_available(message)

    def _make_available(self, message: Message) -> None:
        if message.state is MessageState.ACTIVE and not self.remove_if_expired(message):
            self._available_for(message).add(message)
            self._deliver([message])

    _SETTLE: ClassVar[Mapping[Settlement, Callable[["Queue", Message], None]]] = {
        Settlement.COMPLETE: _complete,
        Settlement.ABANDON: _abandon,
        Settlement.RELEASE: _release,
        Settlement.DEFER: _defer,
        Settlement.DEAD_LETTER: _dead_letter,
    }


class DuplicateHistory:
    """Duplicate detection: message ids of the last `window` milliseconds; 0 turns it off."""

    def __init__(self, timers: Timers, memory: MemoryQuota, window: int) -> None:
        self._timers = timers
        self._memory = memory
        self._window = window
        self._expirations: OrderedDict[Hashable, int] = OrderedDict()
        # Bytes for each id. The caller reserves them together with those of the message, so that
        # both are accepted or refused together.
        self.size = _REMEMBERED_ID_BYTES if window else 0

    def is_duplicate(self, message_id: Hashable) -> bool:
        """Returns whether `message_id` was seen within the window; if not, remembers it."""
        now = self._timers.now()
        while self._expirations and next(iter(self._expirations.values())) <= now:
            self._expirations.popitem(last=False)
            self._memory.release(_REMEMBERED_ID_BYTES)
        if message_id in self._expirations:
            return True
        if self._window:
            self._expirations[message_id] = now + self._window
        return False

    def clear(self) -> None:
        """Forgets all message ids."""
        self._memory.release(_REMEMBERED_ID_BYTES * len(self._expirations))
        self._expirations.clear()
