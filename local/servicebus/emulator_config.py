"""The queues that the Config.json of Microsoft's Service Bus emulator names.

learn.microsoft.com: "Test locally by using the Azure Service Bus emulator".
"""

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from local.servicebus.options import QueueOptions, check_name

_LOG = logging.getLogger(__name__)
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.ASCII)
_SECONDS = (86400, 3600, 60, 1)
_FOREVER = 10_000 * 86400  # the service's longest time to live, 10675199 days, is none at all
# A property that asks for something that the broker does not do.
_NOT_DONE = ("ForwardTo", "ForwardDeadLetteredMessagesTo")


def read(text: str) -> dict[str, QueueOptions]:
    """The queues by name; ValueError says what is wrong, topics are left out with a warning."""
    document = json.loads(text)
    namespaces = _member(_member(document, "UserConfig", dict), "Namespaces", list)
    queues: dict[str, QueueOptions] = {}
    for namespace in namespaces:
        for topic in _member(namespace, "Topics", list, default=[]):
            _LOG.warning("topic %s is left out: there are only queues", topic.get("Name"))
        for queue in _member(namespace, "Queues", list, default=[]):
            name = _member(queue, "Name", str)
            check_name(name)
            queues[name] = _options(name, _member(queue, "Properties", dict, default={}))
    return queues


def _options(name: str, properties: Mapping[str, Any]) -> QueueOptions:
    for unknown in filter(properties.get, _NOT_DONE):
        _LOG.warning("queue %s: %s is left out", name, unknown)
    time_to_live = _seconds(properties, "DefaultMessageTimeToLive", "P10675199D")
    window = _seconds(properties, "DuplicateDetectionHistoryTimeWindow", "PT10M")
    detects = _member(properties, "RequiresDuplicateDetection", bool, default=False)
    return QueueOptions(
        lock_duration=_seconds(properties, "LockDuration", "PT1M"),
        max_delivery_count=_member(properties, "MaxDeliveryCount", int, default=10),
        time_to_live=time_to_live if time_to_live < _FOREVER else None,
        dead_letter_on_expiration=_member(
            properties, "DeadLetteringOnMessageExpiration", bool, default=False
        ),
        requires_session=_member(properties, "RequiresSession", bool, default=False),
        duplicate_detection=window if detects else 0,
    )


def _member(owner: Any, name: str, kind: type, default: Any = None) -> Any:
    value = owner.get(name, default) if isinstance(owner, dict) else None
    if isinstance(value, kind):
        return value
    raise ValueError(f"{name} must be of type {kind.__name__}, not {value!r}")


def _seconds(properties: Mapping[str, Any], name: str, default: str) -> float:
    text = _member(properties, name, str, default)
    found = _DURATION.fullmatch(text)
    parts = found.groups() if found else ()
    if not any(parts):
        raise ValueError(f"{name} must be an ISO 8601 duration such as PT1M, not {text!r}")
    return sum(float(part or 0) * unit for part, unit in zip(parts, _SECONDS, strict=True))
