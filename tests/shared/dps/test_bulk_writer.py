"""The bulk writer: changes of single records become bulk calls, and each hears of its own."""

import asyncio

import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.dps.bulk_writer import Applied, BulkWriter
from shared.dps.models import ENROLLMENT_GROUP
from shared.errors import DpsConflictError, DpsNotFoundError, DpsPreconditionFailedError
from tests.shared.dps.bulk_records import enrollment, stored
from tests.shared.dps.changes import (
    CREATE,
    DELETE,
    UPDATE,
    UPSERT,
    change,
    creates,
    kinds,
    operations,
    outcomes,
    two_keys,
)
from tests.shared.dps.documents import group

FORMS = pytest.mark.parametrize("form", ["{}", '"{}"'], ids=["raw", "quoted"])


async def test_changes_that_come_together_share_calls(writer: BulkWriter, dps: DpsStandIn):
    """A thousand creates cost a hundred calls or little more."""
    became = await outcomes(writer, creates(1000))

    assert set(kinds(became)) == {Applied}
    assert operations(dps) == ["bulk"] * len(dps.requests)
    assert 100 <= len(dps.requests) <= 110


async def test_changes_that_come_one_by_one_share_calls(writer: BulkWriter, dps: DpsStandIn):
    """What comes within a few milliseconds goes together."""

    async def apply_later() -> Applied:
        await asyncio.sleep(0.001)
        return await writer.apply(change(CREATE, "d-1"))

    await asyncio.gather(apply_later(), writer.apply(change(CREATE, "d-0")))

    assert operations(dps) == ["bulk"]


async def test_changes_of_a_call_name_it(writer: BulkWriter):
    """The id of a call is the same for all its changes, and no other call's."""
    became = await outcomes(writer, creates(20))

    ids = [applied.call_id for applied in became]
    assert ids == [ids[0]] * 10 + [ids[10]] * 10
    assert ids[0] != ids[10]


async def test_creates_and_upserts_go_together(writer: BulkWriter, dps: DpsStandIn):
    """A record that is not there is made by the same bulk call, whichever of the two asks for it."""
    await outcomes(writer, [change(CREATE, "d-0"), change(UPSERT, "d-1")])

    assert operations(dps) == ["bulk"]


async def test_enrollments_and_groups_never_share_a_call(writer: BulkWriter, dps: DpsStandIn):
    """A change of either is applied in a call to its own collection."""
    of_group = change(CREATE, "g-1", kind=ENROLLMENT_GROUP, document=group(enrollmentGroupId="g-1"))

    became = await outcomes(writer, [change(CREATE, "d-1"), of_group])

    assert kinds(became) == [Applied, Applied]
    assert operations(dps) == ["bulk"]
    assert operations(dps, ENROLLMENT_GROUP) == ["bulk"]


async def test_only_the_change_that_failed_hears_of_it(writer: BulkWriter, client: DpsClient):
    """Of ten creates in a call the one whose record exists is a conflict, in DPS's words."""
    await client.enrollments.create_or_update("d-4", enrollment("d-4"))

    became = await outcomes(writer, creates(10))

    assert kinds(became) == [Applied] * 4 + [DpsConflictError] + [Applied] * 5
    assert str(became[4]) == "Enrollment already exists."
    assert became[4].error_code == 409201


async def test_upsert_replaces_what_exists(writer: BulkWriter, client: DpsClient, dps: DpsStandIn):
    """Those of a call that exist are replaced, with the keys they have; the outcome has the etag."""
    before = await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    changes = [change(UPSERT, f"d-{n}", members={"deviceId": f"new-{n}"}) for n in range(3)]

    became = await outcomes(writer, changes)

    after = await client.enrollments.get("d-1")
    mechanism = await client.enrollments.get_attestation_mechanism("d-1")
    assert (after["deviceId"], became[1].etag) == ("new-1", after.etag)
    assert mechanism == before["attestation"]
    assert [became[0].etag, became[2].etag] == [None, None]
    assert operations(dps)[1:5] == ["bulk", "get", "attestationMechanism", "put"]


async def test_upsert_of_a_record_deleted_meanwhile_creates_it(
    writer: BulkWriter, client: DpsClient, order_faults
):
    """A record that is gone between the two calls of an upsert is made anew."""
    exists = {"registrationId": "d-1", "errorCode": 409201, "errorStatus": "exists"}
    answer = {"isSuccessful": False, "errors": [exists]}
    order_faults({"match": {"path": "^/enrollments$"}, "do": {"status": 200, "body": answer}})

    applied = await writer.apply(change(UPSERT, "d-1"))

    assert applied.etag == (await client.enrollments.get("d-1")).etag


@pytest.mark.parametrize("if_match", [None, "*"])
async def test_update_without_etag_replaces(
    writer: BulkWriter, client: DpsClient, dps: DpsStandIn, order_faults, if_match
):
    """It is read and written by its etag, and again if the record changed meanwhile."""
    await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    order_faults({"match": {"method": "PUT"}, "times": 1, "do": {"status": 412}})
    asked = change(UPDATE, "d-1", if_match=if_match, members={"deviceId": "new"} | two_keys())

    applied = await writer.apply(asked)

    after = await client.enrollments.get("d-1")
    assert (after["deviceId"], after.etag) == ("new", applied.etag)
    assert [request.method for request in dps.requests][1:5] == ["GET", "PUT", "GET", "PUT"]


