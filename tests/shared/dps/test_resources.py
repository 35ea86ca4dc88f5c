"""The operations of the resources, each with all its parameters."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.dps.models import EnrollmentGroup, IndividualEnrollment
from shared.dps.resources import EnrollmentResource
from shared.errors import DpsConflictError, DpsNotFoundError, DpsPreconditionFailedError

MakeDocument = Callable[[str], dict[str, Any]]

SYMMETRIC = {"type": "symmetricKey"}
SELECT_ALL = {"query": "SELECT *"}


@pytest.fixture(params=["enrollments", "enrollment_groups"])
def resource(client: DpsClient, request: pytest.FixtureRequest) -> EnrollmentResource:
    """Individual enrollments, then enrollment groups."""
    resource: EnrollmentResource = getattr(client, request.param)
    return resource


@pytest.fixture
def document(resource: EnrollmentResource) -> MakeDocument:
    """Returns a document of `resource` with this id."""
    return lambda id: {resource.kind.id_member: id, "attestation": SYMMETRIC}


async def test_record_is_created_read_and_deleted(
    resource: EnrollmentResource, document: MakeDocument
) -> None:
    """A GET omits the keys that the PUT returned; after the delete it is a 404."""
    written = await resource.create_or_update("r-1", document("r-1"))
    read = await resource.get("r-1")
    await resource.delete("r-1")

    assert set(written["attestation"]["symmetricKey"]) == {"primaryKey", "secondaryKey"}
    assert read["attestation"] == SYMMETRIC
    with pytest.raises(DpsNotFoundError) as raised:
        await resource.get("r-1")
    assert raised.value.error_code in {404201, 404204}


async def test_update_needs_the_etag_of_the_record(
    resource: EnrollmentResource, document: MakeDocument
) -> None:
    """Without an etag an existing record is a conflict, with an old one a failed precondition."""
    first = await resource.create_or_update("r-1", document("r-1"))
    second = await resource.create_or_update("r-1", document("r-1"), if_match=first.etag)

    with pytest.raises(DpsConflictError):
        await resource.create_or_update("r-1", document("r-1"))
    with pytest.raises(DpsPreconditionFailedError):
        await resource.create_or_update("r-1", document("r-1"), if_match=first.etag)
    with pytest.raises(DpsPreconditionFailedError):
        await resource.delete("r-1", if_match=first.etag)
    await resource.create_or_update("r-1", document("r-1"), if_match="*")
    assert second.etag != first.etag


async def test_attestation_mechanism_has_the_keys(
    resource: EnrollmentResource, document: MakeDocument
) -> None:
    """The attestation mechanism has the keys that a GET omits."""
    written = await resource.create_or_update("r-1", document("r-1"))

    mechanism = await resource.get_attestation_mechanism("r-1")

    assert mechanism == written["attestation"]


async def test_query_is_iterated_by_page_and_by_record(
    resource: EnrollmentResource, document: MakeDocument
) -> None:
    """Pages have the requested size; the records of all pages are each yielded once."""
    operation = {"mode": "create", resource.kind.path: [document(f"r-{n}") for n in range(7)]}
    await resource.run_bulk_operation(operation)

    pages = [page async for page in resource.query(SELECT_ALL, top=3).by_page()]
    ids = [record[resource.kind.id_member] async for record in resource.query(SELECT_ALL, top=2)]

    assert [len(page.records) for page in pages] == [3, 3, 1]
    assert [bool(page.continuation) for page in pages] == [True, True, False]
    assert sorted(ids) == [f"r-{n}" for n in range(7)]


async def test_query_continues_from_a_continuation_token(
    resource: EnrollmentResource, document: MakeDocument
) -> None:
    """The continuation token of a page starts another query after that page."""
    operation = {"mode": "create", resource.kind.path: [document(f"r-{n}") for n in range(3)]}
    await resource.run_bulk_operation(operation)
    first = await resource.query(SELECT_ALL, top=2).page()

    second_page = [
        record.id
        async for record in resource.query(SELECT_ALL, top=2, continuation=first.continuation)
    ]

    assert len(second_page) == 1
    assert {*second_page, *(record.id for record in first.records)} == {"r-0", "r-1", "r-2"}
    assert first.item_type in {"Enrollment", "EnrollmentGroup"}


async def test_bulk_operation_returns_the_records_that_failed(
    resource: EnrollmentResource, document: MakeDocument
) -> None:
    """A bulk operation with failed records returns a result and raises nothing."""
    await resource.create_or_update("r-1", document("r-1"))
    operation = {"mode": "create", resource.kind.path: [document("r-0"), document("r-1")]}

    result = await resource.run_bulk_operation(operation)

    assert result["isSuccessful"] is False
    assert [error[resource.kind.id_member] for error in result["errors"]] == ["r-1"]


async def test_models_are_accepted_like_documents(client: DpsClient) -> None:
    """A model is sent as the document that it represents."""
    enrollment = IndividualEnrollment(registration_id="r-1", attestation=SYMMETRIC, device_id="d-1")
    group = EnrollmentGroup(enrollment_group_id="g-1", attestation=SYMMETRIC)

    written = await client.enrollments.create_or_update("r-1", enrollment)
    await client.enrollment_groups.create_or_update("g-1", group)

    assert written["deviceId"] == "d-1"
    assert (await client.enrollment_groups.get("g-1")).id == "g-1"


@pytest.fixture
def three_states(dps: DpsStandIn) -> None:
    """Registration states of three devices of the group `g-1`."""
    for number in range(3):
        state = {"registrationId": f"d-{number}", "enrollmentGroupId": "g-1"}
        httpx.post(f"{dps.url}/_registrations", json=state).raise_for_status()


@pytest.mark.usefixtures("three_states")
async def test_registration_states_are_read_queried_and_deleted(client: DpsClient) -> None:
    """The states of a group are read, queried in pages, and deleted by etag."""
    states = client.registration_states

    state = await states.get("d-1")
    pages = [len(page.records) async for page in states.query("g-1", top=2).by_page()]
    with pytest.raises(DpsPreconditionFailedError):
        await states.delete("d-1", if_match="AAAA")
    await states.delete("d-1", if_match=state.etag)

    assert state["status"] == "assigned"
    assert pages == [2, 1]
    with pytest.raises(DpsNotFoundError):
        await states.get("d-1")


async def test_unknown_members_are_kept(
    resource: EnrollmentResource, document: MakeDocument
) -> None:
    """Members unknown to the app, and twins with DPS's own names, are returned unchanged."""
    twin = {
        "tags": {"version": "v2", "count": 7, "metadata": {"a": [None, 1.5]}, "ä": "ö"},
        "properties": {"desired": {"additionalProperties": {}, "version": {"count": True}}},
    }
    preview = {"credentialPolicy": {"name": "x", "list": [1, "2", {"three": 3}]}}
    await resource.create_or_update("r-1", document("r-1") | {"initialTwin": twin, **preview})

    read = await resource.get("r-1")

    assert read["initialTwin"] == twin
    assert read["credentialPolicy"] == preview["credentialPolicy"]


async def test_client_can_be_used_concurrently(
    document: MakeDocument, resource: EnrollmentResource
) -> None:
    """Fifty concurrent writes all succeed."""
    ids = [f"r-{number}" for number in range(50)]

    await asyncio.gather(*(resource.create_or_update(id, document(id)) for id in ids))

    assert len([record async for record in resource.query(SELECT_ALL)]) == 50
