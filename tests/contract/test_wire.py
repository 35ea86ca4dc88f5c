"""Details of HTTP that clients hide: headers, media types, paths and versions."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.contract.targets import Target, http_only
from tests.local.dps.calls import Kind

pytestmark = [http_only, pytest.mark.usefixtures("dps")]  # deletes the records of a live run

ITEM_TYPES = {"enrollments": "Enrollment", "enrollmentGroups": "EnrollmentGroup"}
JSON = "application/json; charset=utf-8"


@pytest.fixture
async def client(target: Target) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client that sends a valid signature."""
    async with target.create_http_client() as signed:
        yield signed


async def test_content_type_is_json(
    client: httpx.AsyncClient, kind: Kind, record: dict[str, Any]
) -> None:
    """A response with a body declares JSON in UTF-8."""
    reply = await client.get(f"/{kind.path}/{record[kind.id_member]}")

    assert reply.headers["content-type"].lower() == JSON


async def test_query_has_item_type(client: httpx.AsyncClient, kind: Kind) -> None:
    """A page names the type of its records in x-ms-item-type."""
    reply = await client.post(f"/{kind.path}/query", json={"query": "SELECT *"})

    assert reply.headers["x-ms-item-type"] == ITEM_TYPES[kind.path]


async def test_group_query_has_item_type(
    client: httpx.AsyncClient, new_id: Callable[..., str]
) -> None:
    """A page of registration states names the type of its items in x-ms-item-type."""
    reply = await client.post(f"/registrations/{new_id()}/query")

    assert reply.headers["x-ms-item-type"] == "DeviceRegistration"


async def test_group_query_accepts_a_body(
    client: httpx.AsyncClient, new_id: Callable[..., str]
) -> None:
    """A query by group ignores the body that Microsoft's clients for Node and C# send."""
    reply = await client.post(f"/registrations/{new_id()}/query", json={"query": "*"})

    assert (reply.status_code, reply.json()) == (200, [])


async def test_query_without_text_is_refused(client: httpx.AsyncClient, kind: Kind) -> None:
    """A query specification without `query` is 400004."""
    reply = await client.post(f"/{kind.path}/query", json={})

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)


async def test_charset_is_accepted(
    client: httpx.AsyncClient, kind: Kind, new_id: Callable[..., str]
) -> None:
    """A charset in the media type, as clients for Node, C# and C send it, is accepted."""
    document = kind.document(new_id())

    reply = await client.put(
        f"/{kind.path}/{document[kind.id_member]}", json=document, headers={"Content-Type": JSON}
    )

    assert reply.status_code == 200


async def test_other_media_types_are_refused(
    client: httpx.AsyncClient, kind: Kind, new_id: Callable[..., str]
) -> None:
    """A body of another media type than JSON is 415."""
    document = kind.document(new_id())

    reply = await client.put(
        f"/{kind.path}/{document[kind.id_member]}",
        json=document,
        headers={"Content-Type": "text/plain"},
    )

    assert reply.status_code == 415


async def test_invalid_json_is_refused(
    client: httpx.AsyncClient, kind: Kind, new_id: Callable[..., str]
) -> None:
    """A body that is not JSON is 400."""
    reply = await client.put(
        f"/{kind.path}/{new_id()}", content=b"{", headers={"Content-Type": "application/json"}
    )

    assert (reply.status_code, reply.json()["errorCode"] // 1000) == (400, 400)


async def test_path_is_case_insensitive(
    client: httpx.AsyncClient, kind: Kind, record: dict[str, Any]
) -> None:
    """The client for Node sends the path of the attestation mechanism in lower case."""
    path = f"/{kind.path.lower()}/{record[kind.id_member]}/attestationMechanism"

    reply = await client.post(path)

    assert (reply.status_code, reply.json()) == (200, record["attestation"])


async def test_trailing_slash_is_accepted(
    client: httpx.AsyncClient, kind: Kind, new_id: Callable[..., str]
) -> None:
    """The client for C sends bulk operations to a path with a trailing slash."""
    operation = {kind.path: [kind.document(new_id())], "mode": "create"}

    reply = await client.post(f"/{kind.path}/", json=operation)

    assert (reply.status_code, reply.json()["isSuccessful"]) == (200, True)


@pytest.mark.parametrize("version", ["2018-04-01", "2019-03-31", "2021-10-01"])
async def test_versions_of_microsoft_clients_are_accepted(
    client: httpx.AsyncClient, kind: Kind, record: dict[str, Any], version: str
) -> None:
    """The api-versions of the clients for C, for C# and Java, and for Python are accepted."""
    path = f"/{kind.path}/{record[kind.id_member]}"

    reply = await client.get(path, params={"api-version": version})

    assert reply.status_code == 200


async def test_unknown_version_is_refused(
    client: httpx.AsyncClient, kind: Kind, record: dict[str, Any]
) -> None:
    """An unknown api-version is 400."""
    path = f"/{kind.path}/{record[kind.id_member]}"

    reply = await client.get(path, params={"api-version": "1999-01-01"})

    assert reply.status_code == 400
