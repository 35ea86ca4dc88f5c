"""Intended differences between the app's responses and those of DPS, both side by side."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from local.stack import Stack
from tests.contract.targets import Target
from tests.local.dps.calls import Kind, tpm_document


@pytest.fixture
async def client(stand_in: Target) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the stand-in."""
    async with stand_in.create_http_client() as signed:
        yield signed


@pytest.fixture
def eleven(kind: Kind, new_id: Callable[..., str]) -> dict[str, Any]:
    """A bulk operation with one record more than DPS accepts."""
    return {kind.path: [kind.document(new_id()) for _ in range(11)], "mode": "create"}


@pytest.fixture
def half_invalid(new_id: Callable[..., str]) -> dict[str, Any]:
    """A bulk operation on a valid enrollment, and one that lacks its endorsement key."""
    valid, invalid = tpm_document(new_id()), tpm_document(new_id())
    del invalid["attestation"]["tpm"]
    return {"enrollments": [valid, invalid], "mode": "create"}


async def test_dps_reports_an_unknown_version_as_its_gateway(client: httpx.AsyncClient) -> None:
    """The error of DPS's gateway has its own shape (azure-iot-sdk-csharp, issue 3479)."""
    reply = await client.get("/enrollments/x", params={"api-version": "1999-01-01"})

    assert (reply.status_code, list(reply.json())) == (400, ["Message", "ExceptionMessage"])
    assert reply.json()["Message"].startswith("ErrorCode:ArgumentInvalid;Unknown api version")


async def test_app_reports_an_unknown_version_as_other_errors(
    app_client: httpx.AsyncClient,
) -> None:
    """The app's error has the shape of the REST specification, and names the supported versions."""
    reply = await app_client.get("/enrollments/x", params={"api-version": "1999-01-01"})

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
    assert "2021-10-01" in reply.json()["info"]["api-version"]


async def test_dps_requires_a_version(client: httpx.AsyncClient) -> None:
    """Without an api-version DPS answers 400."""
    reply = await client.get("/enrollments/x", params={"api-version": ""})

    assert reply.status_code == 400


async def test_app_has_a_default_version(app: Target, new_id: Callable[..., str]) -> None:
    """Without an api-version the app uses 2021-10-01."""
    async with app.create_http_client() as client:
        client.params = {}
        reply = await client.get(f"/enrollments/{new_id()}")

    assert (reply.status_code, reply.json()["errorCode"]) == (404, 404201)


async def test_dps_refuses_more_than_ten_records(
    client: httpx.AsyncClient, kind: Kind, eleven: dict[str, Any]
) -> None:
    """A bulk operation on eleven records is 400 as a whole; the app's answer: test_app_bulk.py."""
    reply = await client.post(f"/{kind.path}", json=eleven)

    assert reply.status_code == 400


async def test_dps_sends_no_etag_header(
    client: httpx.AsyncClient, kind: Kind, new_id: Callable[..., str]
) -> None:
    """No recorded response has an ETag or a request id header."""
    document = kind.document(new_id())

    reply = await client.put(f"/{kind.path}/{document[kind.id_member]}", json=document)

    assert not {"etag", "x-ms-request-id"} & reply.headers.keys()


async def test_app_adds_an_etag_header(
    app_client: httpx.AsyncClient, kind: Kind, new_id: Callable[..., str]
) -> None:
    """The app returns the etag of a record also as a header, quoted as in RFC 9110."""
    document = kind.document(new_id())
    path = f"/{kind.path}/{document[kind.id_member]}"

    replies = [await app_client.put(path, json=document), await app_client.get(path)]

    assert [reply.headers["etag"] for reply in replies] == [
        f'"{reply.json()["etag"]}"' for reply in replies
    ]


async def test_dps_reports_an_invalid_item(
    client: httpx.AsyncClient, half_invalid: dict[str, Any]
) -> None:
    """
    DPS creates the valid record and reports the other (azure-iot-sdk-node,
    run_bulk_operation.js).
    """
    reply = await client.post("/enrollments", json=half_invalid)

    failed = [error["registrationId"] for error in reply.json()["errors"]]
    assert (reply.status_code, failed) == (200, [half_invalid["enrollments"][1]["registrationId"]])


async def test_app_names_every_fault_of_an_invalid_item(
    app_client: httpx.AsyncClient, stack: Stack, half_invalid: dict[str, Any]
) -> None:
    """The app creates the valid record too; the error of the other has a pointer to each fault."""
    valid, invalid = (document["registrationId"] for document in half_invalid["enrollments"])

    reply = await app_client.post("/enrollments", json=half_invalid)

    (error,) = reply.json()["errors"]
    assert (reply.status_code, reply.json()["isSuccessful"]) == (200, False)
    assert (error["registrationId"], error["errorCode"]) == (invalid, 400004)
    assert list(error["info"]) == ["/enrollments/1/attestation/tpm"]
    assert "/enrollments/1/attestation/tpm" in error["errorStatus"]
    assert (await app_client.get(f"/enrollments/{valid}")).status_code == 200
    assert stack.dps.requests[0].operation == "enrollments.bulk"
