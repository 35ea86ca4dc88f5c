"""Looking at a queue's messages without taking them."""

from collections import Counter

from local.servicebus.counts import QueueCounts
from local.servicebus.message import Message, MessageState
from local.servicebus.queue import Queue

# A reply to a peek is one message, whatever the client asks for.
_PEEKED_BYTES = 1024 * 1024


def peek(queue: Queue, start: int, limit: int, session_id: str | None) -> list[Message]:
    """Messages of any state from the number `start` on, of one session or of all."""
    found: list[Message] = []
    room = _PEEKED_BYTES
    for number in sorted(number for number in queue.messages if number >= start):
        message = queue.messages[number]
        if len(found) >= limit or room <= 0:
            break
        if session_id in (None, message.session_id):
            found.append(message)
            room -= message.cost
    return found


def counts(queue: Queue) -> QueueCounts:
    """How many of its messages are in which state; a locked one counts as locked alone."""
    states = Counter(message.state for message in queue.messages.values() if message.token is None)
    return QueueCounts(
        active=states[MessageState.ACTIVE],
        scheduled=states[MessageState.SCHEDULED],
        deferred=states[MessageState.DEFERRED],
        locked=len(queue.locks),
        dead_lettered=len(queue.dead_letters.messages),
    )
