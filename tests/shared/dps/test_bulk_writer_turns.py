"""The bulk writer and the quota of DPS: it waits for turns, and no longer than its changes do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from local.dps import DpsStandIn
from shared.dps import CallContext, DpsClient
from shared.dps.bulk_writer import Applied, BulkWriter
from shared.errors import NotAttemptedError, PacedOutError
from shared.settings import Settings
from tests.shared.dps.bulk_records import BULK, stored
from tests.shared.dps.changes import (
    CREATE,
    DELETE,
    UPDATE,
    change,
    creates,
    kinds,
    operations,
    outcomes,
    release,
    until,
)


async def paced_client(dps: DpsStandIn, *, per_minute: int) -> DpsClient:
    """A client whose first turns are spent, so that the next comes after a minute's so many-th."""
    client = DpsClient(
        Settings.read(
            {
                "DPS_CONNECTION_STRING": dps.connection_string,
                "DPS_OPERATIONS_PER_MINUTE": str(per_minute),
                "DPS_PACING_START": str(per_minute),
            }
        )
    )
    loop = asyncio.get_running_loop()
    with suppress(PacedOutError):
        while True:
            await client.enrollments.admitted(CallContext(deadline=loop.time() + 0.05))
    return client


@pytest.fixture
async def brisk(dps: DpsStandIn) -> AsyncIterator[DpsClient]:
    """A client that has a turn every fifth of a second."""
    async with await paced_client(dps, per_minute=300) as client:
        yield client


@pytest.fixture
async def spent(dps: DpsStandIn) -> AsyncIterator[DpsClient]:
    """A client that has no turn for a minute."""
    async with await paced_client(dps, per_minute=1) as client:
        yield client


async def test_call_is_filled_when_its_turn_comes(brisk: DpsClient, dps: DpsStandIn):
    """What comes while a call waits for its turn goes with it."""
    writer = BulkWriter(brisk)
    first = asyncio.ensure_future(writer.apply(change(CREATE, "first")))
    await until(lambda: brisk.pacing.waiting == 1)

    became = await outcomes(writer, creates(9))
    await first

    assert kinds(became) == [Applied] * 9
    assert operations(dps) == ["bulk"]


async def test_one_call_at_a_time_waits_for_its_turn(brisk: DpsClient, dps: DpsStandIn):
    """However many changes wait, others who call DPS find one call of them before theirs."""
    writer = BulkWriter(brisk)
    many = asyncio.ensure_future(outcomes(writer, creates(50)))
    await until(lambda: brisk.pacing.waiting == 1)

    await brisk.enrollments.query({"query": "SELECT *"}).page()

    assert kinds(await many) == [Applied] * 50
    assert operations(dps).index("query") <= 2


async def test_change_whose_turn_comes_too_late_is_paced_out(spent: DpsClient, dps: DpsStandIn):
    """It ends as soon as that is known, is told when to come again, and was not sent."""
    writer = BulkWriter(spent)

    (became,) = await outcomes(writer, [change(CREATE, "d-1", within=20)])

    assert isinstance(became, PacedOutError)
    assert became.retry_after > 20
    assert dps.requests == []


async def test_change_that_waits_too_long_is_paced_out(spent: DpsClient):
    """While a call waits for those that have time, one that has none leaves."""
    writer = BulkWriter(spent)
    patient = asyncio.ensure_future(writer.apply(change(CREATE, "patient", within=600)))
    await until(lambda: spent.pacing.waiting == 1)

    async with asyncio.timeout(15):
        (became,) = await outcomes(writer, [change(CREATE, "d-1", within=0.05)])

    assert isinstance(became, PacedOutError)
    assert became.retry_after
    assert not patient.done()
    await writer.aclose()
    await asyncio.gather(patient, return_exceptions=True)


