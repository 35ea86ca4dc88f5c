"""Where the app answers otherwise than DPS, on purpose: both truths side by side."""

import pytest

from tests.local.dps.calls import tpm_document


@pytest.fixture
async def client(stand_in):
    """A client of the stand-in."""
    async with stand_in.client() as signed:
        yield signed


@pytest.fixture
def eleven(kind, new_id):
    """A bulk operation of one record more than DPS takes."""
    return {kind.path: [kind.document(new_id()) for _ in range(11)], "mode": "create"}


@pytest.fixture
def half_bad(new_id):
    """A bulk operation on a good enrollment, and one that says TPM and names no key of it."""
    good, bad = tpm_document(new_id()), tpm_document(new_id())
    del bad["attestation"]["tpm"]
    return {"enrollments": [good, bad], "mode": "create"}


async def test_dps_words_an_unknown_version_as_its_gateway_does(client):
    """The gateway in front of DPS has a shape of its own (azure-iot-sdk-csharp, issue 3479)."""
    reply = await client.get("/enrollments/x", params={"api-version": "1999-01-01"})

    assert (reply.status_code, list(reply.json())) == (400, ["Message", "ExceptionMessage"])
    assert reply.json()["Message"].startswith("ErrorCode:ArgumentInvalid;Unknown api version")


async def test_app_words_an_unknown_version_as_all_errors(app_client):
    """The app says it in the shape of the REST specification, and names the versions there are."""
    reply = await app_client.get("/enrollments/x", params={"api-version": "1999-01-01"})

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
    assert "2021-10-01" in reply.json()["info"]["api-version"]


async def test_dps_needs_a_version(client):
    """Without an api-version DPS answers 400."""
    reply = await client.get("/enrollments/x", params={"api-version": ""})

    assert reply.status_code == 400


async def test_app_knows_a_version_for_those_who_name_none(app, new_id):
    """Without an api-version the app takes 2021-10-01."""
    async with app.client() as client:
        client.params = {}
        reply = await client.get(f"/enrollments/{new_id()}")

    assert (reply.status_code, reply.json()["errorCode"]) == (404, 404201)


async def test_dps_refuses_more_than_ten_at_once(client, kind, eleven):
    """A bulk operation on eleven records is 400 as a whole."""
    reply = await client.post(f"/{kind.path}", json=eleven)

    assert reply.status_code == 400


async def test_app_takes_more_than_ten_at_once(app_client, kind, eleven):
    """The same operation is done by the app."""
    reply = await app_client.post(f"/{kind.path}", json=eleven)

    assert (reply.status_code, reply.json()) == (200, {"errors": [], "isSuccessful": True})


async def test_dps_answers_with_few_headers(client, kind, new_id):
    """No recorded answer has an ETag or a request id."""
    document = kind.document(new_id())

    reply = await client.put(f"/{kind.path}/{document[kind.id_member]}", json=document)

    assert not {"etag", "x-ms-request-id"} & reply.headers.keys()


async def test_app_adds_an_etag_header(app_client, kind, new_id):
    """The app gives the etag of a record as a header too, quoted as RFC 9110 has it."""
    document = kind.document(new_id())
    path = f"/{kind.path}/{document[kind.id_member]}"

    replies = [await app_client.put(path, json=document), await app_client.get(path)]

    assert [reply.headers["etag"] for reply in replies] == [
        f'"{reply.json()["etag"]}"' for reply in replies
    ]


async def test_dps_fails_the_item_that_is_bad(client, half_bad):
    """DPS makes the good record and names the bad one (azure-iot-sdk-node, run_bulk_operation.js)."""
    reply = await client.post("/enrollments", json=half_bad)

    failed = [error["registrationId"] for error in reply.json()["errors"]]
    assert (reply.status_code, failed) == (200, [half_bad["enrollments"][1]["registrationId"]])


async def test_app_finds_the_item_that_is_bad_before_anything_is_done(app_client, stack, half_bad):
    """The app refuses the whole, points at the fault, and asks nothing of DPS."""
    reply = await app_client.post("/enrollments", json=half_bad)

    assert reply.status_code == 400
    assert list(reply.json()["info"]) == ["/enrollments/1/attestation/tpm"]
    assert stack.dps.requests == []
