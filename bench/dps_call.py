"""
CPU time of one call to DPS, 16 at once: python bench/dps_call.py.

A call checks an enrollment with its model, waits for its turn, signs, writes and reads the answer.
Against Microsoft's client, `azure-iot-deviceprovisioning` (aio), which has no models and no turns;
and against httpx, over aiohttp and by itself, and raw aiohttp, which only send and read. The server is a process of its
own that says the same to everyone; what counts is this process's CPU time.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import httpx
from azure.core.credentials import AzureNamedKeyCredential
from azure.iot.deviceprovisioning.aio import DeviceProvisioningClient
from httpx_aiohttp import AiohttpTransport
from processes import child
from quick import is_quick
from ratio import Row, Rows, alternating, shown

from shared.dps import DpsClient
from shared.dps.auth import SharedAccessSignature
from shared.dps.models import IndividualEnrollment, faults_in
from shared.errors import InvalidRequestError
from shared.settings import ConnectionString, Settings

AT_ONCE = 16
GOAL = 0.6
NOTE = "CPU time of the client's process; the server and the calls are the same for all"
_CALLS, _ROUNDS = (200, 4) if is_quick() else (1_000, 15)
_UNPACED = {"DPS_OPERATIONS_PER_MINUTE": "1000000", "DPS_PACING_START": "1000000"}
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
_ANYONE = {"If-Match": "*", "Content-Type": "application/json"}

Call = Callable[[], Awaitable[object]]


def rows() -> Rows:
    """One row for each of the others."""
    with child("stub", {"answer": _DEVICE}) as stub:
        address = stub.where["address"]
        return [
            _row("azure-iot-deviceprovisioning, aio", partial(_theirs, address), address, GOAL),
            _row("httpx's client over aiohttp", partial(_httpx_over_aiohttp, address), address),
            _row("plain httpx", partial(_plain_httpx, address), address),
            _row("raw aiohttp, the floor", partial(_raw_aiohttp, address), address),
        ]


Client = Callable[[], Any]


def _row(peer: str, theirs: Client, address: str, goal: float | None = None) -> Row:
    found = alternating(
        _ROUNDS, lambda: _microseconds(partial(_ours, address)), lambda: _microseconds(theirs)
    )
    return Row(
        name=f"CPU of a DPS call, 16 at once; peer: {peer}",
        unit="us",
        ours=found[0],
        theirs=found[1],
        at_most=goal,
    )


def _microseconds(client: Client) -> float:
    return asyncio.run(_measured(client)) / _CALLS * 1e6


async def _measured(client: Client) -> float:
    async with client() as call:
        await _many(call, AT_ONCE * 2)  # connects
        began = time.process_time()
        await _many(call, _CALLS)
        return time.process_time() - began


async def _many(call: Call, calls: int) -> None:
    left = iter(range(calls))

    async def some() -> None:
        for _ in left:
            await call()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


def _connection_string(address: str) -> str:
    return f"HostName={address};SharedAccessKeyName=owner;SharedAccessKey={_KEY}"


@asynccontextmanager
async def _ours(address: str) -> AsyncIterator[Call]:
    settings = Settings.read({**_UNPACED, "DPS_CONNECTION_STRING": _connection_string(address)})
    async with DpsClient(settings) as dps:

        async def call() -> object:
            if faults := faults_in(_DEVICE, IndividualEnrollment):
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
async def _plain_httpx(address: str) -> AsyncIterator[Call]:
    async with _httpx(address, httpx.AsyncHTTPTransport()) as call:
        yield call


@asynccontextmanager
async def _httpx(address: str, transport: httpx.AsyncBaseTransport) -> AsyncIterator[Call]:
    url, headers = await _signed(address)
    async with httpx.AsyncClient(headers=headers, transport=transport) as client:

        async def call() -> object:
            return (await client.put(url, content=json.dumps(_DEVICE))).json()

        yield call


@asynccontextmanager
async def _raw_aiohttp(address: str) -> AsyncIterator[Call]:
    url, headers = await _signed(address)
    async with aiohttp.ClientSession(headers=headers) as client:

        async def call() -> object:
            async with client.put(url, data=json.dumps(_DEVICE)) as reply:
                return json.loads(await reply.read())

        yield call


async def _signed(address: str) -> tuple[str, dict[str, str]]:
    connection = ConnectionString.parse(_connection_string(address))
    assert isinstance(connection, ConnectionString)  # noqa: S101  it is one
    signature = await SharedAccessSignature(connection).authorization()
    url = f"http://{address}/enrollments/press-0117?api-version=2021-10-01"
    return url, {"Authorization": signature, **_ANYONE}


if __name__ == "__main__":
    sys.exit(shown(rows(), NOTE))
