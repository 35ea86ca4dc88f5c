"""
How much of DPS's quota the app's rate limiter uses, simulated: python bench/pacing.py.

The app's own rate limiter and the stand-in's own throttle, on a virtual clock. Every process always
has something to send; a call takes 100 ms, a bulk call of ten items 400 ms. Each line shows the worst
of its runs: the share of the quota that was admitted, the share of the calls that was refused (429),
and the least and the most that one process got, where 1 is an equal share.

It takes less than a minute. The exit code is 1 if a goal is missed. bench/run.py prints the same as
rows of its table; with QUICK only a few of them.
"""

import asyncio
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

from harness import is_quick
from simulation import CONCURRENCY, ITEMS, OPERATIONS_PER_MINUTE, SimulatedDps, create_rate_limiter
from table import Row, Rows

from local.dps.throttle import MINUTE, Quota
from local.virtual_time import VirtualTime
from shared.dps.rate_limiter import RateLimiter

RUNS = 2
MANY = 40  # processes, of which each gets two or three bulk calls a minute
CONCURRENCY_OF_MANY = 4

HEAD = f"{'':70} {'admitted':>8} {'goal':>5} {'429s':>6} {'goal':>5} {'least':>6} {'most':>5}  met"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The least share of the quota that is to be admitted, the largest of calls to be refused."""

    admitted: float
    refused: float


@dataclass(frozen=True, kw_only=True)
class Case:
    """Processes that start within a minute; the minutes from `begin` to `end` count."""

    quota: Quota
    processes: int
    begin: int
    end: int
    goal: Goal | None

    def __str__(self) -> str:
        noun = "process" if self.processes == 1 else "processes"
        part = "" if self.quota.operationsPerMinute == OPERATIONS_PER_MINUTE else ", quota / 3"
        header = "" if self.quota.retryAfter else ", no Retry-After"
        return (
            f"{self.processes} {noun}, {self.quota.algorithm}{part}, {self.quota.count}{header}"
            f", minutes {self.begin}-{self.end}"
        )


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Shares of the quota and of the calls, and the least and the most that one process got."""

    admitted: float
    refused: float
    least: float
    most: float


def rows() -> Rows:
    """Returns two rows for each case: the share of the quota admitted and of calls refused."""
    return [row for case in cases() if not is_quick() or _is_quick(case) for row in _rows(case)]


def _is_quick(case: Case) -> bool:
    is_selected = case.quota.count == "calls" and case.quota.retryAfter and case.begin != 1
    return is_selected and case.processes in (1, MANY)


def _rows(case: Case) -> Iterator[Row]:
    shares = measure_worst(case)
    yield Row(
        name=f"simulated {case}",
        unit="share of quota",
        ours=[shares.admitted],
        theirs=[1.0],
        at_least=case.goal.admitted if case.goal else None,
    )
    yield Row(
        name=f"simulated 429s, {case}",
        unit="share of calls",
        ours=[shares.refused],
        theirs=[1.0],
        at_most=case.goal.refused if case.goal else None,
    )


def cases() -> Iterator[Case]:
    """Yields one, few and many processes for each kind of quota, and a quota below the setting."""
    for processes, begin, end, goal in (
        (1, 3, 8, Goal(admitted=0.95, refused=0.02)),
        (4, 3, 8, Goal(admitted=0.90, refused=0.05)),
        (MANY, 0, 20, Goal(admitted=0.85, refused=0.05)),
    ):
        for quota in quotas(OPERATIONS_PER_MINUTE):
            # With two or three calls a minute a process cannot find its share without refusals.
            has_goal = processes < MANY or quota.count == "calls"
            yield Case(
                quota=quota,
                processes=processes,
                begin=begin,
                end=end,
                goal=goal if has_goal else None,
            )
    for quota in quotas(OPERATIONS_PER_MINUTE / 3):
        if quota.count == "calls":
            goal = Goal(admitted=0.90, refused=0.02)
            yield Case(quota=quota, processes=1, begin=1, end=4, goal=goal)


def quotas(operations: float) -> Iterator[Quota]:
    """Yields a quota of `operations` a minute in each of the ways in which DPS may count."""
    algorithms: tuple[Literal["tokenBucket", "fixedWindow"], ...] = ("tokenBucket", "fixedWindow")
    counts: tuple[Literal["calls", "items"], ...] = ("calls", "items")
    for algorithm, count, has_header in product(algorithms, counts, (True, False)):
        yield Quota(
            operationsPerMinute=operations, algorithm=algorithm, count=count, retryAfter=has_header
        )


def measure_worst(case: Case) -> Shares:
    """Returns the worst of several runs in each respect."""
    runs = []
    for seed in range(RUNS):
        with asyncio.Runner(loop_factory=VirtualTime) as runner:
            runs.append(runner.run(simulate(case, seed)))
    return Shares(
        admitted=min(run.admitted for run in runs),
        refused=max(run.refused for run in runs),
        least=min(run.least for run in runs),
        most=max(run.most for run in runs),
    )


async def simulate(case: Case, seed: int) -> Shares:
    """Runs the case once, its processes starting at a random time of the first minute."""
    chance = random.Random(seed)  # noqa: S311  a simulation
    start = MINUTE if case.begin else chance.uniform(0, MINUTE)
    dps = SimulatedDps(
        case.quota,
        call_seconds=0.4 if case.quota.count == "items" else 0.1,
        count_from=start + case.begin * MINUTE,
    )
    await asyncio.sleep(chance.uniform(0, start) if case.begin else start)
    callers = [
        asyncio.create_task(_call_repeatedly(dps, rate_limiter, process))
        for process in range(case.processes)
        for rate_limiter in [create_rate_limiter(chance.random())]
        for _ in range(CONCURRENCY_OF_MANY if case.processes >= MANY else CONCURRENCY)
    ]
    end = start + case.end * MINUTE
    await asyncio.sleep(end - asyncio.get_running_loop().time())
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    return _shares(case, dps)


async def _call_repeatedly(dps: SimulatedDps, rate_limiter: RateLimiter, process: int) -> None:
    while True:
        await dps.call(rate_limiter, process=process)


def _shares(case: Case, dps: SimulatedDps) -> Shares:
    total = dps.admitted.total()
    cost = ITEMS if case.quota.count == "items" else 1
    possible = case.quota.operationsPerMinute * (case.end - case.begin) / cost
    equal = total / case.processes
    by_process = [dps.admitted[process] for process in range(case.processes)]
    return Shares(
        admitted=total / possible,
        refused=dps.refused / (dps.refused + total),
        least=min(by_process) / equal,
        most=max(by_process) / equal,
    )


def format_line(case: Case, shares: Shares) -> tuple[str, bool]:
    """Returns the case's line of the table, and whether its goal is met."""
    goal = case.goal or Goal(admitted=0, refused=1)
    is_met = shares.admitted >= goal.admitted and shares.refused <= goal.refused
    goals = (f"{goal.admitted:.2f}", f"{goal.refused:.0%}") if case.goal else ("", "")
    met = ("yes" if is_met else "no") if case.goal else ""
    return (
        f"{case!s:70} {shares.admitted:8.3f} {goals[0]:>5} {shares.refused:6.1%} {goals[1]:>5} "
        f"{shares.least:6.2f} {shares.most:5.2f}  {met}"
    ), is_met


def main() -> int:
    """Prints the table; returns 1 if a goal is missed."""
    print(HEAD)
    all_met = True
    for case in cases():
        line, is_met = format_line(case, measure_worst(case))
        print(line, flush=True)
        all_met &= is_met
    return int(not all_met)


if __name__ == "__main__":
    sys.exit(main())
