"""
Devices a minute through queue and functions, against what DPS's quota admits: bench/throughput.py.

The stand-in's quota is 1,000 operations a minute, in each of the ways DPS may count it. It takes
100 ms for a call and 400 ms for a bulk call, the broker 10 ms for everything it says. The ceiling is
what the same quota admits to somebody who always asks for more. Processes begin with the app's own
settings and know nothing of each other; what happens after they have found their share counts.

With QUICK one process begins at its quota, and a window lasts six seconds.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import mean
from typing import Any

from processes import child, sleep_until
from quick import is_quick
from ratio import NotMeasured, Row, Rows, shown
from saturation import ITEMS, admitted, spend
from scene import PER_MINUTE, RECEIVERS, Scene, StandIn, Stats, scene

MINUTE = 60
NOTE = "peer: what the stand-in admits at saturation, ten devices a call; 429s: of all calls"
_MOST_DEVICES = PER_MINUTE * ITEMS
_FED_FIRST = 2_000
_SPENT_BEFORE = 60
_GOALS = {1: (0.95, 0.02), 4: (0.90, 0.05)}


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds: of one window, and until processes have found their share."""

    window: int
    windows: int
    warm_up: Mapping[int, int]


LONG = Times(window=60, windows=3, warm_up={1: 55, 4: 130})
SHORT = Times(window=6, windows=2, warm_up={1: 3})


@dataclass(frozen=True, kw_only=True)
class Case:
    """So many processes on one quota."""

    processes: int
    algorithm: str
    count: str

    def __str__(self) -> str:
        noun = "process" if self.processes == 1 else "processes"
        return f"{self.processes} {noun}, {self.algorithm}, {self.count} counted"

    def quota(self, window: int) -> Mapping[str, Any]:
        """As the stand-in is told."""
        return {
            "operationsPerMinute": PER_MINUTE,
            "algorithm": self.algorithm,
            "count": self.count,
            "windowSeconds": window,
        }

    @property
    def receivers(self) -> int:
        """As many as get it its messages in time: each costs the machine something."""
        return 1 if self.count == "items" else max(2, RECEIVERS // self.processes)

    @property
    def devices_a_minute(self) -> float:
        """What could come of the quota."""
        return _MOST_DEVICES if self.count == "calls" else PER_MINUTE


def rows() -> Rows:
    """One process alone, and four, with each way to count."""
    times = SHORT if is_quick() else LONG
    cases = [
        Case(processes=processes, algorithm=algorithm, count=count)
        for processes in times.warm_up
        for algorithm in ("tokenBucket", "fixedWindow")
        for count in ("calls", "items")
    ]
    if is_quick():
        cases = [Case(processes=1, algorithm="fixedWindow", count="calls")]
    ceilings = _ceilings(cases, times)
    found = _measured(cases, times)
    told = [row for case in cases for row in _rows(case, found[case], ceilings[case])]
    return [*told, *_skipped()] if is_quick() else told


def _skipped() -> Rows:
    why = "takes minutes to find its share: simulated below, measured without QUICK"
    return [NotMeasured(name="devices a minute, 4 processes", goal=">= 0.9", why=why)]


def _rows(case: Case, windows: Sequence[Stats], ceiling: Sequence[float]) -> list[Row]:
    least, most = _GOALS[case.processes]
    # The windows differ, what the quota admits does not: its own windows pair with none of these.
    peer = [mean(ceiling)] * len(windows)
    seconds = (SHORT if is_quick() else LONG).window
    devices = Row(
        name=f"devices, {case}",
        unit="1/min",
        ours=[window.devices * MINUTE / seconds for window in windows],
        theirs=peer,
        at_least=least,
    )
    refused = Row(
        name=f"429s, {case}",
        unit="of calls",
        ours=[window.refused for window in windows],
        theirs=[window.calls for window in windows],
        at_most=most,
    )
    return [devices, refused]


# The ceiling


def _ceilings(cases: Sequence[Case], times: Times) -> Mapping[Case, Sequence[float]]:
    """Devices a minute by case; processes make no difference to it."""
    quotas = {(case.algorithm, case.count): case for case in cases}
    with ThreadPoolExecutor(len(quotas)) as threads:
        found = threads.map(partial(_ceiling, times=times), quotas.values())
        by_quota = dict(zip(quotas, found, strict=True))
    return {case: by_quota[case.algorithm, case.count] for case in cases}


def _ceiling(case: Case, times: Times) -> Sequence[float]:
    with child("dps", {"single_ms": 0, "bulk_ms": 0}) as running:
        dps = StandIn(running)
        dps.order("throttle", case.quota(times.window))
        sleep_until(_next_window(times))
        _spend(dps, case)
        calls = admitted(dps, until=time.time() + times.window)
    return [calls * ITEMS * MINUTE / times.window]


def _next_window(times: Times) -> float:
    return (time.time() // times.window + 1) * times.window


# What comes of it


def _measured(cases: Sequence[Case], times: Times) -> Mapping[Case, Sequence[Stats]]:
    """The stand-in's counts of each window; only what is little work runs side by side."""
    light = [case for case in cases if case.count == "items"]
    heavy = [[case] for case in cases if case not in light]
    found: dict[Case, Sequence[Stats]] = {}
    for batch in (light, *heavy):
        with ThreadPoolExecutor(max(1, len(batch))) as threads:
            runs = threads.map(partial(_run, times=times), batch)
            found |= dict(zip(batch, runs, strict=True))
    return found


def _run(case: Case, times: Times) -> Sequence[Stats]:
    with scene() as its:
        its.dps.order("throttle", case.quota(times.window))
        _spend(its.dps, case)
        its.feed(_FED_FIRST)
        start = {"DPS_PACING_START": str(PER_MINUTE)} if times is SHORT else {}
        hosts = [its.host(start, receivers=case.receivers) for _ in range(case.processes)]
        until = time.time() + times.warm_up[case.processes]
        seconds = times.warm_up[case.processes] + times.window * (times.windows + 1)
        its.feed(round(case.devices_a_minute * seconds / MINUTE))
        if len(hosts) > 1:
            sleep_until(until - _SPENT_BEFORE)
            _spend(its.dps, case)
        sleep_until(until)
        return _windows(its, times)


def _spend(dps: StandIn, case: Case) -> None:
    """Leaves nothing saved; a window saves nothing."""
    if case.algorithm == "tokenBucket":
        spend(dps)


def _windows(its: Scene, times: Times) -> Sequence[Stats]:
    begin = _next_window(times)
    marks = []
    for number in range(times.windows + 1):
        sleep_until(begin + number * times.window)
        marks.append(its.dps.stats())
    return [after - before for before, after in pairwise(marks)]


if __name__ == "__main__":
    sys.exit(shown(rows(), NOTE))
