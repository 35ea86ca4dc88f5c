"""
Time to enroll a fleet through the queue, simulated: python bench/fleet.py.

The app's own rate limiter and the stand-in's own throttle, on a virtual clock. Instances of the app,
each with its own rate limiter, write full bulk calls of 400 ms until every device is enrolled. Each
device belongs to one of the DPS instances, which have a quota each. Random numbers are seeded, so
every run prints the same. It takes about a minute.
"""

import asyncio
import random
from dataclasses import dataclass
from typing import Literal

from simulation import CONCURRENCY, ITEMS, OPERATIONS_PER_MINUTE, SimulatedDps, create_rate_limiter

from local.dps.throttle import MINUTE, Quota
from local.virtual_time import VirtualTime

CALL_SECONDS = 0.4
SEED = 1

HEAD = (
    f"{'devices':>9} {'instances':>9} {'DPS':>4} {'counted':>8} "
    f"{'minutes':>8} {'at best':>8} {'calls':>8} {'429s':>6}"
)


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The number of devices, of app instances and of DPS instances, and what DPS counts."""

    devices: int
    instances: int
    dps: int = 1
    count: Literal["calls", "items"] = "calls"

    @property
    def quota(self) -> Quota:
        """The quota of each DPS instance."""
        return Quota(operationsPerMinute=OPERATIONS_PER_MINUTE, count=self.count)

    @property
    def minutes_at_best(self) -> float:
        """The minutes it takes if the quotas are used up with full calls and no call is refused."""
        each = ITEMS if self.count == "calls" else 1
        return self.devices / (OPERATIONS_PER_MINUTE * self.dps * each)


FLEETS = (
    *(Fleet(devices=100_000, instances=instances) for instances in (1, 2, 4, 10, 40)),
    *(Fleet(devices=1_000_000, instances=instances) for instances in (4, 40)),
    *(Fleet(devices=1_000_000, instances=40, dps=dps) for dps in (2, 4)),
    Fleet(devices=100_000, instances=1, count="items"),
    Fleet(devices=100_000, instances=4, count="items"),
)


class Enrollment:
    """The enrollment of the devices of one DPS instance, shared by several app instances."""

    def __init__(self, devices: int, quota: Quota) -> None:
        self.dps = SimulatedDps(quota, CALL_SECONDS)
        self._devices_left = devices

    async def run_instance(self, *, start: float, seed: float) -> None:
        """Makes calls from `start` on until no device is left."""
        await asyncio.sleep(start)
        rate_limiter = create_rate_limiter(seed)

        async def enroll() -> None:
            while self._devices_left > 0:
                items = min(ITEMS, self._devices_left)
                self._devices_left -= items
                while not await self.dps.call(rate_limiter, items=items):
                    pass  # retry the same call

        await asyncio.gather(*(enroll() for _ in range(CONCURRENCY)))


async def simulate(fleet: Fleet) -> str:
    """Enrolls the fleet and returns its line of the table."""
    chance = random.Random(SEED)  # noqa: S311  a simulation
    parts = [Enrollment(fleet.devices // fleet.dps, fleet.quota) for _ in range(fleet.dps)]
    await asyncio.gather(
        *(
            parts[number % fleet.dps].run_instance(
                start=chance.uniform(0, MINUTE), seed=chance.random()
            )
            for number in range(fleet.instances)
        )
    )
    minutes = asyncio.get_running_loop().time() / MINUTE
    refused = sum(part.dps.refused for part in parts)
    calls = refused + sum(part.dps.admitted.total() for part in parts)
    return (
        f"{fleet.devices:>9,} {fleet.instances:>9} {fleet.dps:>4} {fleet.count:>8} "
        f"{minutes:>8.1f} {fleet.minutes_at_best:>8.1f} {calls:>8,} {refused / calls:>6.1%}"
    )


def main() -> None:
    """Prints the table."""
    print(HEAD)
    for fleet in FLEETS:
        with asyncio.Runner(loop_factory=VirtualTime) as runner:
            print(runner.run(simulate(fleet)), flush=True)


if __name__ == "__main__":
    main()
