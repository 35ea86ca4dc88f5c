"""
Options of a broker and its queues, also read from the Config.json of Microsoft's emulator.

The file's format: learn.microsoft.com, "Test locally by using the Azure Service Bus emulator".
"""

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

# The key in the connection string of Microsoft's emulator.
KEY_NAME, KEY = "RootManageSharedAccessKey", "SAS_KEY_VALUE"
DEAD_LETTER_QUEUE = "$DeadLetterQueue"

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9]([\w./-]{0,258}[A-Za-z0-9])?", re.ASCII)

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.ASCII)
_SECONDS = (86400, 3600, 60, 1)
# Service Bus's maximum, 10675199 days, means no time to live.
_MAX_TIME_TO_LIVE = 10_000 * 86400
_UNSUPPORTED = ("ForwardTo", "ForwardDeadLetteredMessagesTo")


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """Properties of a queue, with Service Bus's defaults. Times are in seconds."""

    lock_duration: float = 60
    max_delivery_count: int = 10
    time_to_live: float | None = None
    dead_letter_on_expiration: bool = False
    requires_session: bool = False
    duplicate_detection: float = 0  # the detection window; 0 turns it off

    def __post_init__(self) -> None:
        if self.lock_duration <= 0:
            raise ValueError("lock_duration must be greater than 0 seconds")
        if self.max_delivery_count < 1:
            raise ValueError("max_delivery_count must be at least 1")
        if self.time_to_live is not None and self.time_to_live <= 0:
            raise ValueError("time_to_live must be greater than 0 seconds")
        if self.duplicate_detection < 0:
            raise ValueError("duplicate_detection must be 0 seconds or more")


@dataclass(frozen=True, kw_only=True)
class BrokerOptions:
    """Options of a broker. Port 0 means any free port."""

    host: str = "127.0.0.1"
    port: int = 5672
    queues: Mapping[str, QueueOptions] = field(default_factory=dict)
    auto_create: bool = True  # create a queue when a client first uses it
    auto_created: QueueOptions = field(default_factory=QueueOptions)  # options of such a queue

    # Shared access keys by policy name. Without any, every token is accepted.
    keys: Mapping[str, str] = field(default_factory=dict)

    max_message_bytes: int = 256 * 1024  # the limit of the Standard tier
    max_stored_bytes: int = 256 * 1024 * 1024  # of all queues together
    max_queues: int = 10_000  # the limit of a namespace in Azure
    max_connections: int = 1000  # the limit of the Basic and Standard tiers for a namespace

    idle_time_out: float = 240  # seconds, as the service announces
    latency: float = 0  # seconds that everything the broker sends is delayed
    clock: Callable[[], float] = time.time  # seconds since 1970

    def __post_init__(self) -> None:
        for name in self.queues:
            check_queue_name(name)


def check_queue_name(name: str) -> None:
    """Raises ValueError if `name` is not a valid queue name."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a valid queue name: it must have 1 to 260 letters, digits, '.', "
            "'-', '_' or '/', and start and end with a letter or digit"
        )


# The emulator's Config.json


def read_emulator_config(text: str) -> dict[str, QueueOptions]:
    """
    Returns the queues in a Config.json by name; raises ValueError if it is invalid.

    Topics and unsupported properties are skipped with a warning.
    """
    document = json.loads(text)
    namespaces = _member(_member(document, "UserConfig", dict), "Namespaces", list)
    queues: dict[str, QueueOptions] = {}
    for namespace in namespaces:
        for topic in _member(namespace, "Topics", list, default=[]):
            _LOG.warning("topic %s is skipped: topics are not supported", topic.get("Name"))
        for queue in _member(namespace, "Queues", list, default=[]):
            name = _member(queue, "Name", str)
            check_queue_name(name)
            queues[name] = _queue_options(name, _member(queue, "Properties", dict, default={}))
    return queues


def _queue_options(name: str, properties: Mapping[str, Any]) -> QueueOptions:
    for unsupported in filter(properties.get, _UNSUPPORTED):
        _LOG.warning("queue %s: %s is ignored: it is not supported", name, unsupported)
    time_to_live = _seconds(properties, "DefaultMessageTimeToLive", "P10675199D")
    window = _seconds(properties, "DuplicateDetectionHistoryTimeWindow", "PT10M")
    detects_duplicates = _member(properties, "RequiresDuplicateDetection", bool, default=False)
    return QueueOptions(
        lock_duration=_seconds(properties, "LockDuration", "PT1M"),
        max_delivery_count=_member(properties, "MaxDeliveryCount", int, default=10),
        time_to_live=time_to_live if time_to_live < _MAX_TIME_TO_LIVE else None,
        dead_letter_on_expiration=_member(
            properties, "DeadLetteringOnMessageExpiration", bool, default=False
        ),
        requires_session=_member(properties, "RequiresSession", bool, default=False),
        duplicate_detection=window if detects_duplicates else 0,
    )


def _member(owner: Any, name: str, kind: type, default: Any = None) -> Any:
    value = owner.get(name, default) if isinstance(owner, dict) else None
    if isinstance(value, kind):
        return value
    raise ValueError(f"{name} must be of type {kind.__name__}")


def _seconds(properties: Mapping[str, Any], name: str, default: str) -> float:
    match = _DURATION.fullmatch(_member(properties, name, str, default))
    parts = match.groups() if match else ()
    if not any(parts):
        raise ValueError(f"{name} must be an ISO 8601 duration such as PT1M")
    return sum(float(part or 0) * unit for part, unit in zip(parts, _SECONDS, strict=True))
