"""The bulk writer applies changes of one record in the order in which they came."""

import asyncio

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.dps.bulk_writer import Applied, BulkWriter
from shared.dps.changes import Series
from shared.errors import DpsBadRequestError, DpsConflictError, DpsNotFoundError
from tests.shared.dps.bulk_records import BULK
from tests.shared.dps.changes import (
    CREATE,
    DELETE,
    UPDATE,
    UPSERT,
    change,
    kinds,
    operations,
    outcomes,
    release,
    until,
)


async def test_ids_that_differ_in_case_never_share_a_call(writer: BulkWriter, dps: DpsStandIn):
    """Ten changes of one id, in any case, are ten calls; DPS would refuse a call with two of them."""
    ids = ["dev-a", "DEV-A", "Dev-A"]

    became = await outcomes(writer, [change(CREATE, id) for id in ids])

    assert kinds(became) == [Applied, DpsConflictError, DpsConflictError]
    assert operations(dps) == ["bulk"] * 3


async def test_changes_of_one_id_are_applied_in_their_order(writer: BulkWriter, client: DpsClient):
    """Whatever the operations, the later one finds what the earlier one left."""
    changes = [
        change(CREATE, "d-1"),
        change(UPDATE, "d-1", members={"deviceId": "first"}),
        change(DELETE, "D-1"),
        change(UPSERT, "d-1"),
        change(UPSERT, "d-1", members={"deviceId": "last"}),
    ]

    became = await outcomes(writer, changes)

    assert kinds(became) == [Applied] * 5
    assert (await client.enrollments.get("d-1"))["deviceId"] == "last"


async def test_other_ids_do_not_wait_for_a_slow_one(
    writer: BulkWriter, dps: DpsStandIn, order_faults
):
    """While an earlier change of an id has no outcome, a later one waits and others are applied."""
    order_faults({"match": BULK, "times": 1, "do": {"stall": True}})
    slow = asyncio.ensure_future(writer.apply(change(CREATE, "d-1")))
    await until(lambda: len(dps.requests) == 1)

    later = asyncio.ensure_future(writer.apply(change(DELETE, "d-1")))
    others = await outcomes(writer, [change(CREATE, "d-2"), change(DELETE, "d-3")])

    assert kinds(others) == [Applied, DpsNotFoundError]
    assert not later.done()
    release(dps)
    assert kinds(await asyncio.gather(slow, later)) == [Applied, Applied]


async def test_series_ends_with_what_is_tried_again(writer: BulkWriter, order_faults):
    """What comes after it in the series is not tried; what others ask of the record is."""
    order_faults({"match": BULK, "times": 1, "do": {"status": 400}})
    series = Series(lambda error: isinstance(error, DpsBadRequestError))
    mine = [change(operation, "d-1", series=series) for operation in (CREATE, UPDATE, DELETE)]

    became = await outcomes(writer, [mine[0], change(UPSERT, "D-1"), *mine[1:]])

    assert kinds(became) == [
        DpsBadRequestError,
        Applied,
        DpsBadRequestError,
        DpsBadRequestError,
    ]


async def test_series_goes_on_after_what_is_not_tried_again(writer: BulkWriter):
    """As changes that belong to none."""
    series = Series(lambda error: not isinstance(error, DpsNotFoundError))
    changes = [change(operation, "d-1", series=series) for operation in (UPDATE, CREATE, DELETE)]

    became = await outcomes(writer, changes)

    assert kinds(became) == [DpsNotFoundError, Applied, Applied]


async def test_change_waits_for_the_call_of_a_cancelled_caller(
    writer: BulkWriter, dps: DpsStandIn, order_faults
):
    """That nobody waits for a call under way any more does not let a later change pass it."""
    order_faults({"match": BULK, "times": 1, "do": {"stall": True}})
    earlier = asyncio.ensure_future(writer.apply(change(CREATE, "d-1")))
    await until(lambda: len(dps.requests) == 1)
    earlier.cancel()

    later = asyncio.ensure_future(writer.apply(change(DELETE, "d-1")))
    await outcomes(writer, [change(DELETE, "d-2")])

    assert not later.done()
    release(dps)
    assert isinstance(await later, Applied)
