"""The places where the contract must hold, times the clients that are to find it there."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count, product
from typing import Any
from uuid import uuid4

import httpx
import pytest
from azure.core.utils import parse_connection_string

from local.dps import Options
from local.stack import DPS_SETTINGS, SERVICE_BUS_SETTINGS, Stack
from local.threads import in_thread
from tests.contract import drivers, sdk_drivers
from tests.contract.drivers import Driver
from tests.contract.places import EVERYWHERE, Place
from tests.contract.targets import TLS, Target
from tests.local.dps.calls import ENROLLMENT, GROUP, Kind
from tests.secret_factory import symmetric_key

DRIVERS = {
    "httpx": drivers.plain_http,
    "sdk-sync": sdk_drivers.sdk_sync,
    "sdk-aio": sdk_drivers.sdk_aio,
    "app-client": drivers.app_client,
}
RUN = uuid4().hex[:8]
NUMBERS = count(1)


@pytest.fixture(params=[ENROLLMENT, GROUP], ids=lambda kind: kind.path)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each of the two kinds of records in turn."""
    return request.param


@pytest.fixture(scope="module")
def function_key() -> str:
    """What the app asks its callers for."""
    return symmetric_key()


@pytest.fixture(scope="module")
def options() -> Options:
    """What the stand-in is told; a module may tell it something else."""
    return Options(port=0, tls_port=None)


@pytest.fixture(scope="module")
def running(options: Options, function_key: str) -> Iterator[Stack]:
    """The app in front of the stand-in, whatever DPS the environment names."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (*DPS_SETTINGS, *SERVICE_BUS_SETTINGS):
            patch.delenv(name, raising=False)
        with in_thread(Stack(options, functions_port=0, key=function_key)) as stack:
            yield stack


@pytest.fixture(scope="module")
def control(running: Stack) -> Iterator[httpx.Client]:
    """A client for the stand-in's control endpoints."""
    with httpx.Client(base_url=running.dps.url, verify=TLS) as client:
        yield client


@pytest.fixture
def stack(running: Stack, control: httpx.Client) -> Stack:
    """The same, without a record."""
    control.post("/_reset").raise_for_status()
    return running


@pytest.fixture
def app(stack: Stack, function_key: str) -> Target:
    """The app, to a caller that has a key."""
    return Target(
        url=stack.host.url,
        connection_string=stack.dps.connection_string,
        headers={"x-functions-key": function_key},
    )


@pytest.fixture
async def app_client(app: Target) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of the app that has a key."""
    async with app.client() as client:
        yield client


@pytest.fixture
def stand_in(stack: Stack) -> Target:
    """The stand-in, without the app."""
    return Target(url=stack.dps.url, connection_string=stack.dps.connection_string)


@pytest.fixture
def live() -> Target:
    """The DPS instance that the environment names."""
    given = os.environ["DPS_LIVE_CONNECTION_STRING"]  # noqa: TID251  the tester's, not the app's
    host = parse_connection_string(given)["hostname"]
    return Target(url=f"https://{host}", connection_string=given)


@pytest.fixture(params=EVERYWHERE)
def place(request: pytest.FixtureRequest) -> Place:
    """Each place in turn; `places` names those that a claim may be confined to."""
    return request.param


@pytest.fixture
def target(request: pytest.FixtureRequest, place: Place) -> Target:
    """What the claim is about."""
    return request.getfixturevalue(place.target)


@pytest.fixture
async def dps(target: Target, place: Place, ids: list[str]) -> AsyncIterator[Driver]:
    """The client that the claim is made through."""
    async with DRIVERS[place.driver](target) as driver:
        yield driver
        if place.is_live:
            await _remove(driver, ids)


async def _remove(driver: Driver, ids: list[str]) -> None:
    """Deletes what there is under these ids, ten a call: a real DPS counts calls."""
    for kind, start in product((ENROLLMENT, GROUP), range(0, len(ids), 10)):
        documents = [kind.document(id_) for id_ in ids[start : start + 10]]
        await driver.run_bulk_operation(kind.path, {kind.path: documents, "mode": "delete"})


@pytest.fixture
def ids() -> list[str]:
    """Every id that the test was given."""
    return []


@pytest.fixture
def new_id(ids: list[str]) -> Callable[..., str]:
    """Makes ids that no other test, run or process has."""

    def make(end: str = "") -> str:
        ids.append(f"contract-{RUN}-{next(NUMBERS)}{end}")
        return ids[-1]

    return make


@pytest.fixture
async def record(dps: Driver, kind: Kind, new_id: Callable[..., str]) -> dict[str, Any]:
    """A record that is there, as the PUT that made it was answered."""
    id_ = new_id()
    reply = await dps.create_or_update(kind.path, id_, kind.document(id_))
    assert reply.status == 200, reply
    return reply.document
