"""What a broker can be told when it is made."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

KEY_NAME, KEY = "RootManageSharedAccessKey", "SAS_KEY_VALUE"
DEAD_LETTER_QUEUE = "$DeadLetterQueue"
_NAME = re.compile(r"[A-Za-z0-9]([\w./-]{0,258}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """The properties of a queue, with Service Bus's own defaults; times are in seconds."""

    lock_duration: float = 60
    max_delivery_count: int = 10
    time_to_live: float | None = None
    dead_letter_on_expiration: bool = False
    requires_session: bool = False
    duplicate_detection: float = 0  # how long a message id is remembered; 0: no duplicate is seen

    def __post_init__(self) -> None:
        if self.lock_duration <= 0:
            raise ValueError("a lock must last longer than 0 seconds")
        if self.max_delivery_count < 1:
            raise ValueError("a message must be delivered once at least")
        if self.time_to_live is not None and self.time_to_live <= 0:
            raise ValueError("a message must live longer than 0 seconds")
        if self.duplicate_detection < 0:
            raise ValueError("duplicates cannot be detected for less than 0 seconds")


@dataclass(frozen=True, kw_only=True)
class BrokerOptions:
    """A port of 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 5672
    queues: Mapping[str, QueueOptions] = field(default_factory=dict)
    auto_create: bool = True  # a queue that is not known is made when it is first named
    auto_created: QueueOptions = field(default_factory=QueueOptions)  # what it is like then

    # Name to key of those who may connect; without any, every token is let in.
    keys: Mapping[str, str] = field(default_factory=dict)

    max_message_bytes: int = 256 * 1024  # of the Standard tier
    max_stored_bytes: int = 256 * 1024 * 1024  # of all queues together
    max_queues: int = 10_000  # of a namespace in Azure
    max_connections: int = 1000  # of the Basic and Standard tiers, in one namespace

    idle_time_out: float = 240  # seconds; the service announces the same
    latency: float = 0  # seconds that everything the broker says takes to get out
    clock: Callable[[], float] = time.time  # seconds since 1970

    def __post_init__(self) -> None:
        for name in self.queues:
            check_name(name)


def check_name(name: str) -> None:
    """ValueError if no queue can be called so."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of a queue: letters, digits, '.', '-', '_' and '/', "
            "260 at most, with a letter or a digit at either end"
        )
