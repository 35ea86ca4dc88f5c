"""The bulk writer's callers and its end: who leaves, who is told what, and what is left over."""

import asyncio
import logging
from contextvars import ContextVar

import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.dps.bulk_writer import Applied, BulkWriter
from shared.errors import NotAttemptedError, OutcomeUnknownError
from tests.shared.dps.bulk_records import BULK, stored
from tests.shared.dps.changes import (
    CREATE,
    UPSERT,
    change,
    creates,
    kinds,
    outcomes,
    release,
    until,
)

INVOCATION = ContextVar("INVOCATION", default="none")
TRANSPORT = "shared.dps.transport"


@pytest.fixture
def stall(order_faults):
    """Holds the next bulk call back, until `release`."""
    return lambda: order_faults({"match": BULK, "times": 1, "do": {"stall": True}})


async def test_change_of_a_cancelled_caller_is_not_sent(writer: BulkWriter, client: DpsClient):
    """What no call has taken goes with its caller; the others are applied."""
    tasks = [asyncio.ensure_future(writer.apply(change)) for change in creates(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()

    became = await asyncio.gather(*tasks, return_exceptions=True)

    assert kinds(became) == [Applied, asyncio.CancelledError, Applied]
    assert await stored(client) == {"d-0", "d-2"}


async def test_cancelled_caller_makes_way_for_the_next_of_its_record(writer: BulkWriter):
    """A later change of the same record does not wait for one that left."""
    first = asyncio.ensure_future(writer.apply(change(CREATE, "d-1")))
    second = asyncio.ensure_future(writer.apply(change(CREATE, "d-1")))
    await asyncio.sleep(0)
    first.cancel()

    assert isinstance(await second, Applied)


async def test_call_of_a_cancelled_caller_goes_on(
    writer: BulkWriter, client: DpsClient, dps: DpsStandIn, stall
):
    """What is under way is done for all of its changes, and the others hear of theirs."""
    stall()
    tasks = [asyncio.ensure_future(writer.apply(change)) for change in creates(2)]
    await until(lambda: len(dps.requests) == 1)

    tasks[0].cancel()
    release(dps)
    became = await asyncio.gather(*tasks, return_exceptions=True)

    assert kinds(became) == [asyncio.CancelledError, Applied]
    assert await stored(client) == {"d-0", "d-1"}


async def test_idle_writer_has_no_task(writer: BulkWriter):
    """When all is told nothing runs any more."""
    before = asyncio.all_tasks()

    await outcomes(writer, [*creates(25), *(change(UPSERT, f"d-{n}") for n in range(5))])
    await until(lambda: asyncio.all_tasks() == before)


async def test_closed_writer_takes_no_change(writer: BulkWriter, dps: DpsStandIn):
    """Whoever comes too late hears that nothing was done."""
    await writer.aclose()

    with pytest.raises(NotAttemptedError):
        await writer.apply(change(CREATE, "d-1"))

    assert dps.requests == []


async def test_close_ends_what_waits(writer: BulkWriter, dps: DpsStandIn):
    """What no call has taken is not sent, whether it waits for a call or for an earlier change."""
    became = asyncio.ensure_future(outcomes(writer, [*creates(2), *creates(2)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    await writer.aclose()

    assert kinds(await became) == [NotAttemptedError] * 4
    assert dps.requests == []


async def test_close_awaits_what_is_under_way(writer: BulkWriter, dps: DpsStandIn, stall):
    """A call that ends in time ends as always; what waits behind it is not begun."""
    stall()
    became = asyncio.ensure_future(outcomes(writer, [*creates(2), *creates(1)]))
    await until(lambda: len(dps.requests) == 1)

    closing = asyncio.ensure_future(writer.aclose(within=15))
    await asyncio.sleep(0)
    release(dps)
    await closing

    assert kinds(await became) == [Applied, Applied, NotAttemptedError]


async def test_what_close_does_not_see_end_is_unknown(
    writer: BulkWriter, dps: DpsStandIn, order_faults
):
    """A call that does not end in time is given up, and nothing is left over."""
    before = asyncio.all_tasks()
    order_faults({"match": BULK, "do": {"stall": True}})
    became = asyncio.ensure_future(outcomes(writer, creates(2)))
    await until(lambda: len(dps.requests) == 1)

    async with asyncio.timeout(15):
        await writer.aclose(within=0.05)

    assert kinds(await became) == [OutcomeUnknownError] * 2
    assert asyncio.all_tasks() == before


async def test_calls_belong_to_no_invocation(writer: BulkWriter, caplog):
    """What is logged about a call of many is not logged under the first who asked for it."""
    caplog.set_level(logging.DEBUG, TRANSPORT)
    heard = []
    caplog.handler.addFilter(lambda record: heard.append((record.name, INVOCATION.get())) or True)
    INVOCATION.set("first")

    await outcomes(writer, creates(2))

    assert {invocation for name, invocation in heard if name == TRANSPORT} == {"none"}
