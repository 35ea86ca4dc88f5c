"""The client's fifteen operations, with every parameter they take."""

import asyncio

import httpx
import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.dps.models import EnrollmentGroup, IndividualEnrollment
from shared.errors import DpsConflictError, DpsNotFoundError, DpsPreconditionFailedError

SYMMETRIC = {"type": "symmetricKey"}
ALL = {"query": "SELECT *"}


@pytest.fixture(params=["enrollments", "enrollment_groups"])
def resource(client: DpsClient, request):
    """Individual enrollments and groups in turn: they have the same six verbs."""
    return getattr(client, request.param)


@pytest.fixture
def document(resource):
    """Makes a record of the resource."""
    return lambda id: {resource.kind.id_member: id, "attestation": SYMMETRIC}


async def test_record_is_created_read_and_deleted(resource, document):
    """What was written can be read without its keys, and is gone once deleted."""
    written = await resource.create_or_update("r-1", document("r-1"))
    read = await resource.get("r-1")
    await resource.delete("r-1")

    assert set(written["attestation"]["symmetricKey"]) == {"primaryKey", "secondaryKey"}
    assert read["attestation"] == SYMMETRIC
    with pytest.raises(DpsNotFoundError) as raised:
        await resource.get("r-1")
    assert raised.value.error_code in {404201, 404204}


async def test_update_needs_the_records_etag(resource, document):
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


async def test_attestation_mechanism_has_the_keys(resource, document):
    """The keys a GET does not show are those that were given when the record was written."""
    written = await resource.create_or_update("r-1", document("r-1"))

    mechanism = await resource.get_attestation_mechanism("r-1")

    assert mechanism == written["attestation"]


async def test_query_is_walked_by_page_and_by_record(resource, document):
    """A query gives pages of the size asked for, and over them every record once."""
    operation = {"mode": "create", resource.kind.path: [document(f"r-{n}") for n in range(7)]}
    await resource.run_bulk_operation(operation)

    pages = [page async for page in resource.query(ALL, top=3).by_page()]
    records = [record.id async for record in resource.query(ALL, top=2)]

    assert [len(page.records) for page in pages] == [3, 3, 1]
    assert [bool(page.continuation) for page in pages] == [True, True, False]
    assert sorted(records) == [f"r-{n}" for n in range(7)]


async def test_query_goes_on_from_a_continuation(resource, document):
    """The continuation of one page is the start of another query."""
    operation = {"mode": "create", resource.kind.path: [document(f"r-{n}") for n in range(3)]}
    await resource.run_bulk_operation(operation)
    first = await resource.query(ALL, top=2).page()

    rest = [
        record.id async for record in resource.query(ALL, top=2, continuation=first.continuation)
    ]

    assert len(rest) == 1
    assert {*rest, *(record.id for record in first.records)} == {"r-0", "r-1", "r-2"}
    assert first.item_type in {"Enrollment", "EnrollmentGroup"}


async def test_bulk_operation_names_the_records_that_failed(resource, document):
    """A bulk operation is an answer even if records failed."""
    await resource.create_or_update("r-1", document("r-1"))
    operation = {"mode": "create", resource.kind.path: [document("r-0"), document("r-1")]}

    result = await resource.run_bulk_operation(operation)

    assert result["isSuccessful"] is False
    assert [error[resource.kind.id_member] for error in result["errors"]] == ["r-1"]


async def test_models_are_taken_like_documents(client: DpsClient):
    """A record written as a model arrives as the document it stands for."""
    enrollment = IndividualEnrollment(registration_id="r-1", attestation=SYMMETRIC, device_id="d-1")
    group = EnrollmentGroup(enrollment_group_id="g-1", attestation=SYMMETRIC)

    written = await client.enrollments.create_or_update("r-1", enrollment)
    await client.enrollment_groups.create_or_update("g-1", group)

    assert written["deviceId"] == "d-1"
    assert (await client.enrollment_groups.get("g-1")).id == "g-1"


@pytest.fixture
def three_states(dps: DpsStandIn) -> None:
    """The registration states of three devices of group `g-1`."""
    for number in range(3):
        state = {"registrationId": f"d-{number}", "enrollmentGroupId": "g-1"}
        httpx.post(f"{dps.url}/_registrations", json=state).raise_for_status()


@pytest.mark.usefixtures("three_states")
async def test_registration_states_are_read_queried_and_deleted(client: DpsClient):
    """The three verbs on registration states: get, query of a group with pages, delete by etag."""
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


async def test_every_member_survives_as_it_is(resource, document):
    """Twins with members of the service's own names, and members nobody knows, come back whole."""
    twin = {
        "tags": {"version": "v2", "count": 7, "metadata": {"a": [None, 1.5]}, "ä": "ö"},
        "properties": {"desired": {"additionalProperties": {}, "version": {"count": True}}},
    }
    preview = {"credentialPolicy": {"name": "x", "list": [1, "2", {"three": 3}]}}
    await resource.create_or_update("r-1", document("r-1") | {"initialTwin": twin, **preview})

    read = await resource.get("r-1")

    assert read["initialTwin"] == twin
    assert read["credentialPolicy"] == preview["credentialPolicy"]


async def test_client_serves_many_calls_at_once(document, resource):
    """Concurrent calls do not get in each other's way."""
    ids = [f"r-{number}" for number in range(50)]

    await asyncio.gather(*(resource.create_or_update(id, document(id)) for id in ids))

    assert len([record async for record in resource.query(ALL)]) == 50
