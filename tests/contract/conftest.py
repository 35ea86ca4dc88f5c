"""Fixtures for the contract: each test runs against several targets, through several clients."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count, product
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from azure.core.utils import parse_connection_string

from local.dps import Options
from local.stack import Stack
from local.threads import in_thread
from tests.contract.clients import CLIENTS, Client
from tests.contract.targets import ALL_COMBINATIONS, TLS, Combination, Target
from tests.local.dps.calls import ENROLLMENT, GROUP, Kind
from tests.secret_factory import symmetric_key

RUN = uuid4().hex[:8]
NUMBERS = count(1)


@pytest.fixture(params=[ENROLLMENT, GROUP], ids=lambda kind: kind.path)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Enrollments, then enrollment groups."""
    return cast(Kind, request.param)


@pytest.fixture(scope="module")
def function_key() -> str:
    """The function key of the app."""
    return symmetric_key()


@pytest.fixture(scope="module")
def options() -> Options:
    """The stand-in's options; a module may override them."""
    return Options(port=0, tls_port=None)


@pytest.fixture(scope="module")
def running(
    options: Options,
    function_key: str,
    environment: pytest.MonkeyPatch,  # noqa: ARG001  the stack's settings
) -> Iterator[Stack]:
    """The app in front of the stand-in."""
    with in_thread(Stack(options, functions_port=0, key=function_key)) as stack:
        yield stack


@pytest.fixture(scope="module")
def control(running: Stack) -> Iterator[httpx.Client]:
    """A client of the stand-in's control endpoints."""
    with httpx.Client(base_url=running.dps.url, verify=TLS) as client:
        yield client


@pytest.fixture
def stack(running: Stack, control: httpx.Client) -> Stack:
    """The app in front of the stand-in, which has no records."""
    control.post("/_reset").raise_for_status()
    return running


@pytest.fixture
def app(stack: Stack, function_key: str) -> Target:
    """The app, called with its function key."""
    return Target(
        url=stack.host.url,
        connection_string=stack.dps.connection_string,
        headers={"x-functions-key": function_key},
    )


@pytest.fixture
async def app_client(app: Target) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the app."""
    async with app.create_http_client() as client:
        yield client


@pytest.fixture
def stand_in(stack: Stack) -> Target:
    """The stand-in, without the app."""
    return Target(url=stack.dps.url, connection_string=stack.dps.connection_string)


@pytest.fixture
def live() -> Target:
    """The real DPS that the environment names."""
    given = os.environ["DPS_LIVE_CONNECTION_STRING"]  # noqa: TID251  the tester's, not the app's
    host = parse_connection_string(given)["hostname"]
    return Target(url=f"https://{host}", connection_string=given)


@pytest.fixture(params=ALL_COMBINATIONS)
def combination(request: pytest.FixtureRequest) -> Combination:
    """Each combination of target and client; the marks of `targets` confine a test to some."""
    return cast(Combination, request.param)


@pytest.fixture
def target(request: pytest.FixtureRequest, combination: Combination) -> Target:
    """The target under test."""
    return cast(Target, request.getfixturevalue(combination.target))


@pytest.fixture
async def dps(target: Target, combination: Combination, ids: list[str]) -> AsyncIterator[Client]:
    """The client under test; after a live test it deletes the test's records."""
    async with CLIENTS[combination.client](target) as client:
        yield client
        if combination.is_live:
            await _delete_records(client, ids)


async def _delete_records(client: Client, ids: list[str]) -> None:
    """Deletes ten records per call, because a real DPS has a quota of calls."""
    for kind, start in product((ENROLLMENT, GROUP), range(0, len(ids), 10)):
        documents = [kind.document(id_) for id_ in ids[start : start + 10]]
        await client.run_bulk_operation(kind.path, {kind.path: documents, "mode": "delete"})


@pytest.fixture
def ids() -> list[str]:
    """The ids that the test was given."""
    return []


@pytest.fixture
def new_id(ids: list[str]) -> Callable[..., str]:
    """Creates ids that no other test, run or process uses."""

    def create(end: str = "") -> str:
        ids.append(f"contract-{RUN}-{next(NUMBERS)}{end}")
        return ids[-1]

    return create


@pytest.fixture
async def record(dps: Client, kind: Kind, new_id: Callable[..., str]) -> dict[str, Any]:
    """A record that exists, as the response to its PUT shows it."""
    id_ = new_id()
    reply = await dps.create_or_update(kind.path, id_, kind.document(id_))
    assert reply.status == 200, reply
    return cast(dict[str, Any], reply.document)