async def test_pause_ends_only_what_has_no_time_for_it(dps: DpsStandIn, order_faults):
    """When DPS pauses everybody for longer than some changes have, the others go on waiting."""
    pause = {"status": 429, "headers": {"Retry-After": "90"}}
    order_faults({"match": {"method": "GET"}, "do": pause})
    async with await paced_client(dps, per_minute=60) as client:
        writer = BulkWriter(client)
        throttled = asyncio.ensure_future(client.enrollments.get("d-1"))
        await until(lambda: client.pacing.waiting == 1)
        hasty = asyncio.ensure_future(writer.apply(change(CREATE, "hasty", within=10)))
        await until(lambda: client.pacing.waiting == 2)
        patient = asyncio.ensure_future(writer.apply(change(CREATE, "patient", within=600)))

        with pytest.raises(PacedOutError):
            await hasty

        assert not patient.done()
        await writer.aclose()
        await asyncio.gather(throttled, patient, return_exceptions=True)


async def test_close_does_not_wait_for_a_turn(spent: DpsClient):
    """A turn that nobody needs any more holds nobody up."""
    writer = BulkWriter(spent)
    waiting = asyncio.ensure_future(outcomes(writer, creates(2, within=600)))
    await until(lambda: spent.pacing.waiting == 1)

    async with asyncio.timeout(15):
        await writer.aclose(within=600)

    assert kinds(await waiting) == [NotAttemptedError] * 2
    assert spent.pacing.waiting == 0


async def test_change_past_its_deadline_is_not_sent(writer: BulkWriter, client: DpsClient):
    """It ends by itself; the others of its call go."""
    changes = [change(CREATE, "late", within=-1), change(CREATE, "d-1")]

    became = await outcomes(writer, changes)

    assert kinds(became) == [PacedOutError, Applied]
    assert await stored(client) == {"d-1"}


async def test_change_behind_a_slow_one_keeps_its_deadline(
    writer: BulkWriter, dps: DpsStandIn, order_faults
):
    """A change that waits for an earlier one of its record ends when its time is over."""
    order_faults({"match": BULK, "times": 1, "do": {"stall": True}})
    slow = asyncio.ensure_future(writer.apply(change(CREATE, "d-1")))
    await until(lambda: len(dps.requests) == 1)

    became = await outcomes(writer, [change(DELETE, "d-1", within=0.05)])

    assert kinds(became) == [PacedOutError]
    assert not slow.done()
    release(dps)
    assert isinstance(await slow, Applied)


async def test_call_under_way_outlives_the_deadline(
    writer: BulkWriter, dps: DpsStandIn, order_faults
):
    """A call that began in time has time to end: its changes hear what became of them."""
    order_faults({"match": BULK, "times": 1, "do": {"stall": True}})
    changes = creates(2, within=0.5)
    became = asyncio.ensure_future(outcomes(writer, changes))
    await until(lambda: len(dps.requests) == 1)

    await until(lambda: asyncio.get_running_loop().time() > changes[-1].deadline)
    release(dps)

    assert kinds(await became) == [Applied] * 2


async def test_rest_of_a_change_is_not_begun_after_its_deadline(
    writer: BulkWriter, client: DpsClient, dps: DpsStandIn, order_faults
):
    """Halves of a refused call are sent in time or not at all."""
    order_faults({"match": BULK, "times": 1, "do": {"status": 400, "delayMs": 800}})
    changes = [change(CREATE, "d-0", within=0.5), change(CREATE, "d-1")]

    became = await outcomes(writer, changes)

    assert kinds(became) == [PacedOutError, Applied]
    assert len(dps.requests) == 2
    assert await stored(client) == {"d-1"}


@pytest.mark.parametrize(
    ("operation", "number", "calls"), [(CREATE, 400, 32), (UPDATE, 20, 8)], ids=["bulk", "alone"]
)
async def test_calls_under_way_are_bounded(
    writer: BulkWriter,
    client: DpsClient,
    dps: DpsStandIn,
    order_faults,
    *,
    operation,
    number,
    calls,
):
    """However much waits, so many calls are made at once."""
    path = "^/enrollments(/d-.*)?$"
    order_faults({"match": {"path": path}, "times": calls, "do": {"stall": True}})
    changes = [change(operation, f"d-{n}") for n in range(number)]
    became = asyncio.ensure_future(outcomes(writer, changes))
    await until(lambda: len(dps.requests) == calls)

    await client.enrollments.query({"query": "SELECT *"}).page()

    assert operations(dps) == ["query"]
    assert len(dps.requests) == calls + 1
    release(dps)
    await became
