"""The combinations of target and client that a claim runs against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Place:
    """A target, and the client that drives it there; both are named as their fixtures are."""

    target: str
    driver: str

    @property
    def is_live(self) -> bool:
        """Whether what a test leaves behind stays and costs."""
        return self.target == "live"


CLIENTS = ("httpx", "sdk-sync", "sdk-aio")
# The app's own client speaks to DPS, not to the app.
LOCAL = [
    *(Place("stand_in", driver) for driver in (*CLIENTS, "app-client")),
    *(Place("app", driver) for driver in CLIENTS),
]
LIVE = [Place("live", driver) for driver in (*CLIENTS, "app-client")]


def _parameters(places: Sequence[Place]) -> list[Any]:
    return [
        pytest.param(
            place,
            id=f"{place.target.replace('_', '-')}-{place.driver}",
            marks=[pytest.mark.live] if place.is_live else [],
        )
        for place in places
    ]


EVERYWHERE = _parameters(LOCAL + LIVE)

on_this_machine = pytest.mark.parametrize("place", _parameters(LOCAL), indirect=True)
"""Confines claims that order something from the stand-in, count all there is, or have no evidence
that DPS does the same."""

over_http = pytest.mark.parametrize(
    "place",
    _parameters([place for place in LOCAL + LIVE if place.driver == "httpx"]),
    indirect=True,
)
"""Confines claims that clients hide: headers, media types and paths."""
