"""
Latency that the app adds to a DPS call and to a webhook call: python bench/added_latency.py.

Over HTTP through the local host, with 1, 16 and 64 concurrent clients; each client sends its next
request when the last one is answered. DPS call: a read of an enrollment through the app, less the
same read sent to the stand-in, which takes 10 ms; the peer is a function that makes the call with
Microsoft's client. Webhook call: a decision, less a call of a function that does nothing; the peer is
a function that parses the body, logs a line and takes the first hub.
"""

import asyncio
import sys
from dataclasses import dataclass, field
from statistics import quantiles

import aiohttp
from deployment import PEER, WITHOUT_RATE_LIMIT, Delays, Deployment, deploy
from harness import ROOT, is_quick
from table import Figures, Rows, print_table

from shared.dps.auth import SharedAccessSignature
from shared.settings import ConnectionString

NOTE = "added: to the same read of DPS without an app, and to a function that does nothing"
CONCURRENCY = (1, 16, 64)
_BODY = ROOT / "examples" / "allocation-requests" / "default-first-registration.json"
_SECONDS, _ROUNDS = (0.3, 1) if is_quick() else (1.5, 4)
_WARM_UP = 0.3
_TIMEOUT = aiohttp.ClientTimeout(total=30)
_WITHOUT_QUEUES = {"ServiceBus": ""}


@dataclass(frozen=True, kw_only=True)
class Target:
    """A request that is sent repeatedly."""

    method: str
    url: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


def rows() -> Rows:
    """Returns two rows for each number of clients, for a DPS call and for a webhook call."""
    with deploy(Delays(single_ms=10, bulk_ms=10, broker_seconds=0)) as deployment:
        ours = deployment.start_app({**WITHOUT_RATE_LIMIT, **_WITHOUT_QUEUES})
        peer = deployment.start_app(_WITHOUT_QUEUES, app=PEER)
        return asyncio.run(_rows(deployment, ours.endpoint["url"], peer.endpoint["url"]))


async def _rows(deployment: Deployment, ours: str, peer: str) -> Rows:
    endpoint = deployment.dps.endpoint
    signature = {"Authorization": await _sign(endpoint["connection_string"])}
    record = "enrollments/press-0117"
    direct = Target(
        method="GET", url=f"{endpoint['url']}/{record}?api-version=2021-10-01", headers=signature
    )
    await _create_record(direct)
    reads = [Target(method="GET", url=f"{url}/{record}") for url in (ours, peer)]
    body = _BODY.read_bytes()
    empty = Target(method="POST", url=f"{peer}/nothing", body=body)
    webhooks = [Target(method="POST", url=f"{url}/allocation", body=body) for url in (ours, peer)]
    return [
        row
        for name, baseline, targets in (
            ("a DPS call", direct, reads),
            ("a webhook call", empty, webhooks),
        )
        for concurrency in CONCURRENCY
        for row in await _measure_added(name, baseline, targets, concurrency)
    ]


async def _sign(connection_string: str) -> str:
    connection = ConnectionString.parse(connection_string)
    assert isinstance(connection, ConnectionString)  # noqa: S101  the stand-in's own
    return await SharedAccessSignature(connection).authorization()


async def _create_record(target: Target) -> None:
    document = {"registrationId": "press-0117", "attestation": {"type": "symmetricKey"}}
    async with (
        aiohttp.ClientSession(timeout=_TIMEOUT, headers=target.headers) as client,
        client.put(target.url, json=document, raise_for_status=True),
    ):
        pass


async def _measure_added(
    name: str, baseline: Target, targets: list[Target], concurrency: int
) -> Rows:
    measured = [baseline, *targets]
    latencies: list[list[float]] = [[] for _ in measured]
    for _ in range(_ROUNDS):
        for samples, target in zip(latencies, measured, strict=True):
            samples.extend(await _measure(target, concurrency))
    base, ours, peer = (quantiles(samples, n=100) for samples in latencies)
    return [
        Figures(
            name=f"latency added to {name}, {concurrency} concurrent, p{percent}",
            unit="ms",
            ours=1000 * (ours[percent - 1] - base[percent - 1]),
            theirs=1000 * (peer[percent - 1] - base[percent - 1]),
        )
        for percent in (50, 99)
    ]


async def _measure(target: Target, concurrency: int) -> list[float]:
    """Returns the latency in seconds of each request started after the warm-up."""
    loop = asyncio.get_running_loop()
    begin = loop.time() + _WARM_UP
    latencies: list[float] = []

    async def send_repeatedly(client: aiohttp.ClientSession) -> None:
        while (started := loop.time()) < begin + _SECONDS:
            async with client.request(
                target.method, target.url, data=target.body, headers=target.headers
            ) as reply:
                await reply.read()
            if not reply.ok:
                raise RuntimeError(f"{target.url} returned {reply.status}")
            if started >= begin:
                latencies.append(loop.time() - started)

    async with aiohttp.ClientSession(timeout=_TIMEOUT) as client:
        await asyncio.gather(*(send_repeatedly(client) for _ in range(concurrency)))
    return latencies


if __name__ == "__main__":
    sys.exit(print_table(rows(), NOTE))
