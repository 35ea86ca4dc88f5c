"""
Weighted rendezvous hashing: each hub gets a score for the device, and the highest score wins.

A score depends only on the device, the hub and the hub's weight, so no state is stored. The same
device always gets the same hub; a new hub takes its share from all others and moves no other
device; a removed hub gives away only its own devices. Hub *i* of weights *w* wins with probability
w_i / Σw (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", SPAA 2005).
"""

import math
from collections.abc import Mapping
from hashlib import sha256

_BITS = 52  # plus the half added in `_uniform`, this is what a double holds exactly


def choose_hub(device: str, weights: Mapping[str, float]) -> str | None:
    """Returns the hub of a device, or None if no weight is above 0. Ignores case in names."""
    device = device.lower()
    scores = (
        (weight / -math.log(_uniform(device, hub.lower())), hub)
        for hub, weight in weights.items()
        if weight
    )
    return max(scores, default=(0.0, None))[1]


def percentile(device: str) -> float:
    """Returns a number in [0, 100), uniform over devices and constant for each of them."""
    return _uniform(device.lower(), "") * 100


def _uniform(device: str, hub: str) -> float:
    """Returns a hash in the open interval (0, 1)."""
    # A line break can separate the two: neither registration ids nor host names contain one.
    digest = sha256(f"{device}\n{hub}".encode()).digest()
    return ((int.from_bytes(digest[:8], "big") >> (64 - _BITS)) + 0.5) * 2.0**-_BITS
