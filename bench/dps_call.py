"""
CPU time of one call to DPS, with 16 concurrent calls: python bench/dps_call.py.

A call validates an enrollment with its model, acquires a permit, signs, writes and reads the answer.
Peers: Microsoft's client, `azure-iot-deviceprovisioning` (aio), which has no models and no rate
limiter; and httpx over aiohttp, httpx alone and aiohttp alone, which only send and read. The server is
a separate process that gives everyone the same answer; only the client's CPU time counts.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import httpx
from azure.core.credentials import AzureNamedKeyCredential
from azure.iot.deviceprovisioning.aio import DeviceProvisioningClient
from harness import child, is_quick
from httpx_aiohttp import AiohttpTransport
from table import Row, Rows, measure_alternately, print_table

from shared.dps import DpsClient
from shared.dps.auth import SharedAccessSignature
from shared.dps.models import IndividualEnrollment, find_faults
from shared.errors import InvalidRequestError
from shared.settings import ConnectionString, Settings

CONCURRENCY = 16
GOAL = 0.6
NOTE = "CPU time of the client's process; the server and the calls are the same for all"
_CALLS, _ROUNDS = (200, 4) if is_quick() else (1_000, 15)
_WITHOUT_RATE_LIMIT = {"DPS_OPERATIONS_PER_MINUTE": "1000000", "DPS_PACING_START": "1000000"}
_KEY = "bWFkZSB1cCBmb3IgYSBiZW5jaG1hcms="
_DEVICE: dict[str, Any] = {
    "registrationId": "press-0117",
    "attestation": {
        "type": "symmetricKey",
        "symmetricKey": {"primaryKey": _KEY, "secondaryKey": _KEY},
    },
    "provisioningStatus": "enabled",
    "allocationPolicy": "hashed",
    "iotHubs": ["hub-1.azure-devices.net", "hub-2.azure-devices.net"],
    "initialTwin": {"tags": {"plant": "north", "line": 7}, "properties": {"desired": {"rpm": 900}}},
}
_HEADERS = {"If-Match": "*", "Content-Type": "application/json"}

Call = Callable[[], Awaitable[object]]
Client = Callable[[], AbstractAsyncContextManager[Call]]
"""Opens a client; yields a function that makes one call with it."""


def rows() -> Rows:
    """Returns one row for each peer."""
    with child("stub", {"answer": _DEVICE}) as stub:
        address = stub.endpoint["address"]
        return [
            _row("azure-iot-deviceprovisioning, aio", partial(_theirs, address), address, GOAL),
            _row("httpx over aiohttp", partial(_httpx_over_aiohttp, address), address),
            _row("httpx alone", partial(_httpx_alone, address), address),
            _row("aiohttp alone", partial(_aiohttp_alone, address), address),
        ]


def _row(peer: str, theirs: Client, address: str, goal: float | None = None) -> Row:
    measured = measure_alternately(
        _ROUNDS, lambda: _microseconds(partial(_ours, address)), lambda: _microseconds(theirs)
    )
    return Row(
        name=f"CPU of a DPS call, {CONCURRENCY} concurrent; peer: {peer}",
        unit="us",
        ours=measured[0],
        theirs=measured[1],
        at_most=goal,
    )


def _microseconds(client: Client) -> float:
    return asyncio.run(_cpu_seconds(client)) / _CALLS * 1e6


async def _cpu_seconds(client: Client) -> float:
    async with client() as call:
        await _call_many(call, CONCURRENCY * 2)  # opens the connections
        started = time.process_time()
        await _call_many(call, _CALLS)
        return time.process_time() - started


async def _call_many(call: Call, calls: int) -> None:
    remaining = iter(range(calls))

    async def call_repeatedly() -> None:
        for _ in remaining:
            await call()

    await asyncio.gather(*(call_repeatedly() for _ in range(CONCURRENCY)))


def _connection_string(address: str) -> str:
    return f"HostName={address};SharedAccessKeyName=owner;SharedAccessKey={_KEY}"


@asynccontextmanager
async def _ours(address: str) -> AsyncIterator[Call]:
    settings = Settings.read(
        {**_WITHOUT_RATE_LIMIT, "DPS_CONNECTION_STRING": _connection_string(address)}
    )
    async with DpsClient(settings) as dps:

        async def call() -> object:
            if faults := find_faults(_DEVICE, IndividualEnrollment):
                raise InvalidRequestError(faults)
            return await dps.enrollments.create_or_update("press-0117", _DEVICE, if_match="*")

        yield call


@asynccontextmanager
async def _theirs(address: str) -> AsyncIterator[Call]:
    credential = AzureNamedKeyCredential("owner", _KEY)
    async with DeviceProvisioningClient(f"http://{address}", credential) as client:

        async def call() -> object:
            return await client.enrollment.create_or_update("press-0117", _DEVICE, if_match="*")

        yield call


@asynccontextmanager
async def _httpx_over_aiohttp(address: str) -> AsyncIterator[Call]:
    async with _httpx(address, AiohttpTransport()) as call:
        yield call


@asynccontextmanager
async def _httpx_alone(address: str) -> AsyncIterator[Call]:
    async with _httpx(address, httpx.AsyncHTTPTransport()) as call:
        yield call


@asynccontextmanager
async def _httpx(address: str, transport: httpx.AsyncBaseTransport) -> AsyncIterator[Call]:
    url, headers = await _sign(address)
    async with httpx.AsyncClient(headers=headers, transport=transport) as client:

        async def call() -> object:
            return (await client.put(url, content=json.dumps(_DEVICE))).json()

        yield call


@asynccontextmanager
async def _aiohttp_alone(address: str) -> AsyncIterator[Call]:
    url, headers = await _sign(address)
    async with aiohttp.ClientSession(headers=headers) as client:

        async def call() -> object:
            async with client.put(url, data=json.dumps(_DEVICE)) as reply:
                return json.loads(await reply.read())

        yield call


async def _sign(address: str) -> tuple[str, dict[str, str]]:
    connection = ConnectionString.parse(_connection_string(address))
    assert isinstance(connection, ConnectionString)  # noqa: S101  a valid one
    signature = await SharedAccessSignature(connection).authorization()
    url = f"http://{address}/enrollments/press-0117?api-version=2021-10-01"
    return url, {"Authorization": signature, **_HEADERS}


if __name__ == "__main__":
    sys.exit(print_table(rows(), NOTE))
