"""
Large requests: the longest wait of a health check beside each, and their memory: bench/large_bodies.py.

A client calls `health/live` without a pause while another sends one request. The peer is the longest
wait beside nothing. Memory is the peak of the process above that of the same body at a route that does
not read it, because the local host holds the body twice; its peer is the size of the body.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
from deployment import NO_DELAYS, WITHOUT_RATE_LIMIT, deploy
from harness import Child, is_quick
from table import Figures, Row, Rows, print_table

NOTE = "wait: of health/live, beside one request; memory: peak of the process, peer: the body"
_UNREAD = "/allocation/no-such-policy"
_REFUSED, _VALID = 2, 12  # goals: how many times the size of the body the process may grow
_MB = 2**20
_TIMEOUT = aiohttp.ClientTimeout(total=200)
_IDLE_SECONDS = 3.0
_SETTINGS = {
    **WITHOUT_RATE_LIMIT,
    "AzureWebJobs_enrollment_requests_Disabled": "1",
    "AzureWebJobs_bulk_operations_Disabled": "1",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request, the status that answers it, and how much memory it may take for each byte."""

    name: str
    body: bytes
    path: str = "/enrollments"
    status: int = 413
    at_most: float = _REFUSED


def rows() -> Rows:
    """The longest wait, and the memory, of each request."""
    found: list[Row | Figures] = []
    with deploy(NO_DELAYS) as deployment:
        deployment.dps.configure("throttle", {"enabled": False})
        with deployment.run_app(_SETTINGS) as app:
            idle = asyncio.run(_longest_wait(app, None))
            for request in _requests():
                found += _measure(app, request, idle)
        with (
            _broken_policy_file() as settings,
            deployment.run_app(_SETTINGS | dict(settings)) as app,
        ):
            body = json.dumps(_allocation_request(["a"])).encode()
            name = "8 MB policy file of 120,000 faults"
            request = Request(name=name, body=body, path="/allocation", status=503)
            found.append(_wait_row(request, asyncio.run(_longest_wait(app, request)), idle))
    return found


def _requests() -> Iterator[Request]:
    empty = (68 if not is_quick() else 22) * _MB // 3
    yield Request(name=f"{3 * empty // _MB} MB of {{}}", body=b"[" + b"{}," * empty + b"{}]")
    tags = ",".join(f'"{n}":"{"x" * 50}"' for n in range(480_000))
    record = f'{{"registrationId":"a","initialTwin":{{"tags":{{{tags}}}}}}}'
    yield Request(name="one record of 29 MB", body=_bulk([record]))
    hubs = [f"hub-{n}.azure-devices.net" for n in range(100_000)]
    body = json.dumps(_allocation_request(hubs)).encode()
    yield Request(name="100,000 hubs in an allocation request", body=body, path="/allocation")
    records = [_valid_record(number) for number in range(10_000)]
    yield Request(name="10,000 valid records", body=_bulk(records), status=200, at_most=_VALID)
    more = json.dumps({f"tag-{n}": "x" * 30 for n in range(60)})
    records = [record[:-1] + f',"optionalDeviceInformation":{more}}}' for record in records]
    body = _bulk(records)
    yield Request(
        name=f"10,000 valid records of {len(body) // 10_000} bytes",
        body=body.replace(b"create", b"update"),
        path="/enrollments?validateOnly=true",
        status=200,
        at_most=_VALID,
    )


def _valid_record(number: int) -> str:
    tags = f'{{"plant":"north","line":{number % 12}}}'
    return (
        f'{{"registrationId":"large-{number:06}","attestation":{{"type":"symmetricKey"}},'
        f'"provisioningStatus":"enabled","allocationPolicy":"hashed","initialTwin":{{"tags":{tags}}}}}'
    )


def _bulk(records: list[str]) -> bytes:
    return f'{{"mode":"create","enrollments":[{",".join(records)}]}}'.encode()


def _allocation_request(hubs: list[str]) -> Mapping[str, Any]:
    context = {"registrationId": "large-1"}
    group = {"enrollmentGroupId": "large"}
    return {"deviceRuntimeContext": context, "enrollmentGroup": group, "linkedHubs": hubs}


@contextmanager
def _broken_policy_file() -> Iterator[Mapping[str, str]]:
    """Provides the setting that names a file whose every rule has two faults."""
    rules = [
        {
            "name": f"rule {n}",
            "hub": "no-host",
            "when": {"payload.a": {"equal": n}},
            "description": "",
        }
        for n in range(60_000)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policies.json"
        path.write_text(json.dumps({"policies": {"default": {"rules": rules}}}, indent=1))
        yield {"ALLOCATION_POLICIES_FILE": str(path)}


def _measure(app: Child, request: Request, idle: float) -> list[Row | Figures]:
    unread = replace(request, path=_UNREAD, status=404)
    _, peak_of_host = _send_and_measure(app, unread)
    wait, peak = _send_and_measure(app, request)
    size = len(request.body)
    return [
        _wait_row(request, wait, idle),
        Row(
            name=f"memory of {request.name}; peer: its size",
            unit="MB",
            ours=[max(0, peak - peak_of_host) / _MB],
            theirs=[size / _MB],
            at_most=request.at_most,
        ),
    ]


def _wait_row(request: Request, wait: float, idle: float) -> Figures:
    name = f"longest wait of health/live beside {request.name}; peer: beside nothing"
    return Figures(name=name, unit="ms", ours=1000 * wait, theirs=1000 * idle)


def _send_and_measure(app: Child, request: Request) -> tuple[float, int]:
    """Sends the request; returns the longest wait beside it in seconds, and the peak in bytes."""
    before = app.read_state()["resident"]
    app.reset_peak()
    wait = asyncio.run(_longest_wait(app, request))
    return wait, app.peak_memory() - before


async def _longest_wait(app: Child, request: Request | None) -> float:
    """Returns the longest wait for `health/live`, in seconds, until the request is answered."""
    url = app.endpoint["url"]
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as client:
        answer = asyncio.create_task(_send(client, url, request))
        longest = 0.0
        while not answer.done():
            started = time.monotonic()
            async with client.get(f"{url}/health/live") as reply:
                await reply.read()
            longest = max(longest, time.monotonic() - started)
        await answer
    return longest


async def _send(client: aiohttp.ClientSession, url: str, request: Request | None) -> None:
    if request is None:
        await asyncio.sleep(_IDLE_SECONDS)
        return
    headers = {"Content-Type": "application/json"}
    async with client.post(url + request.path, data=request.body, headers=headers) as reply:
        text = await reply.text()
    if reply.status != request.status:
        raise RuntimeError(f"{request.name}: {reply.status} {text[:500]}")


if __name__ == "__main__":
    sys.exit(print_table(rows(), NOTE))
