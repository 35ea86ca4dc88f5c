"""What the queues of a broker share."""

from dataclasses import dataclass

from local.servicebus.counts import Statistics
from local.servicebus.memory import Memory
from local.servicebus.timers import Timers


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Time, room and the record of what has happened."""

    timers: Timers
    memory: Memory
    statistics: Statistics
    max_message_bytes: int
