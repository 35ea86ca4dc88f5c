"""
Whether HTTP callers get their turns while a queue is drained: python bench/http_beside_queue.py.

One process drains a long queue at the limit of DPS's quota. Once a second somebody reads an
enrollment over HTTP: from a process of its own, which shares the quota and knows nothing of the
other, and from the draining process itself. It takes minutes; QUICK leaves it out.
"""

import asyncio
import sys
import time
from http import HTTPStatus
from statistics import quantiles

import aiohttp
from quick import is_quick
from ratio import Figures, NotMeasured, Row, Rows, shown
from saturation import spend
from scene import PER_MINUTE, scene

GOAL = 0.99
NOTE = "asked once a second; an answer is the record, in time"
_WARM_UP, _SECONDS = 55, 60
_MESSAGES = 24_000
_WITHIN = aiohttp.ClientTimeout(total=60)
_FED_NOWHERE = {
    "AzureWebJobs_enrollment_requests_Disabled": "1",
    "AzureWebJobs_bulk_operations_Disabled": "1",
}
_NAME = "HTTP calls answered while a queue drains, process of their own; peer: asked"


def rows() -> Rows:
    """How many were answered, and how long that took."""
    if is_quick():
        why = "takes minutes: measured without QUICK"
        return [NotMeasured(name=_NAME, goal=f">= {GOAL}", why=why)]
    with scene() as its:
        its.dps.order("throttle", {"operationsPerMinute": PER_MINUTE, "algorithm": "tokenBucket"})
        spend(its.dps)
        its.feed(_MESSAGES)
        beside, draining = its.host(_FED_NOWHERE), its.host()
        time.sleep(_WARM_UP)
        spend(its.dps)
        found = asyncio.run(_both(beside.where["url"], draining.where["url"]))
        if its.broker.look()["active"]["enrollment-requests"] == 0:
            raise RuntimeError("the queue ended too soon")
    return [row for name, taken in found.items() for row in _rows(name, taken)]


def _rows(name: str, taken: list[float]) -> Rows:
    calls = f"HTTP calls while a queue drains, {name}"
    share = Row(
        name=f"{calls}, answered; peer: asked",
        unit="calls",
        ours=[len(taken)],
        theirs=[_SECONDS],
        at_least=GOAL,
    )
    if len(taken) < 2:  # noqa: PLR2004  quantiles of fewer there are none
        return [share]
    found = quantiles(taken, n=100)
    times = (
        Figures(name=f"{calls}, p{percent}", unit="ms", ours=1000 * found[percent - 1])
        for percent in (50, 99)
    )
    return [share, *times]


async def _both(beside: str, draining: str) -> dict[str, list[float]]:
    async with aiohttp.ClientSession(timeout=_WITHIN) as client:
        both = await asyncio.gather(_every_second(client, beside), _every_second(client, draining))
    return dict(zip(("process of their own", "the same process"), both, strict=True))


async def _every_second(client: aiohttp.ClientSession, url: str) -> list[float]:
    """The seconds that each good answer took."""
    taken: list[float] = []

    async def ask() -> None:
        began = time.monotonic()
        async with client.get(f"{url}/enrollments/press-0000001") as reply:
            await reply.read()
        if reply.status == HTTPStatus.OK:
            taken.append(time.monotonic() - began)

    asked = []
    for _ in range(_SECONDS):
        asked.append(asyncio.create_task(ask()))
        await asyncio.sleep(1)
    await asyncio.gather(*asked)
    return taken


if __name__ == "__main__":
    sys.exit(shown(rows(), NOTE))
