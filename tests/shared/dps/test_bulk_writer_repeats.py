"""Changes that may have been done before: what an earlier attempt did is no conflict."""

import pytest

from shared.dps import DpsClient
from shared.dps.bulk_writer import Applied, BulkWriter
from shared.dps.models import ENROLLMENT_GROUP
from shared.errors import (
    DpsConflictError,
    DpsFaultError,
    DpsNotFoundError,
    DpsPreconditionFailedError,
)
from tests.shared.dps.bulk_records import BULK, enrollment
from tests.shared.dps.changes import (
    CREATE,
    DELETE,
    UPDATE,
    change,
    kinds,
    outcomes,
    two_keys,
)
from tests.shared.dps.documents import group


@pytest.mark.parametrize(
    ("is_repeated", "there", "outcome"),
    [
        (True, {}, Applied),
        (True, {"deviceId": "theirs"}, DpsConflictError),
        (False, {}, DpsConflictError),
    ],
    ids=["repeated", "another record", "not repeated"],
)
async def test_repeated_create_of_its_own_record_is_a_success(
    writer: BulkWriter, client: DpsClient, is_repeated: bool, there, outcome
):
    """A record as asked is an earlier attempt's, if there was one; any other is a conflict."""
    await client.enrollments.create_or_update("d-1", enrollment("d-1", **there))

    became = await outcomes(writer, [change(CREATE, "d-1", is_repeated=is_repeated)])

    assert kinds(became) == [outcome]


@pytest.mark.parametrize("in_bulk", [True, False], ids=["in bulk", "alone"])
@pytest.mark.parametrize(
    ("is_repeated", "asked", "outcome"),
    [
        (True, "ours", Applied),
        (True, "others", DpsPreconditionFailedError),
        (False, "ours", DpsPreconditionFailedError),
    ],
    ids=["repeated", "another record", "not repeated"],
)
async def test_repeated_update_that_was_done_is_a_success(
    writer: BulkWriter, client: DpsClient, *, in_bulk: bool, is_repeated: bool, asked: str, outcome
):
    """A record with a newer etag and as asked is an earlier attempt's, if there was one."""
    members = two_keys() if in_bulk else {}
    old = await client.enrollments.create_or_update("d-1", enrollment("d-1", **members))
    ours = enrollment("d-1", deviceId="ours", **members)
    await client.enrollments.create_or_update("d-1", ours, if_match=old.etag)
    update = change(
        UPDATE,
        "d-1",
        if_match=old.etag,
        is_repeated=is_repeated,
        members={"deviceId": asked} | members,
    )

    became = await outcomes(writer, [update])

    assert kinds(became) == [outcome]


async def test_repeated_update_that_bulk_calls_existing_is_a_success(
    writer: BulkWriter, client: DpsClient, order_faults
):
    """DPS's other word for a stale etag in bulk is compared with the record too."""
    members = two_keys()
    old = await client.enrollments.create_or_update("d-1", enrollment("d-1", **members))
    await client.enrollments.create_or_update("d-1", enrollment("d-1", **members), if_match="*")
    error = {"registrationId": "d-1", "errorCode": 409201, "errorStatus": "exists"}
    answer = {"status": 200, "body": {"errors": [error], "isSuccessful": False}}
    order_faults({"match": BULK, "do": answer})

    applied = await writer.apply(
        change(UPDATE, "d-1", if_match=old.etag, is_repeated=True, members=members)
    )

    assert applied.etag == (await client.enrollments.get("d-1")).etag


@pytest.mark.parametrize("if_match", [None, "YWJj"], ids=["in bulk", "alone"])
@pytest.mark.parametrize(("is_repeated", "outcome"), [(True, Applied), (False, DpsNotFoundError)])
async def test_repeated_delete_of_a_missing_record_is_a_success(
    writer: BulkWriter, is_repeated: bool, outcome, if_match
):
    """A record that is not there was deleted by an earlier attempt, if there was one."""
    delete = change(DELETE, "d-1", is_repeated=is_repeated, if_match=if_match)

    assert kinds(await outcomes(writer, [delete])) == [outcome]


async def test_repeated_deletes_where_there_is_no_dps_are_not_done(
    writer: BulkWriter, order_faults
):
    """A call that finds nothing to answer it says nothing of records, however often it is repeated."""
    order_faults({"match": BULK, "do": {"status": 404}})

    became = await outcomes(writer, [change(DELETE, "d-1", is_repeated=True)])

    assert kinds(became) == [DpsFaultError]


async def test_repeated_delete_is_not_done_because_something_else_answers(
    writer: BulkWriter, client: DpsClient, order_faults
):
    """A web site at DPS's address, or before it, knows no path: that says nothing of the record."""
    await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    order_faults({"do": {"status": 404, "html": True}})

    became = await outcomes(
        writer, [change(DELETE, "d-1", is_repeated=True, if_match="YWJj", within=0.5)]
    )

    assert kinds(became) == [DpsFaultError]


async def test_groups_are_settled_as_enrollments_are(writer: BulkWriter, client: DpsClient):
    """A repeated create of a group that is there as asked is a success."""
    document = group(enrollmentGroupId="g-1")
    await client.enrollment_groups.create_or_update("g-1", document)

    applied = await writer.apply(
        change(CREATE, "g-1", kind=ENROLLMENT_GROUP, document=document, is_repeated=True)
    )

    assert applied.etag == (await client.enrollment_groups.get("g-1")).etag
