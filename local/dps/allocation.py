"""The allocation policies that DPS has built in, and what any policy decides."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from local.dps.attested import Entry
from local.dps.options import Options

DEFAULT: Final = "hashed"  # D
CUSTOM: Final = "custom"


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """The hub for a device, and what a webhook sends along."""

    hub: str
    initial_twin: Mapping[str, Any] | None = None
    payload: Any = None


class NotAllocated(Exception):  # noqa: N818 - how a registration ends, not an error of ours
    """There is no hub for a device; the code and words are for the device to read."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def hubs_for(entry: Entry, linked: Sequence[str]) -> Sequence[str]:
    """D: the entry's own hubs; without any, all that are linked."""
    legacy = entry.member("iotHubHostName")  # M: what iotHubs was when it was one
    return entry.member("iotHubs") or ([legacy] if legacy else linked)


def _hashed(registration_id: str, hubs: Sequence[str], _: Options) -> str:
    """D: an even share for each hub. ?: the hash; ours moves few devices when hubs change."""

    def weight(hub: str) -> bytes:
        return hashlib.sha256(f"{hub.lower()}\n{registration_id.lower()}".encode()).digest()

    return max(hubs, key=weight)


def _static(_: str, hubs: Sequence[str], __: Options) -> str:
    """D: the one hub of the entry; ?: the first where there are several (R: it may have none)."""
    return hubs[0]


def _geo_latency(registration_id: str, hubs: Sequence[str], options: Options) -> str:
    """D: the hub that answers the device soonest, by hash among equals; `options` know how soon."""
    known = {hub.lower(): took for hub, took in options.hub_latencies.items()}
    latencies = [known.get(hub.lower(), math.inf) for hub in hubs]
    soonest = [h for h, took in zip(hubs, latencies, strict=True) if took == min(latencies)]
    return _hashed(registration_id, soonest, options)


BUILT_IN: Final[Mapping[str, Callable[[str, Sequence[str], Options], str]]] = {
    "hashed": _hashed,
    "static": _static,
    "geoLatency": _geo_latency,
}
