"""Bulk operations on up to ten records."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from tests.contract.clients import Client, Reply
from tests.contract.targets import local_only
from tests.local.dps.calls import Kind

SUCCESS = {"errors": [], "isSuccessful": True}

RunBulk = Callable[..., Awaitable[Reply]]
GetAll = Callable[[Sequence[dict[str, Any]]], Awaitable[list[Reply]]]


@pytest.fixture
def run_bulk(dps: Client, kind: Kind) -> RunBulk:
    """Runs a bulk operation on documents."""

    async def run(mode: str, *documents: dict[str, Any]) -> Reply:
        return await dps.run_bulk_operation(kind.path, {kind.path: documents, "mode": mode})

    return run


@pytest.fixture
async def two_existing(
    kind: Kind, new_id: Callable[..., str], run_bulk: RunBulk
) -> list[dict[str, Any]]:
    """The documents of two existing records."""
    documents = [kind.document(new_id()) for _ in range(2)]
    reply = await run_bulk("create", *documents)
    assert reply.document == SUCCESS
    return documents


@pytest.fixture
def get_all(dps: Client, kind: Kind) -> GetAll:
    """Returns the GET of each document's record."""

    async def get(documents: Sequence[dict[str, Any]]) -> list[Reply]:
        return [await dps.get(kind.path, document[kind.id_member]) for document in documents]

    return get


async def test_create_creates_records(
    kind: Kind, new_id: Callable[..., str], run_bulk: RunBulk, get_all: GetAll
) -> None:
    """Ten records of one call exist afterwards."""
    documents = [kind.document(new_id()) for _ in range(10)]

    reply = await run_bulk("create", *documents)

    assert (reply.status, reply.document) == (200, SUCCESS)
    assert {each.status for each in await get_all(documents)} == {200}


@pytest.mark.parametrize("mode", ["create", "update"])
async def test_existing_records_are_errors_of_a_200(
    kind: Kind, two_existing: list[dict[str, Any]], run_bulk: RunBulk, mode: str
) -> None:
    """A create, or an update without etags, reports an error for each existing record."""
    messages = {409201: "Enrollment already exists.", 409202: "EnrollmentGroup already exists."}

    reply = await run_bulk(mode, *two_existing)

    assert reply.status == 200
    assert reply.document == {
        "errors": [
            {
                kind.id_member: document[kind.id_member],
                "errorCode": kind.exists,
                "errorStatus": messages[kind.exists],
            }
            for document in two_existing
        ],
        "isSuccessful": False,
    }


async def test_members_of_a_result_have_the_recorded_order(
    kind: Kind, two_existing: list[dict[str, Any]], run_bulk: RunBulk
) -> None:
    """`errors` precedes `isSuccessful`; an error has id, code and message."""
    reply = await run_bulk("create", *two_existing)

    assert list(reply.document) == ["errors", "isSuccessful"]
    assert list(reply.document["errors"][0]) == [kind.id_member, "errorCode", "errorStatus"]


async def test_failed_item_does_not_affect_others(
    kind: Kind,
    new_id: Callable[..., str],
    two_existing: list[dict[str, Any]],
    run_bulk: RunBulk,
    get_all: GetAll,
) -> None:
    """A partial failure is a 200 with the failed item as error; the other records are created."""
    before, after = kind.document(new_id()), kind.document(new_id())

    reply = await run_bulk("create", before, two_existing[0], after)

    failed = [error[kind.id_member] for error in reply.document["errors"]]
    assert (reply.status, reply.document["isSuccessful"]) == (200, False)
    assert failed == [two_existing[0][kind.id_member]]
    assert [each.status for each in await get_all([before, after])] == [200, 200]


@pytest.mark.parametrize("mode", ["update", "updateIfMatchETag"])
async def test_update_with_etags_updates(
    two_existing: list[dict[str, Any]], run_bulk: RunBulk, get_all: GetAll, mode: str
) -> None:
    """Documents from a GET, with their etags, replace the records."""
    changed = [
        stored.document | document | {"provisioningStatus": "disabled"}
        for stored, document in zip(await get_all(two_existing), two_existing, strict=True)
    ]

    reply = await run_bulk(mode, *changed)

    assert (reply.status, reply.document) == (200, SUCCESS)
    assert {each.document["provisioningStatus"] for each in await get_all(two_existing)} == {
        "disabled"
    }


@local_only
@pytest.mark.parametrize("mode", ["update", "updateIfMatchETag"])
async def test_item_with_stale_etag_fails(
    kind: Kind, two_existing: list[dict[str, Any]], run_bulk: RunBulk, get_all: GetAll, mode: str
) -> None:
    """Only the item with the etag of an earlier state fails, with 412."""
    first, second = [
        stored.document | document
        for stored, document in zip(await get_all(two_existing), two_existing, strict=True)
    ]
    await run_bulk(mode, first)

    reply = await run_bulk(mode, first, second)

    (error,) = reply.document["errors"]
    assert (error[kind.id_member], error["errorCode"] // 1000) == (first[kind.id_member], 412)


async def test_delete_needs_no_etags(
    two_existing: list[dict[str, Any]], run_bulk: RunBulk, get_all: GetAll
) -> None:
    """Records are deleted by documents without etags."""
    reply = await run_bulk("delete", *two_existing)

    assert (reply.status, reply.document) == (200, SUCCESS)
    assert {each.status for each in await get_all(two_existing)} == {404}


@local_only
async def test_deletion_of_unknown_record_fails(
    kind: Kind, new_id: Callable[..., str], two_existing: list[dict[str, Any]], run_bulk: RunBulk
) -> None:
    """Only the item with an unknown id fails, with the code of a 404."""
    unknown = kind.document(new_id())

    reply = await run_bulk("delete", unknown, *two_existing)

    (error,) = reply.document["errors"]
    assert reply.status == 200
    assert (error[kind.id_member], error["errorCode"]) == (unknown[kind.id_member], kind.missing)


async def test_duplicate_id_fails_the_call(
    kind: Kind, new_id: Callable[..., str], run_bulk: RunBulk, get_all: GetAll
) -> None:
    """A call with the same id twice is 400 as a whole and changes nothing."""
    document = kind.document(new_id())

    reply = await run_bulk("create", document, document)

    assert (reply.status, "errors" in reply.document) == (400, False)
    assert [each.status for each in await get_all([document])] == [404]


async def test_unknown_mode_fails_the_call(
    kind: Kind, new_id: Callable[..., str], run_bulk: RunBulk
) -> None:
    """An unknown mode is 400004."""
    reply = await run_bulk("replace", kind.document(new_id()))

    assert reply.error == (400, 400004)
