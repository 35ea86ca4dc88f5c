"""What a stand-in admits to somebody who always asks for more than there is."""

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
from scene import StandIn

from shared.dps.auth import SharedAccessSignature
from shared.settings import ConnectionString

ITEMS = 10
_AT_ONCE = 8
_WITHIN = aiohttp.ClientTimeout(total=10)


def spend(dps: StandIn) -> None:
    """Returns when nothing is left of what a bucket has saved, or of the window."""
    before = dps.latency()
    dps.order("latency", {"singleMs": 0, "bulkMs": 0})
    asyncio.run(_ask(dps.where, until=time.time() + 60, to_the_end=False, pause=0.0))
    dps.order("latency", before)


def admitted(dps: StandIn, *, until: float) -> int:
    """How many bulk calls of ten records were admitted until then, with three times as many made."""
    return asyncio.run(_ask(dps.where, until=until, to_the_end=True, pause=0.15))


async def _ask(where: Mapping[str, Any], *, until: float, to_the_end: bool, pause: float) -> int:
    connection = ConnectionString.parse(where["connection_string"])
    assert isinstance(connection, ConnectionString)  # noqa: S101  the stand-in's own
    signature = await SharedAccessSignature(connection).authorization()
    url = f"{where['url']}/enrollments?api-version=2021-10-01"
    nobody = [{"registrationId": f"nobody-{number}"} for number in range(ITEMS)]
    counts = {True: 0, False: 0}

    async def keep_asking() -> None:
        while time.time() < until and (to_the_end or not counts[False]):
            document = {"mode": "delete", "enrollments": nobody}
            async with session.post(url, json=document) as reply:
                counts[reply.status != HTTPStatus.TOO_MANY_REQUESTS] += 1
            await asyncio.sleep(pause)

    headers = {"Authorization": signature}
    async with aiohttp.ClientSession(headers=headers, timeout=_WITHIN) as session:
        await asyncio.gather(*(keep_asking() for _ in range(_AT_ONCE)))
    return counts[True]
