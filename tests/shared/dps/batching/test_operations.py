"""Operations: how create, update, upsert and delete are applied, also if they are redelivered."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.dps.batching.items import ItemResult
from shared.dps.batching.writer import BatchWriter
from shared.dps.models import ENROLLMENT_GROUP
from shared.errors import (
    DpsConflictError,
    DpsFaultError,
    DpsNotFoundError,
    DpsPreconditionFailedError,
    OverwrittenError,
)
from tests.shared.dps.batching.changes import (
    BULK,
    CREATE,
    DELETE,
    UPDATE,
    UPSERT,
    Result,
    apply,
    apply_all,
    both_keys,
    change,
    creates,
    dps_operations,
    stored_ids,
    types_of,
)
from tests.shared.dps.documents import enrollment, group

# The stored records are older than this message.
ENQUEUED_LATER = {"is_redelivery": True, "enqueued_at": math.inf}
ETAG_FORMS = pytest.mark.parametrize("form", ["{}", '"{}"'], ids=["raw", "quoted"])


def report_as_existing(inject_faults: Callable[..., None]) -> None:
    """Makes bulk calls report that `d-1` exists, as DPS does for an item without an etag."""
    error = {"registrationId": "d-1", "errorCode": 409201, "errorStatus": "already exists"}
    answer = {"status": 200, "body": {"errors": [error], "isSuccessful": False}}
    inject_faults({"match": {"path": "^/enrollments$"}, "do": answer})


async def test_upsert_replaces_an_existing_record(
    writer: BatchWriter, client: DpsClient, dps: DpsStandIn
) -> None:
    """An existing record is replaced and keeps its keys; the result has the new etag."""
    before = await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    changes = [change(UPSERT, f"d-{n}", members={"deviceId": f"new-{n}"}) for n in range(3)]

    results = await asyncio.gather(*(apply(writer, each) for each in changes))

    after = await client.enrollments.get("d-1")
    mechanism = await client.enrollments.get_attestation_mechanism("d-1")
    assert (after["deviceId"], results[1].etag) == ("new-1", after.etag)
    assert mechanism == before["attestation"]
    assert [results[0].etag, results[2].etag] == [None, None]
    assert dps_operations(dps)[1:5] == ["bulk", "get", "attestationMechanism", "put"]


async def test_upsert_creates_a_record_that_was_deleted_meanwhile(
    writer: BatchWriter, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """A record that is deleted between the bulk create and the replacement is created."""
    exists = {"registrationId": "d-1", "errorCode": 409201, "errorStatus": "exists"}
    answer = {"isSuccessful": False, "errors": [exists]}
    inject_faults({"match": {"path": "^/enrollments$"}, "do": {"status": 200, "body": answer}})

    applied = await apply(writer, change(UPSERT, "d-1"))

    assert applied.etag == (await client.enrollments.get("d-1")).etag


@pytest.mark.parametrize("if_match", [None, "*"])
async def test_update_without_an_etag_replaces_the_record(
    writer: BatchWriter,
    client: DpsClient,
    dps: DpsStandIn,
    inject_faults: Callable[..., None],
    if_match: str | None,
) -> None:
    """The record is read and written with its etag, and again if it was changed meanwhile."""
    await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    inject_faults({"match": {"method": "PUT"}, "times": 1, "do": {"status": 412}})
    update = change(UPDATE, "d-1", if_match=if_match, members={"deviceId": "new"} | both_keys())

    applied = await apply(writer, update)

    after = await client.enrollments.get("d-1")
    assert (after["deviceId"], after.etag) == ("new", applied.etag)
    assert [request.method for request in dps.requests][1:5] == ["GET", "PUT", "GET", "PUT"]


async def test_update_does_not_create_a_record(writer: BatchWriter, dps: DpsStandIn) -> None:
    """An update of a missing record is a 404."""
    with pytest.raises(DpsNotFoundError):
        await apply(writer, change(UPDATE, "d-1"))

    assert dps_operations(dps) == ["get"]


@ETAG_FORMS
async def test_updates_with_etag_and_keys_share_a_bulk_call(
    writer: BatchWriter, client: DpsClient, dps: DpsStandIn, form: str
) -> None:
    """Updates that omit no keys are items of one call, each with its etag."""
    etags = [
        (await client.enrollments.create_or_update(f"d-{n}", enrollment(f"d-{n}"))).etag
        for n in range(3)
    ]
    members = {"deviceId": "new"} | both_keys()
    changes = [
        change(UPDATE, f"d-{n}", if_match=form.format(etag), members=members)
        for n, etag in enumerate(etags)
    ]

    results = await apply_all(writer, changes)

    assert types_of(results) == [ItemResult] * 3
    assert dps_operations(dps)[3:] == ["bulk"]
    assert (await client.enrollments.get("d-2"))["deviceId"] == "new"


async def test_update_with_an_etag_keeps_omitted_keys(
    writer: BatchWriter, client: DpsClient, dps: DpsStandIn
) -> None:
    """Omitted keys are read and written back, in an individual call with the etag."""
    before = await client.enrollments.create_or_update("d-1", enrollment("d-1"))

    await apply(writer, change(UPDATE, "d-1", if_match=before.etag, members={"deviceId": "new"}))

    after = await client.enrollments.get_attestation_mechanism("d-1")
    assert after == before["attestation"]
    assert dps_operations(dps)[1:4] == ["get", "attestationMechanism", "put"]


@pytest.mark.parametrize("has_keys", [True, False], ids=["in bulk", "individually"])
@pytest.mark.parametrize("answer", ["dps", "exists"])
async def test_update_with_an_outdated_etag_is_a_failed_precondition(
    writer: BatchWriter,
    client: DpsClient,
    inject_faults: Callable[..., None],
    has_keys: bool,
    answer: str,
) -> None:
    """The record stays unchanged, also if the bulk call reports that it already exists."""
    before = await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    await client.enrollments.create_or_update("d-1", enrollment("d-1"), if_match="*")
    if answer == "exists":
        report_as_existing(inject_faults)
    members = {"deviceId": "new"} | (both_keys() if has_keys else {})

    with pytest.raises(DpsPreconditionFailedError):
        await apply(writer, change(UPDATE, "d-1", if_match=before.etag, members=members))

    assert "deviceId" not in await client.enrollments.get("d-1")


@ETAG_FORMS
async def test_update_with_the_current_etag_is_applied_if_the_bulk_call_ignores_etags(
    writer: BatchWriter, client: DpsClient, inject_faults: Callable[..., None], form: str
) -> None:
    """If the bulk call reports that the record exists, the update is an individual call."""
    before = await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    report_as_existing(inject_faults)
    members = {"deviceId": "new"} | both_keys()
    if_match = form.format(before.etag)

    applied = await apply(writer, change(UPDATE, "d-1", if_match=if_match, members=members))

    after = await client.enrollments.get("d-1")
    assert (after["deviceId"], after.etag) == ("new", applied.etag)


async def test_update_with_an_etag_of_a_missing_record_is_not_found(
    writer: BatchWriter, inject_faults: Callable[..., None]
) -> None:
    """Whatever the bulk call reports, a missing record is a 404."""
    report_as_existing(inject_faults)

    with pytest.raises(DpsNotFoundError):
        await apply(writer, change(UPDATE, "d-1", if_match="YWJj", members=both_keys()))


async def test_deletes_share_a_bulk_call(
    writer: BatchWriter, client: DpsClient, dps: DpsStandIn
) -> None:
    """Deletes without etags share a call; that of a missing record is a 404."""
    await apply_all(writer, creates(3))

    results = await apply_all(writer, [change(DELETE, f"D-{n}") for n in range(4)])

    assert types_of(results) == [ItemResult] * 3 + [DpsNotFoundError]
    assert dps_operations(dps)[1:] == ["bulk"]
    assert await stored_ids(client) == set()


async def test_delete_with_an_etag_is_an_individual_call(
    writer: BatchWriter, client: DpsClient, dps: DpsStandIn
) -> None:
    """Only the current etag deletes the record."""
    before = await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    now = await client.enrollments.create_or_update("d-1", enrollment("d-1"), if_match="*")

    with pytest.raises(DpsPreconditionFailedError):
        await apply(writer, change(DELETE, "d-1", if_match=before.etag))
    await apply(writer, change(DELETE, "d-1", if_match=now.etag))

    assert dps_operations(dps)[2:] == ["delete", "delete"]
    assert await stored_ids(client) == set()


@pytest.mark.parametrize(
    ("redelivery", "stored_members", "outcome"),
    [
        ({"is_redelivery": True}, {}, ItemResult),
        ({"is_redelivery": True}, {"deviceId": "different"}, OverwrittenError),
        (ENQUEUED_LATER, {"deviceId": "different"}, DpsConflictError),
        ({}, {}, DpsConflictError),
    ],
    ids=["redelivery", "different record", "older record", "first delivery"],
)
async def test_redelivered_create_succeeds_if_the_record_matches(
    writer: BatchWriter,
    client: DpsClient,
    redelivery: dict[str, Any],
    stored_members: dict[str, Any],
    outcome: type[Result],
) -> None:
    """
    A matching record is the effect of the earlier delivery.

    Any other may have replaced it, unless it was created before the message was enqueued.
    """
    await client.enrollments.create_or_update("d-1", enrollment("d-1", **stored_members))

    results = await apply_all(writer, [change(CREATE, "d-1", **redelivery)])

    assert types_of(results) == [outcome]


@pytest.mark.parametrize("in_bulk", [True, False], ids=["in bulk", "individually"])
@pytest.mark.parametrize(
    ("redelivery", "device_id", "outcome"),
    [
        ({"is_redelivery": True}, "requested", ItemResult),
        ({"is_redelivery": True}, "different", OverwrittenError),
        (ENQUEUED_LATER, "different", DpsPreconditionFailedError),
        ({}, "requested", DpsPreconditionFailedError),
    ],
    ids=["redelivery", "different record", "older record", "first delivery"],
)
async def test_redelivered_update_succeeds_if_the_record_matches(
    writer: BatchWriter,
    client: DpsClient,
    *,
    in_bulk: bool,
    redelivery: dict[str, Any],
    device_id: str,
    outcome: type[Result],
) -> None:
    """A matching record with a newer etag is the effect of the earlier delivery."""
    members = both_keys() if in_bulk else {}
    old = await client.enrollments.create_or_update("d-1", enrollment("d-1", **members))
    requested = enrollment("d-1", deviceId="requested", **members)
    await client.enrollments.create_or_update("d-1", requested, if_match=old.etag)
    update = change(
        UPDATE,
        "d-1",
        if_match=old.etag,
        members={"deviceId": device_id} | members,
        **redelivery,
    )

    results = await apply_all(writer, [update])

    assert types_of(results) == [outcome]


async def test_redelivered_update_reported_as_existing_succeeds_if_the_record_matches(
    writer: BatchWriter, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """The record is also compared if the bulk call reports an outdated etag as existing."""
    members = both_keys()
    old = await client.enrollments.create_or_update("d-1", enrollment("d-1", **members))
    await client.enrollments.create_or_update("d-1", enrollment("d-1", **members), if_match="*")
    error = {"registrationId": "d-1", "errorCode": 409201, "errorStatus": "exists"}
    answer = {"status": 200, "body": {"errors": [error], "isSuccessful": False}}
    inject_faults({"match": BULK, "do": answer})

    applied = await apply(
        writer, change(UPDATE, "d-1", if_match=old.etag, is_redelivery=True, members=members)
    )

    assert applied.etag == (await client.enrollments.get("d-1")).etag


@pytest.mark.parametrize("if_match", [None, "YWJj"], ids=["in bulk", "individually"])
@pytest.mark.parametrize(
    ("is_redelivery", "outcome"), [(True, ItemResult), (False, DpsNotFoundError)]
)
async def test_redelivered_delete_of_a_missing_record_succeeds(
    writer: BatchWriter, is_redelivery: bool, outcome: type[Result], if_match: str | None
) -> None:
    """A missing record is the effect of the earlier delivery."""
    delete = change(DELETE, "d-1", is_redelivery=is_redelivery, if_match=if_match)

    assert types_of(await apply_all(writer, [delete])) == [outcome]


@pytest.mark.parametrize(
    ("redelivery", "outcome"),
    [
        ({"is_redelivery": True}, OverwrittenError),
        (ENQUEUED_LATER, DpsPreconditionFailedError),
        ({}, DpsPreconditionFailedError),
    ],
    ids=["newer record", "older record", "first delivery"],
)
async def test_redelivered_delete_with_an_outdated_etag(
    writer: BatchWriter, client: DpsClient, redelivery: dict[str, Any], outcome: type[Result]
) -> None:
    """A record that was created since may have followed the one that was deleted."""
    old = await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    await client.enrollments.create_or_update("d-1", enrollment("d-1"), if_match=old.etag)
    delete = change(DELETE, "d-1", if_match=old.etag, **redelivery)

    results = await apply_all(writer, [delete])

    assert types_of(results) == [outcome]
    assert await stored_ids(client) == {"d-1"}


async def test_redelivered_bulk_delete_fails_if_the_call_is_a_404(
    writer: BatchWriter, inject_faults: Callable[..., None]
) -> None:
    """A 404 for a whole bulk call says nothing about its records."""
    inject_faults({"match": BULK, "do": {"status": 404}})

    results = await apply_all(writer, [change(DELETE, "d-1", is_redelivery=True)])

    assert types_of(results) == [DpsFaultError]


async def test_redelivered_delete_fails_if_the_404_is_not_from_dps(
    client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """A 404 of another web server does not mean that the record is missing."""
    writer = BatchWriter(client.enrollments, min_call_seconds=0.5)
    await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    inject_faults({"do": {"status": 404, "html": True}})

    results = await apply_all(
        writer, [change(DELETE, "d-1", is_redelivery=True, if_match="YWJj", seconds=0.5)]
    )
    await writer.aclose(timeout=0)

    assert types_of(results) == [DpsFaultError]


async def test_redelivered_create_of_a_group_succeeds_if_it_matches(
    writer: BatchWriter, client: DpsClient
) -> None:
    """Groups are compared like individual enrollments."""
    document = group(enrollmentGroupId="g-1")
    await client.enrollment_groups.create_or_update("g-1", document)

    applied = await apply(
        writer, change(CREATE, "g-1", kind=ENROLLMENT_GROUP, document=document, is_redelivery=True)
    )

    assert applied.etag == (await client.enrollment_groups.get("g-1")).etag
