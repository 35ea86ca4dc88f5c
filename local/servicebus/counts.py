"""What a broker has done, in numbers."""

from dataclasses import dataclass, fields


@dataclass(kw_only=True)
class Statistics:
    """Counts since the broker was made or reset; connections and bytes as they are now."""

    connections: int = 0
    connections_opened: int = 0
    connections_refused: int = 0
    stored_bytes: int = 0

    received: int = 0  # messages that senders have sent and the broker has taken
    duplicates: int = 0  # among them, dropped
    refused: int = 0  # deliveries that were not taken
    delivered: int = 0  # messages handed to receivers, repeats counted
    completed: int = 0
    abandoned: int = 0
    released: int = 0
    deferred: int = 0
    dead_lettered: int = 0
    expired: int = 0  # messages that outlived their time to live
    locks_lost: int = 0  # locks that ended before their messages were settled
    settlements_refused: int = 0
    malformed: int = 0  # connections ended because of what came over them
    faults: int = 0  # that were ordered and have struck

    def forget(self) -> None:
        """Starts counting anew."""
        for field in fields(self):
            setattr(self, field.name, 0)


@dataclass(frozen=True, kw_only=True)
class QueueCounts:
    """How many messages of a queue are in which state."""

    active: int = 0
    scheduled: int = 0
    deferred: int = 0
    locked: int = 0
    dead_lettered: int = 0
