"""SAS mode of the app: DPS's own routes take signatures, all others function keys."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio

from local.dps import DpsStandIn
from local.stack import ROOT
from tests import secret_factory
from tests.functions.samples import DPS_ROUTES, enrollment
from tests.processes import run_modules

HOST = "my-app.azurewebsites.net"
FUNCTION_KEY = secret_factory.function_key()
OWNER = secret_factory.access_policy("EnrollmentRead", "EnrollmentWrite")
READER = secret_factory.access_policy("EnrollmentRead", name="reader")
READ_ROUTES = {
    ("GET", "enrollments/{id}"),
    ("POST", "enrollments/query"),
    ("GET", "enrollmentGroups/{id}"),
    ("POST", "enrollmentGroups/query"),
}


def signature(policy: dict[str, str] = OWNER, resource: str = HOST) -> dict[str, str]:
    """Returns the header of a request signed with a key of the policy."""
    key, name = policy["primaryKey"], policy["keyName"]
    value = secret_factory.shared_access_signature(resource, key, name=name)
    return {"Authorization": value}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def run_app(dps: DpsStandIn, policies: str) -> AsyncIterator[httpx.AsyncClient]:
    """Runs the app in a process of its own, because routes are declared at import."""
    async with run_modules() as start, httpx.AsyncClient(timeout=30) as client:
        process = await start(
            *("local.host", "--app", ROOT, "--port", 0),
            DPS_CONNECTION_STRING=dps.connection_string,
            SHARED_ACCESS_POLICIES=policies,
            WEBSITE_HOSTNAME=HOST,
            LOCAL_FUNCTION_KEY=FUNCTION_KEY,
        )
        banner = await asyncio.wait_for(process.stdout.readuntil(b"ready\n"), 30)
        client.base_url = banner.decode().splitlines()[0].removeprefix("functions on ")
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sas_app(one_dps: DpsStandIn) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app in SAS mode."""
    async with run_app(one_dps, json.dumps([OWNER, READER])) as client:
        yield client


async def test_signature_gives_access(sas_app: httpx.AsyncClient, dps: DpsStandIn) -> None:
    """A signature for the app's host is enough; the app calls DPS with its own credential."""
    headers = signature()

    put = await sas_app.put("/enrollments/dev-1", json=enrollment(), headers=headers)
    get = await sas_app.get("/enrollments/dev-1", headers=headers)

    assert (put.status_code, get.status_code) == (200, 200)
    assert {request.status for request in dps.requests} == {200}


@pytest.mark.parametrize(("method", "route"), sorted(DPS_ROUTES))
async def test_every_route_of_dps_requires_a_signature(
    sas_app: httpx.AsyncClient, dps: DpsStandIn, method: str, route: str
) -> None:
    """401 in DPS's shape, even with a function key and a body that cannot be parsed."""
    response = await sas_app.request(
        method,
        f"/{route.format(id='dev-1')}",
        content=b"{",
        headers={"x-functions-key": FUNCTION_KEY, "X-Forwarded-Host": HOST},
    )

    assert (response.status_code, response.json()["errorCode"]) == (401, 401002)
    assert {"message", "trackingId", "timestampUtc"} < response.json().keys()
    assert dps.requests == []


@pytest.mark.parametrize(("method", "route"), sorted(DPS_ROUTES - READ_ROUTES))
async def test_right_is_required(sas_app: httpx.AsyncClient, method: str, route: str) -> None:
    """A policy that may only read enrollments gets 403, also for keys and registrations."""
    response = await sas_app.request(
        method, f"/{route.format(id='dev-1')}", headers=signature(READER)
    )

    assert (response.status_code, response.json()["errorCode"]) == (403, 403002)


async def test_other_routes_take_no_signature(sas_app: httpx.AsyncClient) -> None:
    """PATCH is the app's own: it needs a function key."""
    patch = {"provisioningStatus": "disabled"}

    signed = await sas_app.patch("/enrollments/dev-1", json=patch, headers=signature())
    keyed = await sas_app.patch(
        "/enrollments/dev-1", json=patch, headers={"x-functions-key": FUNCTION_KEY}
    )

    assert (signed.status_code, keyed.status_code) == (401, 404)


async def test_signature_for_a_forwarded_host_is_not_valid(sas_app: httpx.AsyncClient) -> None:
    """`X-Forwarded-Host` and `Host` are the caller's; only the settings name hosts."""
    names = {"X-Forwarded-Host": "evil.example", "Host": "evil.example"}

    response = await sas_app.get(
        "/enrollments/dev-1", headers={**signature(resource="evil.example"), **names}
    )

    assert response.status_code == 401


@pytest.mark.parametrize("tail", ["/enrollments/dev-1?", "/enrollments/dev-1#", "["])
async def test_host_header_cannot_change_the_path(sas_app: httpx.AsyncClient, tail: str) -> None:
    """A signature for one record gives no access to another, whatever the URL is made of."""
    headers = {**signature(resource=f"{HOST}/enrollments/dev-1"), "Host": HOST + tail}

    response = await sas_app.get("/enrollments/dev-2", headers=headers)

    assert response.status_code == 401


async def test_invalid_policies_close_the_routes(one_dps: DpsStandIn) -> None:
    """Every call is 401, and `health/ready` names the setting."""
    async with run_app(one_dps, "@Microsoft.KeyVault(SecretUri=https://v/s)") as app:
        refused = await app.get("/enrollments/dev-1", headers=signature())
        ready = await app.get("/health/ready", headers={"x-functions-key": FUNCTION_KEY})

    assert refused.status_code == 401
    assert "SHARED_ACCESS_POLICIES" in {fault.get("setting") for fault in ready.json()["faults"]}


async def test_calls_log_the_policy(one_dps: DpsStandIn) -> None:
    """Its name says who called; the signature is not logged."""
    async with run_app(one_dps, json.dumps([OWNER])) as app:
        await app.get("/enrollments/dev-1", headers=signature())

    assert "authorized by the shared access policy owner" in "".join(secret_factory.outputs)
