"""What clients hide and rely on: headers, media types, paths and versions."""

import pytest

from tests.contract.places import over_http

pytestmark = [over_http, pytest.mark.usefixtures("dps")]  # which tidies up after a live run

ITEM_TYPES = {"enrollments": "Enrollment", "enrollmentGroups": "EnrollmentGroup"}
JSON = "application/json; charset=utf-8"


@pytest.fixture
async def client(target):
    """A signed client without any notion of DPS."""
    async with target.client() as signed:
        yield signed


async def test_json_is_declared(client, kind, record):
    """An answer with a body says that it is JSON in UTF-8."""
    reply = await client.get(f"/{kind.path}/{record[kind.id_member]}")

    assert reply.headers["content-type"].lower() == JSON


async def test_deletion_has_no_body(client, kind, record):
    """A 204 has nothing in it."""
    reply = await client.delete(f"/{kind.path}/{record[kind.id_member]}")

    assert (reply.status_code, reply.content) == (204, b"")


async def test_query_names_the_type_of_its_items(client, kind):
    """A page says in x-ms-item-type what its records are."""
    reply = await client.post(f"/{kind.path}/query", json={"query": "SELECT *"})

    assert reply.headers["x-ms-item-type"] == ITEM_TYPES[kind.path]


async def test_group_query_names_the_type_of_its_items(client, new_id):
    """So does a page of registration states."""
    reply = await client.post(f"/registrations/{new_id()}/query")

    assert reply.headers["x-ms-item-type"] == "DeviceRegistration"


async def test_group_query_tolerates_a_body(client, new_id):
    """Node and C# send a query there, which means nothing."""
    reply = await client.post(f"/registrations/{new_id()}/query", json={"query": "*"})

    assert (reply.status_code, reply.json()) == (200, [])


async def test_query_needs_its_text(client, kind):
    """A specification without `query` is 400."""
    reply = await client.post(f"/{kind.path}/query", json={})

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)


async def test_charset_is_tolerated(client, kind, new_id):
    """Node, C# and C add a charset to the media type."""
    document = kind.document(new_id())

    reply = await client.put(
        f"/{kind.path}/{document[kind.id_member]}", json=document, headers={"Content-Type": JSON}
    )

    assert reply.status_code == 200


async def test_other_media_types_are_refused(client, kind, new_id):
    """A body that claims not to be JSON is 415."""
    document = kind.document(new_id())

    reply = await client.put(
        f"/{kind.path}/{document[kind.id_member]}",
        json=document,
        headers={"Content-Type": "text/plain"},
    )

    assert reply.status_code == 415


async def test_broken_json_is_refused(client, kind, new_id):
    """A body that is no JSON is 400."""
    reply = await client.put(
        f"/{kind.path}/{new_id()}", content=b"{", headers={"Content-Type": "application/json"}
    )

    assert (reply.status_code, reply.json()["errorCode"] // 1000) == (400, 400)


async def test_case_of_the_path_does_not_count(client, kind, record):
    """Node asks for attestation mechanisms in lower case."""
    path = f"/{kind.path.lower()}/{record[kind.id_member]}/attestationMechanism"

    reply = await client.post(path)

    assert (reply.status_code, reply.json()) == (200, record["attestation"])


async def test_trailing_slash_does_not_count(client, kind, new_id):
    """C posts bulk operations to a path with a slash at its end."""
    operation = {kind.path: [kind.document(new_id())], "mode": "create"}

    reply = await client.post(f"/{kind.path}/", json=operation)

    assert (reply.status_code, reply.json()["isSuccessful"]) == (200, True)


@pytest.mark.parametrize("version", ["2018-04-01", "2019-03-31", "2021-10-01"])
async def test_versions_of_microsoft_s_clients_are_known(client, kind, record, version):
    """The versions that the clients for C, C# and Java, and Python send are accepted."""
    path = f"/{kind.path}/{record[kind.id_member]}"

    reply = await client.get(path, params={"api-version": version})

    assert reply.status_code == 200


async def test_unknown_version_is_refused(client, kind, record):
    """A version that there is not is 400."""
    path = f"/{kind.path}/{record[kind.id_member]}"

    reply = await client.get(path, params={"api-version": "1999-01-01"})

    assert reply.status_code == 400
