"""
DPS operations per device at the limit of the quota, and messages lost: python bench/operations.py.

The peer is the common practice: a queue trigger that makes one call of Microsoft's client for each
message, with that client's own retries. Both run on the local host, one after the other, against the
same stand-in: 1,000 operations a minute in an empty token bucket, 100 ms a call, 400 ms a bulk call.
Both always have more messages than the quota lets through.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from deployment import PEER, PEER_QUEUE, PER_MINUTE, QUEUE, Deployment, Stats, deploy
from harness import ROOT, is_quick
from saturation import exhaust_quota
from table import Figures, Row, Rows, print_table

GOAL = 0.11
NOTE = "peer: one call of Microsoft's client for each message; both at the limit of one quota"
_WARM_UP, _SECONDS = (2, 5) if is_quick() else (45, 60)
_SPANS = 3
_MESSAGES = {QUEUE: 3_000, PEER_QUEUE: 1_000} if is_quick() else {QUEUE: 20_000, PEER_QUEUE: 5_000}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The stand-in's counts in each span of time, and the messages dead-lettered in all of them."""

    spans: list[Stats]
    dead_lettered: int


def rows() -> Rows:
    """Returns rows for operations and devices at the limit of the quota, 429s and lost messages."""
    with deploy() as deployment:
        # Otherwise a short run would measure only how the rate rises.
        quick = {"DPS_PACING_START": str(PER_MINUTE)} if is_quick() else {}
        ours = _measure(deployment, QUEUE, quick)
        theirs = _measure(deployment, PEER_QUEUE, {})
    return [*_ratios(ours, theirs), *_figures(ours, theirs)]


def _ratios(ours: Measurement, theirs: Measurement) -> Iterator[Row]:
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
        ours=[_per_minute(span.devices) for span in ours.spans],
        theirs=[_per_minute(span.devices) for span in theirs.spans],
    )


def _figures(ours: Measurement, theirs: Measurement) -> Iterator[Figures]:
    yield Figures(
        name="429s at the limit of the quota",
        unit="% of calls",
        ours=_percent_refused(ours),
        theirs=_percent_refused(theirs),
    )
    yield Figures(
        name="messages dead-lettered at the limit of the quota",
        unit="messages",
        ours=ours.dead_lettered,
        theirs=theirs.dead_lettered,
    )


def _per_minute(devices: int) -> float:
    return devices * 60 * _SPANS / _SECONDS


def _percent_refused(measurement: Measurement) -> float:
    calls = sum(span.calls for span in measurement.spans)
    return 100 * sum(span.refused for span in measurement.spans) / calls


def _measure(deployment: Deployment, queue: str, settings: dict[str, str]) -> Measurement:
    dps, broker = deployment.dps, deployment.broker
    dps.reset()
    dps.configure("throttle", {"operationsPerMinute": PER_MINUTE, "algorithm": "tokenBucket"})
    deployment.send_requests(_MESSAGES[queue], queue=queue)
    before = broker.read_state()["dead_lettered"]
    app = ROOT if queue == QUEUE else PEER
    with deployment.run_app(settings, app=app):
        exhaust_quota(dps)
        spans = _measure_spans(deployment)
        return Measurement(spans=spans, dead_lettered=broker.read_state()["dead_lettered"] - before)


def _measure_spans(deployment: Deployment) -> list[Stats]:
    time.sleep(_WARM_UP)
    marks = [deployment.dps.stats()]
    for _ in range(_SPANS):
        time.sleep(_SECONDS / _SPANS)
        marks.append(deployment.dps.stats())
    return [after - before for before, after in pairwise(marks)]


if __name__ == "__main__":
    sys.exit(print_table(rows(), NOTE))
