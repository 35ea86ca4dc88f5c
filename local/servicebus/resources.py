"""Resources that a broker's queues share: clock, memory quota and statistics."""

from dataclasses import dataclass, fields

from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.timers import Timers


@dataclass(kw_only=True)
class Statistics:
    """Counters since the broker was created or reset."""

    connections: int = 0  # open now
    connections_opened: int = 0
    connections_refused: int = 0
    stored_bytes: int = 0  # now

    received: int = 0  # messages accepted from senders, duplicates included
    duplicates: int = 0  # of these, dropped by duplicate detection
    refused: int = 0  # deliveries that were rejected
    delivered: int = 0  # messages sent to receivers, redeliveries included
    completed: int = 0
    abandoned: int = 0
    released: int = 0
    deferred: int = 0
    dead_lettered: int = 0
    expired: int = 0  # messages whose time to live passed
    locks_lost: int = 0  # locks that expired before their messages were settled
    settlements_refused: int = 0
    malformed: int = 0  # connections closed because of invalid data
    faults: int = 0  # injected faults that took effect

    def reset(self) -> None:
        """Sets all counters to 0."""
        for field in fields(self):
            setattr(self, field.name, 0)


@dataclass(frozen=True, kw_only=True)
class QueueCounts:
    """Numbers of messages in a queue, by state."""

    active: int = 0
    scheduled: int = 0
    deferred: int = 0
    locked: int = 0
    dead_lettered: int = 0


class MemoryQuota:
    """The number of bytes in use, and its limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def reserve(self, size: int) -> None:
        """Adds `size` bytes; raises AmqpError, and adds nothing, if that exceeds the limit."""
        self.check(size)
        self.used += size

    def check(self, size: int = 1) -> None:
        """Raises AmqpError if `size` more bytes exceed the limit."""
        if self.used + size > self.limit:
            raise AmqpError(
                Condition.RESOURCE_LIMIT_EXCEEDED,
                f"The broker stores {self.used} bytes and must not exceed {self.limit}: no space "
                f"for {size} more. Receive messages, or raise max_stored_bytes.",
            )

    def force(self, size: int) -> None:
        """Adds `size` bytes even if that exceeds the limit."""
        self.used += size

    def release(self, size: int) -> None:
        """Subtracts `size` bytes."""
        self.used -= size


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Clock, memory quota, statistics and the message size limit."""

    timers: Timers
    memory: MemoryQuota
    statistics: Statistics
    max_message_bytes: int
