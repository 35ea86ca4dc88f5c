"""
What the app adds to a call of DPS and to a webhook call: python bench/added_latency.py.

Through HTTP and the local host, which is Python as well, with 1, 16 and 64 callers at once, each of
whom asks again when answered. A call of DPS: reading an enrollment through the app, less the same
read without it; DPS takes 10 ms. Against a function that makes the call with Microsoft's client. A
webhook call: a decision, less a function that does nothing. Against one that parses the body, logs a
line and takes the first hub.
"""

import asyncio
import sys
from dataclasses import dataclass, field
from statistics import quantiles

import aiohttp
from processes import ROOT
from quick import is_quick
from ratio import Figures, Rows, shown
from scene import PEER, UNPACED, Delays, Scene, scene

from shared.dps.auth import SharedAccessSignature
from shared.settings import ConnectionString

NOTE = "added: to the same read of DPS without an app, and to a function that does nothing"
AT_ONCE = (1, 16, 64)
_BODY = ROOT / "examples" / "allocation-requests" / "default-first-registration.json"
_SECONDS, _ROUNDS = (0.3, 1) if is_quick() else (1.5, 4)
_WARM_UP = 0.3
_WITHIN = aiohttp.ClientTimeout(total=30)
_NO_QUEUES = {"ServiceBus": ""}


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is asked, and the seconds that answers took."""

    method: str
    url: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


def rows() -> Rows:
    """Two rows for each number of callers, for a call of DPS and for a webhook call."""
    with scene(Delays(single_ms=10, bulk_ms=10, broker=0)) as its:
        ours = its.host({**UNPACED, **_NO_QUEUES}).where["url"]
        peer = its.host(_NO_QUEUES, app=PEER).where["url"]
        return asyncio.run(_rows(its, ours, peer))


async def _rows(its: Scene, ours: str, peer: str) -> Rows:
    where = its.dps.where
    signed = {"Authorization": await _signature(where["connection_string"])}
    record = "enrollments/press-0117"
    direct = Target(
        method="GET", url=f"{where['url']}/{record}?api-version=2021-10-01", headers=signed
    )
    await _write(direct)
    through = [Target(method="GET", url=f"{url}/{record}") for url in (ours, peer)]
    body = _BODY.read_bytes()
    idle = Target(method="POST", url=f"{peer}/nothing", body=body)
    webhooks = [Target(method="POST", url=f"{url}/allocation", body=body) for url in (ours, peer)]
    return [
        row
        for name, least, added in (
            ("a DPS call", direct, through),
            ("a webhook call", idle, webhooks),
        )
        for at_once in AT_ONCE
        for row in await _added(name, least, added, at_once)
    ]


async def _signature(connection_string: str) -> str:
    connection = ConnectionString.parse(connection_string)
    assert isinstance(connection, ConnectionString)  # noqa: S101  the stand-in's own
    return await SharedAccessSignature(connection).authorization()


async def _write(target: Target) -> None:
    document = {"registrationId": "press-0117", "attestation": {"type": "symmetricKey"}}
    async with (
        aiohttp.ClientSession(timeout=_WITHIN, headers=target.headers) as client,
        client.put(target.url, json=document, raise_for_status=True),
    ):
        pass


async def _added(name: str, least: Target, added: list[Target], at_once: int) -> Rows:
    targets = [least, *added]
    times: list[list[float]] = [[] for _ in targets]
    for _ in range(_ROUNDS):
        for found, target in zip(times, targets, strict=True):
            found.extend(await _asked(target, at_once))
    floor, ours, peer = (quantiles(found, n=100) for found in times)
    return [
        Figures(
            name=f"added to {name}, {at_once} at once, p{percent}",
            unit="ms",
            ours=1000 * (ours[percent - 1] - floor[percent - 1]),
            theirs=1000 * (peer[percent - 1] - floor[percent - 1]),
        )
        for percent in (50, 99)
    ]


async def _asked(target: Target, at_once: int) -> list[float]:
    """The seconds that each answer took, once all callers are at it."""
    loop = asyncio.get_running_loop()
    begin = loop.time() + _WARM_UP
    taken: list[float] = []

    async def keep_asking(client: aiohttp.ClientSession) -> None:
        while (began := loop.time()) < begin + _SECONDS:
            async with client.request(
                target.method, target.url, data=target.body, headers=target.headers
            ) as reply:
                await reply.read()
            if not reply.ok:
                raise RuntimeError(f"{target.url} answers {reply.status}")
            if began >= begin:
                taken.append(loop.time() - began)

    async with aiohttp.ClientSession(timeout=_WITHIN) as client:
        await asyncio.gather(*(keep_asking(client) for _ in range(at_once)))
    return taken


if __name__ == "__main__":
    sys.exit(shown(rows(), NOTE))
