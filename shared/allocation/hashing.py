"""
Weighted rendezvous hashing: each hub bids for a device, and the highest bid wins.

A bid depends on the device, the hub and its weight alone. So nothing needs to be remembered: the
same device always gets the same hub, a hub that is added takes its share from all others and moves
nobody else, and one that goes gives away its own devices only. Hub *i* of weights *w* wins with the
probability w_i / Σw (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", SPAA 2005).
"""

import math
from collections.abc import Mapping
from hashlib import sha256

_BITS = 52  # with the half that keeps it off 0 and 1, what a double holds exactly


def choose(device: str, weights: Mapping[str, float]) -> str | None:
    """The hub of a device; `None` if none has a weight above 0. Names are taken without case."""
    device = device.lower()
    bids = ((_bid(device, hub.lower(), weight), hub) for hub, weight in weights.items() if weight)
    return max(bids, default=(0.0, None))[1]


def percentile(device: str) -> float:
    """A number of at least 0 and less than 100, evenly spread, always the same for a device."""
    return _uniform(device.lower(), "") * 100


def _bid(device: str, hub: str, weight: float) -> float:
    return weight / -math.log(_uniform(device, hub))


def _uniform(device: str, hub: str) -> float:
    """Between 0 and 1, and neither of them."""
    # Neither an id of DPS's nor the name of a host has a line break.
    digest = sha256(f"{device}\n{hub}".encode()).digest()
    return ((int.from_bytes(digest[:8], "big") >> (64 - _BITS)) + 0.5) * 2.0**-_BITS
