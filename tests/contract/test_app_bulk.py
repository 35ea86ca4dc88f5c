"""Bulk operations that DPS does not offer: more than ten records, and the mode `upsert`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import pytest

from local.dps import Options
from local.stack import Stack
from tests.local.dps.calls import Kind

SUCCESS = {"errors": [], "isSuccessful": True}

RunBulk = Callable[[str, Sequence[dict[str, Any]]], Awaitable[Any]]
CreateDocuments = Callable[..., list[dict[str, Any]]]
GetRecord = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@pytest.fixture(scope="module")
def options() -> Options:
    """A stand-in that replaces keys at an update without keys: it is unknown whether DPS does."""
    return Options(port=0, tls_port=None, keep_keys_on_update=False)


@pytest.fixture
def run_bulk(app_client: httpx.AsyncClient, kind: Kind) -> RunBulk:
    """Runs a bulk operation on documents."""

    async def run(mode: str, documents: Sequence[dict[str, Any]]) -> Any:
        reply = await app_client.post(f"/{kind.path}", json={kind.path: documents, "mode": mode})
        assert reply.status_code == 200, reply.text
        return reply.json()

    return run


@pytest.fixture
def create_documents(kind: Kind, new_id: Callable[..., str]) -> CreateDocuments:
    """Creates documents of this number of records."""

    def create(number: int, **members: Any) -> list[dict[str, Any]]:
        return [kind.document(new_id(), **members) for _ in range(number)]

    return create


@pytest.fixture
def get_with_keys(app_client: httpx.AsyncClient, kind: Kind) -> GetRecord:
    """Returns the current record with its keys."""

    async def get(document: dict[str, Any]) -> dict[str, Any]:
        path = f"/{kind.path}/{document[kind.id_member]}"
        record: dict[str, Any] = (await app_client.get(path)).json()
        mechanism = await app_client.post(f"{path}/attestationmechanism")
        return record | {"attestation": mechanism.json()}

    return get


def ids_of(kind: Kind, items: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the ids of documents or errors."""
    return [item[kind.id_member] for item in items]


async def test_25_records_are_three_calls(
    run_bulk: RunBulk, create_documents: CreateDocuments, stack: Stack, kind: Kind
) -> None:
    """The app makes three DPS calls and merges their results."""
    result = await run_bulk("create", create_documents(25))

    assert result == SUCCESS
    assert [request.operation for request in stack.dps.requests] == [f"{kind.path}.bulk"] * 3


async def test_ten_records_are_one_call(
    run_bulk: RunBulk, create_documents: CreateDocuments, stack: Stack
) -> None:
    """As many records as DPS accepts are not split."""
    result = await run_bulk("create", create_documents(10))

    assert (result, len(stack.dps.requests)) == (SUCCESS, 1)


async def test_errors_of_all_calls_are_merged(
    run_bulk: RunBulk, create_documents: CreateDocuments, kind: Kind
) -> None:
    """Existing records in the first and the last call are errors of one result."""
    given = create_documents(25)
    existing = [given[0], given[24]]
    await run_bulk("create", existing)

    result = await run_bulk("create", given)

    assert (ids_of(kind, result["errors"]), result["isSuccessful"]) == (
        ids_of(kind, existing),
        False,
    )
    assert {error["errorCode"] for error in result["errors"]} == {kind.exists}
    assert all(error["errorStatus"].endswith("already exists.") for error in result["errors"])


async def test_every_record_may_fail(
    run_bulk: RunBulk, create_documents: CreateDocuments, kind: Kind
) -> None:
    """An update of 25 records without etags returns 25 errors, in order."""
    given = create_documents(25)
    await run_bulk("create", given)

    result = await run_bulk("update", given)

    assert ids_of(kind, result["errors"]) == ids_of(kind, given)


async def test_failed_item_does_not_affect_others(
    run_bulk: RunBulk, create_documents: CreateDocuments, get_with_keys: GetRecord, kind: Kind
) -> None:
    """The other records of a call with a failed item are created."""
    given = create_documents(12)
    await run_bulk("create", given[10:11])

    result = await run_bulk("create", given)

    assert ids_of(kind, result["errors"]) == ids_of(kind, given[10:11])
    assert (await get_with_keys(given[11]))["attestation"] == given[11]["attestation"]


async def test_deletion_is_split(
    run_bulk: RunBulk, create_documents: CreateDocuments, stack: Stack
) -> None:
    """The deletion of 25 records is three calls."""
    given = create_documents(25)
    await run_bulk("create", given)

    result = await run_bulk("delete", given)

    assert (result, len(stack.dps.requests)) == (SUCCESS, 6)
    assert (await run_bulk("create", given)) == SUCCESS


@pytest.mark.parametrize("count", [1, 10])
async def test_duplicate_id_is_refused_with_both_pointers(
    app_client: httpx.AsyncClient,
    create_documents: CreateDocuments,
    stack: Stack,
    kind: Kind,
    count: int,
) -> None:
    """Ids are compared without regard to case, in operations of any size; nothing is sent."""
    given = create_documents(count)
    again = given[0] | {kind.id_member: given[0][kind.id_member].upper()}

    reply = await app_client.post(
        f"/{kind.path}", json={kind.path: [*given, again], "mode": "upsert"}
    )

    pointers = [f"/{kind.path}/{position}/{kind.id_member}" for position in (0, count)]
    assert (reply.status_code, list(reply.json()["info"])) == (400, pointers)
    assert stack.dps.requests == []


