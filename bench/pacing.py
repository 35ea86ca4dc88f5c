"""What the pacing makes of DPS's quota, simulated: python bench/pacing.py.

The app's own pacer and the stand-in's own throttle, on an event loop whose time is virtual. Every
process always has something to send; a call takes 100 ms, a bulk call of ten items 400 ms. Each row
shows the worst of its runs: the part of the quota that was admitted, the part of the calls that was
refused (429), and the shares of the least and the most favoured process, where 1 is a fair one.

It takes less than a minute. The exit code is 1 if a goal is missed.
"""

import asyncio
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from local.dps.errors import Refused
from local.dps.throttle import MINUTE, Quota, Throttle
from local.dps.timestamps import SECOND
from local.virtual_time import VirtualTime
from shared.dps.pacing import Pacer

CONFIGURED = 1000.0
ITEMS = 10
RUNS = 2
AT_ONCE = 16  # calls that a process has under way or waiting; in a crowd a few are enough
AT_ONCE_IN_A_CROWD = 4
CROWD = 40

HEAD = f"{'':64} {'admitted':>8} {'goal':>5} {'429s':>6} {'goal':>5} {'least':>6} {'most':>5}  met"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What part of the quota is to be admitted at least, and of the calls refused at most."""

    admitted: float
    refused: float


@dataclass(frozen=True, kw_only=True)
class Case:
    """Processes that begin at once; what happens in the minutes from `begin` to `end` counts."""

    quota: Quota
    processes: int
    begin: int
    end: int
    goal: Goal | None

    def __str__(self) -> str:
        noun = "process" if self.processes == 1 else "processes"
        waits = "" if self.quota.retryAfter else ", no Retry-After"
        part = "" if self.quota.operationsPerMinute == CONFIGURED else " a third"
        return (
            f"{self.processes} {noun}, {self.quota.algorithm}{part}, {self.quota.count}{waits}"
            f", min {self.begin}-{self.end}"
        )


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one run found."""

    admitted: float
    refused: float
    least: float
    most: float


@dataclass
class Service:
    """DPS as far as its quota goes; counts what each process got from `counts_from` on."""

    case: Case
    counts_from: float
    admitted: list[int] = field(default_factory=list)
    refused: int = 0

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._throttle = Throttle(self.case.quota, lambda: round(self._loop.time() * SECOND))
        self._takes = 0.4 if self.case.quota.count == "items" else 0.1
        self.admitted = [0] * self.case.processes

    async def call(self, process: int, pacer: Pacer) -> None:
        """One call, in its turn."""
        turn = await pacer.wait(float("inf"))
        await asyncio.sleep(self._takes / 2)
        refusal = self._refusal(process)
        await asyncio.sleep(self._takes / 2)
        if refusal is None:
            pacer.answered()
        else:
            seconds = refusal.headers.get("Retry-After")
            pacer.throttled(None if seconds is None else float(seconds), turn=turn)

    def _refusal(self, process: int) -> Refused | None:
        counts = self._loop.time() >= self.counts_from
        try:
            self._throttle.admit(ITEMS)
        except Refused as refused:
            self.refused += counts
            return refused
        self.admitted[process] += counts
        return None


async def run(case: Case, seed: int) -> Found:
    """The case, its processes beginning at some time of the first minute."""
    chance = random.Random(seed)  # noqa: S311  a simulation
    crowd = case.processes >= CROWD
    begins = MINUTE if case.begin else chance.uniform(0, MINUTE)
    service = Service(case, begins + case.begin * MINUTE)
    await asyncio.sleep(chance.uniform(0, begins) if case.begin else begins)
    callers = [
        asyncio.create_task(_calls(service, process, pacer))
        for process in range(case.processes)
        for pacer in [_pacer(chance)]
        for _ in range(AT_ONCE_IN_A_CROWD if crowd else AT_ONCE)
    ]
    until = begins + case.end * MINUTE
    await asyncio.sleep(until - asyncio.get_running_loop().time())
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    return _found(service)


def _pacer(chance: random.Random) -> Pacer:
    own = random.Random(chance.random())  # noqa: S311  a simulation
    return Pacer(start=CONFIGURED / 10, quota=CONFIGURED, random=own)


async def _calls(service: Service, process: int, pacer: Pacer) -> None:
    while True:
        await service.call(process, pacer)


def _found(service: Service) -> Found:
    case, total = service.case, sum(service.admitted)
    cost = ITEMS if case.quota.count == "items" else 1
    ceiling = case.quota.operationsPerMinute * (case.end - case.begin) / cost
    fair = total / case.processes
    return Found(
        admitted=total / ceiling,
        refused=service.refused / (service.refused + total),
        least=min(service.admitted) / fair,
        most=max(service.admitted) / fair,
    )


def cases() -> Iterator[Case]:
    """Every way to count, for one process, a few and a crowd; and a quota that is not as configured."""
    for processes, begin, end, goal in (
        (1, 3, 8, Goal(admitted=0.95, refused=0.02)),
        (4, 3, 8, Goal(admitted=0.90, refused=0.05)),
        (CROWD, 0, 20, Goal(admitted=0.85, refused=0.05)),
    ):
        for quota in quotas(CONFIGURED):
            # A crowd whose share is two or three calls a minute learns nothing cheaply.
            is_told = processes < CROWD or quota.count == "calls"
            yield Case(
                quota=quota,
                processes=processes,
                begin=begin,
                end=end,
                goal=goal if is_told else None,
            )
    for quota in quotas(CONFIGURED / 3):
        if quota.count == "calls":
            goal = Goal(admitted=0.90, refused=0.02)
            yield Case(quota=quota, processes=1, begin=1, end=4, goal=goal)


def quotas(operations: float) -> Iterator[Quota]:
    """A quota of so many operations a minute in each of the ways DPS may have it."""
    algorithms: tuple[Literal["tokenBucket", "fixedWindow"], ...] = ("tokenBucket", "fixedWindow")
    counts: tuple[Literal["calls", "items"], ...] = ("calls", "items")
    for algorithm, count, waits in product(algorithms, counts, (True, False)):
        yield Quota(
            operationsPerMinute=operations, algorithm=algorithm, count=count, retryAfter=waits
        )


def worst(case: Case) -> Found:
    """The worst of some runs, in each respect."""
    found = []
    for seed in range(RUNS):
        with asyncio.Runner(loop_factory=VirtualTime) as runner:
            found.append(runner.run(run(case, seed)))
    return Found(
        admitted=min(one.admitted for one in found),
        refused=max(one.refused for one in found),
        least=min(one.least for one in found),
        most=max(one.most for one in found),
    )


def row(case: Case, found: Found) -> tuple[str, bool]:
    """The case's line of the table, and whether its goals are met."""
    goal = case.goal or Goal(admitted=0, refused=1)
    met = found.admitted >= goal.admitted and found.refused <= goal.refused
    goals = (f"{goal.admitted:.2f}", f"{goal.refused:.0%}") if case.goal else ("", "")
    told = ("yes" if met else "no") if case.goal else ""
    return (
        f"{case!s:64} {found.admitted:8.3f} {goals[0]:>5} {found.refused:6.1%} {goals[1]:>5} "
        f"{found.least:6.2f} {found.most:5.2f}  {told}"
    ), met


def main() -> int:
    """Prints the table; 1 if a goal is missed."""
    print(HEAD)
    all_met = True
    for case in cases():
        line, met = row(case, worst(case))
        print(line, flush=True)
        all_met &= met
    return int(not all_met)


if __name__ == "__main__":
    sys.exit(main())
