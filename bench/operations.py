"""
What a device costs of DPS's quota, and what is lost at its limit: python bench/operations.py.

Against the common practice: a queue trigger that makes one call of Microsoft's client for each
message, with that client's own retries. Both run on the local host, one after the other, against the
same stand-in: 1,000 operations a minute in a token bucket that is empty, 100 ms a call, 400 ms a bulk
call. Each has more to do than the quota lets through.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from processes import ROOT
from quick import is_quick
from ratio import Figures, Row, Rows, shown
from saturation import spend
from scene import PEER, PEER_QUEUE, PER_MINUTE, QUEUE, Scene, Stats, scene

GOAL = 0.11
NOTE = "peer: one call of Microsoft's client for each message; both at the limit of one quota"
_WARM_UP, _SECONDS = (2, 5) if is_quick() else (45, 60)
_SPANS = 3
_MESSAGES = {QUEUE: 3_000, PEER_QUEUE: 1_000} if is_quick() else {QUEUE: 20_000, PEER_QUEUE: 5_000}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What DPS was asked in each span of time, and how many messages were dead-lettered."""

    spans: list[Stats]
    dead_lettered: int


def rows() -> Rows:
    """Operations a device, and what else became of the quota."""
    with scene() as its:
        # Without it a short run would see nothing but the start.
        ours = _found(its, QUEUE, {"DPS_PACING_START": str(PER_MINUTE)} if is_quick() else {})
        theirs = _found(its, PEER_QUEUE, {})
    return [*_ratios(ours, theirs), *_figures(ours, theirs)]


def _ratios(ours: Found, theirs: Found) -> Iterator[Row]:
    yield Row(
        name="DPS operations per device enrolled",
        unit="calls",
        ours=[span.calls / span.devices for span in ours.spans],
        theirs=[span.calls / span.devices for span in theirs.spans],
        at_most=GOAL,
    )
    yield Row(
        name="devices enrolled at the limit of the quota",
        unit="1/min",
        ours=[_a_minute(span.devices) for span in ours.spans],
        theirs=[_a_minute(span.devices) for span in theirs.spans],
    )


def _figures(ours: Found, theirs: Found) -> Iterator[Figures]:
    yield Figures(
        name="429s at the limit of the quota",
        unit="% of calls",
        ours=_refused(ours),
        theirs=_refused(theirs),
    )
    yield Figures(
        name="messages lost to the dead-letter queue meanwhile",
        unit="messages",
        ours=ours.dead_lettered,
        theirs=theirs.dead_lettered,
    )


def _a_minute(devices: int) -> float:
    return devices * 60 * _SPANS / _SECONDS


def _refused(found: Found) -> float:
    calls = sum(span.calls for span in found.spans)
    return 100 * sum(span.refused for span in found.spans) / calls


def _found(its: Scene, queue: str, settings: dict[str, str]) -> Found:
    its.dps.reset()
    its.dps.order("throttle", {"operationsPerMinute": PER_MINUTE, "algorithm": "tokenBucket"})
    its.feed(_MESSAGES[queue], queue=queue)
    before = its.broker.look()["dead_lettered"]
    app = ROOT if queue == QUEUE else PEER
    with its.running(settings, app=app):
        spend(its.dps)
        spans = _spans(its)
        return Found(spans=spans, dead_lettered=its.broker.look()["dead_lettered"] - before)


def _spans(its: Scene) -> list[Stats]:
    time.sleep(_WARM_UP)
    marks = [its.dps.stats()]
    for _ in range(_SPANS):
        time.sleep(_SECONDS / _SPANS)
        marks.append(its.dps.stats())
    return [after - before for before, after in pairwise(marks)]


if __name__ == "__main__":
    sys.exit(shown(rows(), NOTE))
