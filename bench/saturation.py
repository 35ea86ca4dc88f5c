"""A client that calls the DPS stand-in faster than its quota allows."""

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
from deployment import StandIn

from shared.dps.auth import SharedAccessSignature
from shared.settings import ConnectionString

ITEMS = 10
_CONCURRENCY = 8
_TIMEOUT = aiohttp.ClientTimeout(total=10)


def exhaust_quota(dps: StandIn) -> None:
    """Uses up what the token bucket or the window has left; returns at the first 429."""
    before = dps.latency()
    dps.configure("latency", {"singleMs": 0, "bulkMs": 0})
    asyncio.run(_call(dps.endpoint, until=time.time() + 60, stop_at_429=True, pause=0.0))
    dps.configure("latency", before)


def count_admitted(dps: StandIn, *, until: float) -> int:
    """Returns how many bulk calls of ten records were admitted, of three times as many made."""
    return asyncio.run(_call(dps.endpoint, until=until, stop_at_429=False, pause=0.15))


async def _call(
    endpoint: Mapping[str, Any], *, until: float, stop_at_429: bool, pause: float
) -> int:
    connection = ConnectionString.parse(endpoint["connection_string"])
    assert isinstance(connection, ConnectionString)  # noqa: S101  the stand-in's own
    signature = await SharedAccessSignature(connection).authorization()
    url = f"{endpoint['url']}/enrollments?api-version=2021-10-01"
    unknown = [{"registrationId": f"unknown-{number}"} for number in range(ITEMS)]
    document = {"mode": "delete", "enrollments": unknown}
    admitted = refused = 0

    async def call_repeatedly() -> None:
        nonlocal admitted, refused
        while time.time() < until and not (stop_at_429 and refused):
            async with session.post(url, json=document) as reply:
                is_refused = reply.status == HTTPStatus.TOO_MANY_REQUESTS
            admitted += not is_refused
            refused += is_refused
            await asyncio.sleep(pause)

    headers = {"Authorization": signature}
    async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as session:
        await asyncio.gather(*(call_repeatedly() for _ in range(_CONCURRENCY)))
    return admitted