async def test_update_of_a_missing_record_is_not_found(writer: BulkWriter, dps: DpsStandIn):
    """An update makes no record."""
    with pytest.raises(DpsNotFoundError):
        await writer.apply(change(UPDATE, "d-1"))

    assert operations(dps) == ["get"]


@FORMS
async def test_updates_by_etag_go_in_bulk(
    writer: BulkWriter, client: DpsClient, dps: DpsStandIn, form: str
):
    """Updates that need no keys read are one call, with the etag in the item."""
    etags = [
        (await client.enrollments.create_or_update(f"d-{n}", enrollment(f"d-{n}"))).etag
        for n in range(3)
    ]
    members = {"deviceId": "new"} | two_keys()
    changes = [
        change(UPDATE, f"d-{n}", if_match=form.format(etag), members=members)
        for n, etag in enumerate(etags)
    ]

    became = await outcomes(writer, changes)

    assert kinds(became) == [Applied] * 3
    assert operations(dps)[3:] == ["bulk"]
    assert (await client.enrollments.get("d-2"))["deviceId"] == "new"


async def test_update_by_etag_keeps_keys_it_does_not_give(
    writer: BulkWriter, client: DpsClient, dps: DpsStandIn
):
    """Keys that would be lost in bulk are read and written back, by the etag that was given."""
    before = await client.enrollments.create_or_update("d-1", enrollment("d-1"))

    await writer.apply(change(UPDATE, "d-1", if_match=before.etag, members={"deviceId": "new"}))

    after = await client.enrollments.get_attestation_mechanism("d-1")
    assert after == before["attestation"]
    assert operations(dps)[1:4] == ["get", "attestationMechanism", "put"]


@pytest.mark.parametrize("gives_keys", [True, False], ids=["in bulk", "alone"])
@pytest.mark.parametrize("answer", ["dps", "exists"])
async def test_update_by_a_stale_etag_is_a_failed_precondition(
    writer: BulkWriter, client: DpsClient, order_faults, gives_keys: bool, answer: str
):
    """A record that changed stays as it is, and bulk's "already exists" is told as what it means."""
    before = await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    await client.enrollments.create_or_update("d-1", enrollment("d-1"), if_match="*")
    if answer == "exists":
        refuse_as_existing(order_faults)
    members = {"deviceId": "new"} | (two_keys() if gives_keys else {})

    with pytest.raises(DpsPreconditionFailedError):
        await writer.apply(change(UPDATE, "d-1", if_match=before.etag, members=members))

    assert "deviceId" not in await client.enrollments.get("d-1")


def refuse_as_existing(order_faults, **strikes: int) -> None:
    """Lets bulk calls answer that `d-1` exists, as DPS does for an item without etag."""
    error = {"registrationId": "d-1", "errorCode": 409201, "errorStatus": "already exists"}
    answer = {"status": 200, "body": {"errors": [error], "isSuccessful": False}}
    order_faults({"match": {"path": "^/enrollments$"}, "do": answer, **strikes})


@FORMS
async def test_update_by_the_etag_of_the_record_is_not_refused_by_bulk(
    writer: BulkWriter, client: DpsClient, order_faults, form: str
):
    """If bulk takes no etag, the update is written by itself."""
    before = await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    refuse_as_existing(order_faults)
    members = {"deviceId": "new"} | two_keys()
    if_match = form.format(before.etag)

    applied = await writer.apply(change(UPDATE, "d-1", if_match=if_match, members=members))

    after = await client.enrollments.get("d-1")
    assert (after["deviceId"], after.etag) == ("new", applied.etag)


async def test_update_by_etag_of_a_missing_record_is_not_found(writer: BulkWriter, order_faults):
    """Whatever bulk says of it, a record that is not there is told as missing."""
    refuse_as_existing(order_faults)

    with pytest.raises(DpsNotFoundError):
        await writer.apply(change(UPDATE, "d-1", if_match="YWJj", members=two_keys()))


async def test_deletes_go_in_bulk(writer: BulkWriter, client: DpsClient, dps: DpsStandIn):
    """Deletes without etags share a call; one whose record is missing is told so."""
    await outcomes(writer, creates(3))

    became = await outcomes(writer, [change(DELETE, f"D-{n}") for n in range(4)])

    assert kinds(became) == [Applied] * 3 + [DpsNotFoundError]
    assert operations(dps)[1:] == ["bulk"]
    assert await stored(client) == set()


async def test_delete_by_etag_is_a_call_of_its_own(
    writer: BulkWriter, client: DpsClient, dps: DpsStandIn
):
    """A record is deleted by its etag, and not by an older one."""
    before = await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    now = await client.enrollments.create_or_update("d-1", enrollment("d-1"), if_match="*")

    with pytest.raises(DpsPreconditionFailedError):
        await writer.apply(change(DELETE, "d-1", if_match=before.etag))
    await writer.apply(change(DELETE, "d-1", if_match=now.etag))

    assert operations(dps)[2:] == ["delete", "delete"]
    assert await stored(client) == set()
