"""How long a fleet takes to be enrolled through the queue, simulated: python bench/fleet.py.

The app's own pacer and the stand-in's own throttle, on an event loop whose time is virtual: so many
instances of the app, none of which knows of another, write full bulk calls until every device is
enrolled. A call takes 400 ms; a device goes to one of the DPS instances, which have a quota each.
Chance is seeded, so every run prints the same. It takes about a minute.
"""

import asyncio
import math
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from local.dps.errors import Refused
from local.dps.throttle import MINUTE, Quota, Throttle
from local.dps.timestamps import SECOND
from local.virtual_time import VirtualTime
from shared.dps.pacing import Pacer

OPERATIONS_PER_MINUTE = 1000.0
ITEMS = 10
CALL_SECONDS = 0.4
AT_ONCE = 16  # calls that an instance has under way or waiting
SEED = 1

HEAD = (
    f"{'devices':>9} {'instances':>9} {'DPS':>4} {'counted':>8} "
    f"{'minutes':>8} {'at best':>8} {'calls':>8} {'429s':>6}"
)


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """So many devices, through so many instances of the app and of DPS."""

    devices: int
    instances: int
    dps: int = 1
    count: Literal["calls", "items"] = "calls"

    @property
    def quota(self) -> Quota:
        """That of each DPS instance."""
        return Quota(operationsPerMinute=OPERATIONS_PER_MINUTE, count=self.count)

    @property
    def at_best(self) -> float:
        """Minutes, if every operation that the quotas allow enrolled as many as it can."""
        each = ITEMS if self.count == "calls" else 1
        return self.devices / (OPERATIONS_PER_MINUTE * self.dps * each)


FLEETS = (
    *(Fleet(devices=100_000, instances=instances) for instances in (1, 2, 4, 10, 40)),
    *(Fleet(devices=1_000_000, instances=instances) for instances in (4, 40)),
    *(Fleet(devices=1_000_000, instances=40, dps=dps) for dps in (2, 4)),
    Fleet(devices=100_000, instances=1, count="items"),
    Fleet(devices=100_000, instances=4, count="items"),
)


class Service:
    """One DPS instance as far as its quota goes, and the devices that are to be enrolled there."""

    def __init__(self, devices: int, quota: Quota) -> None:
        self._loop = asyncio.get_running_loop()
        self._throttle = Throttle(quota, lambda: round(self._loop.time() * SECOND))
        self.left = devices
        self.calls = self.refused = 0

    async def enroll(self, pacer: Pacer) -> None:
        """One call after the other, each in its turn, until no device is left."""
        while self.left > 0:
            items = min(ITEMS, self.left)
            self.left -= items
            while not await self._is_admitted(pacer, items):
                pass  # the same call again, in its turn

    async def _is_admitted(self, pacer: Pacer, items: int) -> bool:
        turn = await pacer.wait(math.inf)
        await asyncio.sleep(CALL_SECONDS / 2)
        self.calls += 1
        refused = self._refusal(items)
        await asyncio.sleep(CALL_SECONDS / 2)
        if refused is None:
            pacer.answered()
            return True
        self.refused += 1
        pacer.throttled(float(refused.headers["Retry-After"]), turn=turn)
        return False

    def _refusal(self, items: int) -> Refused | None:
        try:
            self._throttle.admit(items)
        except Refused as refused:
            return refused
        return None


async def enroll(fleet: Fleet) -> str:
    """Enrolls the fleet and says how that went."""
    chance = random.Random(SEED)  # noqa: S311  a simulation
    services = [Service(fleet.devices // fleet.dps, fleet.quota) for _ in range(fleet.dps)]
    await asyncio.gather(
        *(
            _instance(services[number % fleet.dps], chance.uniform(0, MINUTE), chance.random())
            for number in range(fleet.instances)
        )
    )
    minutes = asyncio.get_running_loop().time() / MINUTE
    calls, refused = (sum(getattr(s, name) for s in services) for name in ("calls", "refused"))
    return (
        f"{fleet.devices:>9,} {fleet.instances:>9} {fleet.dps:>4} {fleet.count:>8} "
        f"{minutes:>8.1f} {fleet.at_best:>8.1f} {calls:>8,} {refused / calls:>6.1%}"
    )


async def _instance(service: Service, begins: float, seed: float) -> None:
    await asyncio.sleep(begins)
    own = random.Random(seed)  # noqa: S311  a simulation
    pacer = Pacer(start=OPERATIONS_PER_MINUTE / 10, quota=OPERATIONS_PER_MINUTE, random=own)
    await asyncio.gather(*(service.enroll(pacer) for _ in range(AT_ONCE)))


def main() -> None:
    """Prints the table."""
    print(HEAD)
    for fleet in FLEETS:
        with asyncio.Runner(loop_factory=VirtualTime) as runner:
            print(runner.run(enroll(fleet)), flush=True)


if __name__ == "__main__":
    main()
