"""
Devices per minute through queue and functions, against DPS's quota: python bench/throughput.py.

The stand-in's quota is 1,000 operations a minute, in each of the ways in which DPS may count. The
stand-in takes 100 ms for a call and 400 ms for a bulk call, the broker 10 ms for each answer. The peer
is what the same quota admits to a client that always sends more than it allows. Processes start with
the app's default settings and have a rate limiter each; measuring starts when rates are stable.

With QUICK one process starts at the full rate, and a window lasts six seconds.
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

from deployment import PER_MINUTE, RECEIVERS, Deployment, StandIn, Stats, deploy
from harness import child, is_quick, sleep_until
from saturation import ITEMS, count_admitted, exhaust_quota
from table import NotMeasured, Row, Rows, print_table

MINUTE = 60
NOTE = "peer: what the stand-in admits at saturation, ten devices a call; 429s: of all calls"
_MOST_DEVICES = PER_MINUTE * ITEMS
_SENT_FIRST = 2_000
_EXHAUST_SECONDS_BEFORE = 60
_GOALS = {1: (0.95, 0.02), 4: (0.90, 0.05)}


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds of a window, the number of windows, and seconds of warm-up by number of processes."""

    window: int
    windows: int
    warm_up: Mapping[int, int]


LONG = Times(window=60, windows=3, warm_up={1: 55, 4: 130})
SHORT = Times(window=6, windows=2, warm_up={1: 3})


@dataclass(frozen=True, kw_only=True)
class Case:
    """The number of processes, and how DPS counts."""

    processes: int
    algorithm: str
    count: str

    def __str__(self) -> str:
        noun = "process" if self.processes == 1 else "processes"
        return f"{self.processes} {noun}, {self.algorithm}, {self.count} counted"

    def quota(self, window: int) -> Mapping[str, Any]:
        """Returns the quota as the stand-in is configured with it."""
        return {
            "operationsPerMinute": PER_MINUTE,
            "algorithm": self.algorithm,
            "count": self.count,
            "windowSeconds": window,
        }

    @property
    def receivers(self) -> int:
        """The fewest that receive messages as fast as the quota allows: each costs CPU time."""
        return 1 if self.count == "items" else max(2, RECEIVERS // self.processes)

    @property
    def most_devices_per_minute(self) -> int:
        """The devices that the quota allows."""
        return _MOST_DEVICES if self.count == "calls" else PER_MINUTE


def rows() -> Rows:
    """Returns two rows for each case: one process and four, with each way to count."""
    times = SHORT if is_quick() else LONG
    cases = [
        Case(processes=processes, algorithm=algorithm, count=count)
        for processes in times.warm_up
        for algorithm in ("tokenBucket", "fixedWindow")
        for count in ("calls", "items")
    ]
    if is_quick():
        cases = [Case(processes=1, algorithm="fixedWindow", count="calls")]
    ceilings = _measure_ceilings(cases, times)
    windows = _measure_all(cases, times)
    measured = [row for case in cases for row in _rows(case, windows[case], ceilings[case])]
    return [*measured, *_rows_left_out()] if is_quick() else measured


def _rows_left_out() -> Rows:
    why = "takes minutes to find its share: simulated below, measured without QUICK"
    return [NotMeasured(name="devices, 4 processes", goal=">= 0.9", why=why)]


def _rows(case: Case, windows: Sequence[Stats], ceiling: Sequence[float]) -> list[Row]:
    least, most = _GOALS[case.processes]
    # Our windows vary and the ceiling does not, so all are compared to the same mean.
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
        unit="share of calls",
        ours=[window.refused for window in windows],
        theirs=[window.calls for window in windows],
        at_most=most,
    )
    return [devices, refused]


# The peer: what the quota admits


def _measure_ceilings(cases: Sequence[Case], times: Times) -> Mapping[Case, Sequence[float]]:
    """Returns devices per minute by case; the number of processes makes no difference."""
    quotas = {(case.algorithm, case.count): case for case in cases}
    with ThreadPoolExecutor(len(quotas)) as threads:
        measured = threads.map(partial(_measure_ceiling, times=times), quotas.values())
        by_quota = dict(zip(quotas, measured, strict=True))
    return {case: by_quota[case.algorithm, case.count] for case in cases}


def _measure_ceiling(case: Case, times: Times) -> Sequence[float]:
    with child("dps", {"single_ms": 0, "bulk_ms": 0}) as process:
        dps = StandIn(process)
        dps.configure("throttle", case.quota(times.window))
        sleep_until(_next_window(times))
        _exhaust_bucket(dps, case)
        calls = count_admitted(dps, until=time.time() + times.window)
    return [calls * ITEMS * MINUTE / times.window]


def _next_window(times: Times) -> float:
    return (time.time() // times.window + 1) * times.window


# Ours


def _measure_all(cases: Sequence[Case], times: Times) -> Mapping[Case, Sequence[Stats]]:
    """Returns the stand-in's counts in each window; only cases of little load run in parallel."""
    light = [case for case in cases if case.count == "items"]
    heavy = [[case] for case in cases if case not in light]
    windows: dict[Case, Sequence[Stats]] = {}
    for group in (light, *heavy):
        with ThreadPoolExecutor(max(1, len(group))) as threads:
            measured = threads.map(partial(_measure, times=times), group)
            windows |= dict(zip(group, measured, strict=True))
    return windows


def _measure(case: Case, times: Times) -> Sequence[Stats]:
    warm_up = times.warm_up[case.processes]
    with deploy() as deployment:
        deployment.dps.configure("throttle", case.quota(times.window))
        _exhaust_bucket(deployment.dps, case)
        deployment.send_requests(_SENT_FIRST)
        settings = {"DPS_PACING_START": str(PER_MINUTE)} if times is SHORT else {}
        for _ in range(case.processes):
            deployment.start_app(settings, receivers=case.receivers)
        begin = time.time() + warm_up
        seconds = warm_up + times.window * (times.windows + 1)
        deployment.send_requests(round(case.most_devices_per_minute * seconds / MINUTE))
        if case.processes > 1:
            sleep_until(begin - _EXHAUST_SECONDS_BEFORE)
            _exhaust_bucket(deployment.dps, case)
        sleep_until(begin)
        return _measure_windows(deployment, times)


def _exhaust_bucket(dps: StandIn, case: Case) -> None:
    """Empties a token bucket; a fixed window has no unused quota to use up."""
    if case.algorithm == "tokenBucket":
        exhaust_quota(dps)


def _measure_windows(deployment: Deployment, times: Times) -> Sequence[Stats]:
    begin = _next_window(times)
    marks = []
    for number in range(times.windows + 1):
        sleep_until(begin + number * times.window)
        marks.append(deployment.dps.stats())
    return [after - before for before, after in pairwise(marks)]


if __name__ == "__main__":
    sys.exit(print_table(rows(), NOTE))