@pytest.mark.parametrize("count", [3, 12])
async def test_invalid_records_fail_alone_in_the_order_of_the_request(
    run_bulk: RunBulk, create_documents: CreateDocuments, kind: Kind, count: int
) -> None:
    """Records with faults, and records that DPS refuses, are merged in one result."""
    given = create_documents(count)
    await run_bulk("create", given[1:2])
    for position in (0, 2):
        given[position] = {kind.id_member: given[position][kind.id_member]}

    result = await run_bulk("create", given)

    assert ids_of(kind, result["errors"]) == ids_of(kind, given[:3])
    codes = [error["errorCode"] for error in result["errors"]]
    assert codes == [400004, kind.exists, 400004]


async def test_operation_without_a_valid_record_is_answered_200(
    run_bulk: RunBulk, stack: Stack, kind: Kind
) -> None:
    """A record whose id cannot be read is named by its pointer; DPS is not called."""
    result = await run_bulk("create", [{}, {kind.id_member: "x"}])

    assert result["isSuccessful"] is False
    assert list(result["errors"][0]["info"]) == [
        f"/{kind.path}/0/attestation",
        f"/{kind.path}/0/{kind.id_member}",
    ]
    assert [error.get(kind.id_member) for error in result["errors"]] == [None, "x"]
    assert stack.dps.requests == []


@pytest.mark.parametrize("mode", ["create", "upsert"])
async def test_validate_only_sends_nothing(
    app_client: httpx.AsyncClient,
    create_documents: CreateDocuments,
    stack: Stack,
    kind: Kind,
    mode: str,
) -> None:
    """The result has the faults, and a warning says that nothing was sent to DPS."""
    given = [*create_documents(12), {}]

    reply = await app_client.post(
        f"/{kind.path}", params={"validateOnly": "true"}, json={kind.path: given, "mode": mode}
    )

    assert (reply.status_code, len(reply.json()["errors"])) == (200, 1)
    assert "nothing was sent to DPS" in reply.headers["warning"]
    assert stack.dps.requests == []


@pytest.mark.parametrize("name", ["validateOnly", "validateonly"])
async def test_validate_only_must_be_true_or_false(
    app_client: httpx.AsyncClient, kind: Kind, name: str
) -> None:
    """A misspelled value does not run the operation, nor does a name in another case."""
    reply = await app_client.post(
        f"/{kind.path}", params={name: "yes"}, json={kind.path: [], "mode": "create"}
    )

    assert reply.json()["info"] == {"validateOnly": "must be true or false"}


async def test_upsert_creates_and_replaces(
    run_bulk: RunBulk, create_documents: CreateDocuments, get_with_keys: GetRecord
) -> None:
    """An upsert creates records that do not exist and replaces those that do."""
    given = create_documents(3)
    await run_bulk("create", given[:1])
    changed = [document | {"provisioningStatus": "disabled"} for document in given]

    result = await run_bulk("upsert", changed)

    assert result == SUCCESS
    assert {(await get_with_keys(document))["provisioningStatus"] for document in given} == {
        "disabled"
    }


async def test_upsert_keeps_keys_that_are_not_given(
    run_bulk: RunBulk, create_documents: CreateDocuments, get_with_keys: GetRecord
) -> None:
    """An upsert of a document without keys keeps those of the record."""
    (given,) = create_documents(1)
    await run_bulk("create", [given])

    result = await run_bulk("upsert", [given | {"attestation": {"type": "symmetricKey"}}])

    assert result == SUCCESS
    assert (await get_with_keys(given))["attestation"] == given["attestation"]


async def test_upsert_replaces_keys_that_are_given(
    run_bulk: RunBulk, create_documents: CreateDocuments, get_with_keys: GetRecord, kind: Kind
) -> None:
    """An upsert of a document with keys replaces those of the record."""
    (given,) = create_documents(1)
    await run_bulk("create", [given])
    other = kind.document(given[kind.id_member])

    await run_bulk("upsert", [other])

    assert (await get_with_keys(given))["attestation"] == other["attestation"]


async def test_upsert_reports_the_failed_item(
    run_bulk: RunBulk, create_documents: CreateDocuments, app_client: httpx.AsyncClient, kind: Kind
) -> None:
    """One of 25 records that cannot be written is the only error."""
    given = create_documents(25)
    given[13] |= {"allocationPolicy": "static", "iotHubs": ["not-linked.azure-devices.net"]}

    result = await run_bulk("upsert", given)

    assert ids_of(kind, result["errors"]) == ids_of(kind, given[13:14])
    assert result["errors"][0]["errorCode"] == 400004
    path = f"/{kind.path}/{given[14][kind.id_member]}"
    assert (await app_client.get(path)).status_code == 200
