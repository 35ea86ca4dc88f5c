"""
Latency of HTTP calls while a queue is drained: python bench/http_beside_queue.py.

One process drains a long queue at the limit of DPS's quota. Once a second a client reads an
enrollment over HTTP: from a separate process, which shares the quota but not the rate limiter, and
from the draining process itself. It takes minutes; with QUICK it is left out.
"""

import asyncio
import sys
import time
from http import HTTPStatus
from statistics import quantiles

import aiohttp
from deployment import PER_MINUTE, QUEUE, deploy
from harness import is_quick
from saturation import exhaust_quota
from table import Figures, NotMeasured, Row, Rows, print_table

GOAL = 0.99
NOTE = "one call a second; answered: 200 with the record, in time"
_WARM_UP, _SECONDS = 55, 60
_MESSAGES = 24_000
_TIMEOUT = aiohttp.ClientTimeout(total=60)
_WITHOUT_QUEUE_TRIGGERS = {
    "AzureWebJobs_enrollment_requests_Disabled": "1",
    "AzureWebJobs_bulk_operations_Disabled": "1",
}
_NAME = "HTTP calls while a queue drains, separate process, answered; peer: sent"


def rows() -> Rows:
    """Returns the share of calls that were answered, and their latency, for both processes."""
    if is_quick():
        why = "takes minutes: measured without QUICK"
        return [NotMeasured(name=_NAME, goal=f">= {GOAL}", why=why)]
    with deploy() as deployment:
        dps = deployment.dps
        dps.configure("throttle", {"operationsPerMinute": PER_MINUTE, "algorithm": "tokenBucket"})
        exhaust_quota(dps)
        deployment.send_requests(_MESSAGES)
        separate = deployment.start_app(_WITHOUT_QUEUE_TRIGGERS)
        draining = deployment.start_app()
        time.sleep(_WARM_UP)
        exhaust_quota(dps)
        latencies = asyncio.run(_measure_both(separate.endpoint["url"], draining.endpoint["url"]))
        if deployment.broker.read_state()["active"][QUEUE] == 0:
            raise RuntimeError("the queue was empty before the measurement ended")
    return [row for name, seconds in latencies.items() for row in _rows(name, seconds)]


def _rows(name: str, latencies: list[float]) -> Rows:
    calls = f"HTTP calls while a queue drains, {name}"
    share = Row(
        name=f"{calls}, answered; peer: sent",
        unit="calls",
        ours=[len(latencies)],
        theirs=[_SECONDS],
        at_least=GOAL,
    )
    if len(latencies) < 2:  # noqa: PLR2004  fewer have no quantiles
        return [share]
    percentiles = quantiles(latencies, n=100)
    return [
        share,
        *(
            Figures(name=f"{calls}, p{percent}", unit="ms", ours=1000 * percentiles[percent - 1])
            for percent in (50, 99)
        ),
    ]


async def _measure_both(separate: str, draining: str) -> dict[str, list[float]]:
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as client:
        both = await asyncio.gather(_measure(client, separate), _measure(client, draining))
    return dict(zip(("separate process", "same process"), both, strict=True))


async def _measure(client: aiohttp.ClientSession, url: str) -> list[float]:
    """Returns the latency in seconds of each call that was answered with 200."""
    latencies: list[float] = []

    async def read_enrollment() -> None:
        started = time.monotonic()
        async with client.get(f"{url}/enrollments/press-0000001") as reply:
            await reply.read()
        if reply.status == HTTPStatus.OK:
            latencies.append(time.monotonic() - started)

    calls = []
    for _ in range(_SECONDS):
        calls.append(asyncio.create_task(read_enrollment()))
        await asyncio.sleep(1)
    await asyncio.gather(*calls)
    return latencies


if __name__ == "__main__":
    sys.exit(print_table(rows(), NOTE))
