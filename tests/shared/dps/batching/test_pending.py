"""Pending items: the order per record, deadlines, and permits for calls."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from local.dps import DpsStandIn
from shared.dps import CallContext, DpsClient
from shared.dps.batching.items import ItemResult, OrderedGroup
from shared.dps.batching.writer import BatchWriter
from shared.errors import (
    DpsBadRequestError,
    DpsConflictError,
    DpsNotFoundError,
    NoPermitError,
    NotAttemptedError,
)
from shared.settings import Settings
from tests.shared.dps.batching.changes import (
    BULK,
    CREATE,
    DELETE,
    UPDATE,
    UPSERT,
    apply,
    apply_all,
    change,
    clear_faults,
    creates,
    dps_operations,
    new_writer,
    stored_ids,
    types_of,
    wait_until,
)


async def test_ids_that_differ_only_in_case_never_share_a_call(
    writer: BatchWriter, dps: DpsStandIn
) -> None:
    """DPS compares ids without regard to case, and refuses a call that has one twice."""
    ids = ["dev-a", "DEV-A", "Dev-A"]

    results = await apply_all(writer, [change(CREATE, id) for id in ids])

    assert types_of(results) == [ItemResult, DpsConflictError, DpsConflictError]
    assert dps_operations(dps) == ["bulk"] * 3


async def test_changes_of_one_record_are_applied_in_order(
    writer: BatchWriter, client: DpsClient
) -> None:
    """Each operation sees the effect of the one before."""
    changes = [
        change(CREATE, "d-1"),
        change(UPDATE, "d-1", members={"deviceId": "first"}),
        change(DELETE, "D-1"),
        change(UPSERT, "d-1"),
        change(UPSERT, "d-1", members={"deviceId": "last"}),
    ]

    results = await apply_all(writer, changes)

    assert types_of(results) == [ItemResult] * 5
    assert (await client.enrollments.get("d-1"))["deviceId"] == "last"


async def test_other_records_do_not_wait_for_a_slow_one(
    writer: BatchWriter, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """Only changes of the same record wait for a change in flight."""
    inject_faults({"match": BULK, "times": 1, "do": {"stall": True}})
    slow = asyncio.ensure_future(apply(writer, change(CREATE, "d-1")))
    await wait_until(lambda: len(dps.requests) == 1)

    later = asyncio.ensure_future(apply(writer, change(DELETE, "d-1")))
    others = await apply_all(writer, [change(CREATE, "d-2"), change(DELETE, "d-3")])

    assert types_of(others) == [ItemResult, DpsNotFoundError]
    assert not later.done()
    clear_faults(dps)
    assert types_of(await asyncio.gather(slow, later)) == [ItemResult, ItemResult]


async def test_error_that_will_be_retried_fails_the_later_changes_of_the_group(
    writer: BatchWriter, inject_faults: Callable[..., None]
) -> None:
    """Changes of the same record outside the group are still applied."""
    inject_faults({"match": BULK, "times": 1, "do": {"status": 400}})
    group = OrderedGroup(lambda error: isinstance(error, DpsBadRequestError))
    grouped = [change(operation, "d-1", group=group) for operation in (CREATE, UPDATE, DELETE)]

    results = await apply_all(writer, [grouped[0], change(UPSERT, "D-1"), *grouped[1:]])

    assert types_of(results) == [
        DpsBadRequestError,
        ItemResult,
        DpsBadRequestError,
        DpsBadRequestError,
    ]


async def test_final_error_does_not_affect_the_group(writer: BatchWriter) -> None:
    """The later changes of the group are applied."""
    group = OrderedGroup(lambda error: not isinstance(error, DpsNotFoundError))
    changes = [change(operation, "d-1", group=group) for operation in (UPDATE, CREATE, DELETE)]

    results = await apply_all(writer, changes)

    assert types_of(results) == [DpsNotFoundError, ItemResult, ItemResult]


async def test_change_waits_for_the_call_of_a_cancelled_caller(
    writer: BatchWriter, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """A call in flight keeps its place in the record's order even if its caller is cancelled."""
    inject_faults({"match": BULK, "times": 1, "do": {"stall": True}})
    earlier = asyncio.ensure_future(apply(writer, change(CREATE, "d-1")))
    await wait_until(lambda: len(dps.requests) == 1)
    earlier.cancel()

    later = asyncio.ensure_future(apply(writer, change(DELETE, "d-1")))
    await apply_all(writer, [change(DELETE, "d-2")])

    assert not later.done()
    clear_faults(dps)
    assert isinstance(await later, ItemResult)


async def client_without_burst(dps: DpsStandIn, *, per_minute: int) -> DpsClient:
    """Returns a client with this rate whose burst is used up."""
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
    with suppress(NoPermitError):
        while True:
            await client.enrollments.acquire_permit(CallContext(deadline=loop.time() + 0.05))
    return client


@pytest.fixture
async def fast_client(dps: DpsStandIn) -> AsyncIterator[DpsClient]:
    """A client with a permit every fifth of a second."""
    async with await client_without_burst(dps, per_minute=300) as client:
        yield client


@pytest.fixture
async def slow_client(dps: DpsStandIn) -> AsyncIterator[DpsClient]:
    """A client without a permit for a minute."""
    async with await client_without_burst(dps, per_minute=1) as client:
        yield client


async def test_call_is_filled_when_its_permit_is_granted(
    fast_client: DpsClient, dps: DpsStandIn
) -> None:
    """Changes that are submitted while a call waits for its permit join it."""
    writer = new_writer(fast_client)
    first = asyncio.ensure_future(apply(writer, change(CREATE, "first")))
    await wait_until(lambda: fast_client.rate_limiter_status.waiting == 1)

    results = await apply_all(writer, creates(9))
    await first

    assert types_of(results) == [ItemResult] * 9
    assert dps_operations(dps) == ["bulk"]


async def test_one_call_at_a_time_waits_for_a_permit(
    fast_client: DpsClient, dps: DpsStandIn
) -> None:
    """Other callers of DPS wait behind one call of the writer, however many changes are pending."""
    writer = new_writer(fast_client)
    many = asyncio.ensure_future(apply_all(writer, creates(50)))
    await wait_until(lambda: fast_client.rate_limiter_status.waiting == 1)

    await fast_client.enrollments.query({"query": "SELECT *"}).page()

    assert types_of(await many) == [ItemResult] * 50
    assert dps_operations(dps).index("query") <= 2


async def test_change_fails_at_once_if_its_permit_would_be_late(
    slow_client: DpsClient, dps: DpsStandIn
) -> None:
    """It is not sent, and the error says when a permit will be available."""
    writer = new_writer(slow_client)

    with pytest.raises(NoPermitError) as raised:
        await apply(writer, change(CREATE, "d-1", seconds=20))

    assert raised.value.retry_after is not None
    assert raised.value.retry_after > 20
    assert dps.requests == []


async def test_change_fails_at_its_deadline_while_others_wait(slow_client: DpsClient) -> None:
    """A change with an earlier deadline leaves the call that waits for a permit."""
    writer = new_writer(slow_client)
    patient = asyncio.ensure_future(apply(writer, change(CREATE, "patient", seconds=600)))
    await wait_until(lambda: slow_client.rate_limiter_status.waiting == 1)

    async with asyncio.timeout(15):
        (result,) = await apply_all(writer, [change(CREATE, "d-1", seconds=0.05)])

    assert isinstance(result, NoPermitError)
    assert result.retry_after
    assert not patient.done()
    await writer.aclose()
    await asyncio.gather(patient, return_exceptions=True)


async def test_pause_fails_only_changes_with_an_earlier_deadline(
    dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """Changes with a later deadline continue to wait."""
    pause = {"status": 429, "headers": {"Retry-After": "90"}}
    inject_faults({"match": {"method": "GET"}, "do": pause})
    async with await client_without_burst(dps, per_minute=60) as client:
        writer = new_writer(client)
        throttled = asyncio.ensure_future(client.enrollments.get("d-1"))
        await wait_until(lambda: client.rate_limiter_status.waiting == 1)
        urgent = asyncio.ensure_future(apply(writer, change(CREATE, "urgent", seconds=10)))
        await wait_until(lambda: client.rate_limiter_status.waiting == 2)
        patient = asyncio.ensure_future(apply(writer, change(CREATE, "patient", seconds=600)))

        with pytest.raises(NoPermitError):
            await urgent

        assert not patient.done()
        await writer.aclose()
        await asyncio.gather(throttled, patient, return_exceptions=True)


async def test_close_does_not_wait_for_a_permit(slow_client: DpsClient) -> None:
    """No call waits for a permit after its changes have failed."""
    writer = new_writer(slow_client)
    waiting = asyncio.ensure_future(apply_all(writer, creates(2, seconds=600)))
    await wait_until(lambda: slow_client.rate_limiter_status.waiting == 1)

    async with asyncio.timeout(15):
        await writer.aclose(timeout=600)

    assert types_of(await waiting) == [NotAttemptedError] * 2
    assert slow_client.rate_limiter_status.waiting == 0


async def test_change_past_its_deadline_is_not_sent(writer: BatchWriter, client: DpsClient) -> None:
    """It fails; the other changes of its call are sent."""
    changes = [change(CREATE, "late", seconds=-1), change(CREATE, "d-1")]

    results = await apply_all(writer, changes)

    assert types_of(results) == [NoPermitError, ItemResult]
    assert await stored_ids(client) == {"d-1"}


async def test_change_that_waits_for_an_earlier_one_keeps_its_deadline(
    writer: BatchWriter, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """A change that waits for another of its record fails at its deadline."""
    inject_faults({"match": BULK, "times": 1, "do": {"stall": True}})
    slow = asyncio.ensure_future(apply(writer, change(CREATE, "d-1")))
    await wait_until(lambda: len(dps.requests) == 1)

    results = await apply_all(writer, [change(DELETE, "d-1", seconds=0.05)])

    assert types_of(results) == [NoPermitError]
    assert not slow.done()
    clear_faults(dps)
    assert isinstance(await slow, ItemResult)


async def test_call_in_flight_outlasts_the_deadline(
    writer: BatchWriter, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """A call that started in time has time to complete, and its changes get their results."""
    inject_faults({"match": BULK, "times": 1, "do": {"stall": True}})
    changes = creates(2, seconds=0.5)
    results = asyncio.ensure_future(apply_all(writer, changes))
    await wait_until(lambda: len(dps.requests) == 1)

    await wait_until(lambda: asyncio.get_running_loop().time() > changes[-1].options.deadline)
    clear_faults(dps)

    assert types_of(await results) == [ItemResult] * 2


async def test_split_call_is_not_sent_after_the_deadline(
    writer: BatchWriter, client: DpsClient, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """The halves of a refused call are sent before the deadlines of their changes or not at all."""
    inject_faults({"match": BULK, "times": 1, "do": {"status": 400, "delayMs": 800}})
    changes = [change(CREATE, "d-0", seconds=0.5), change(CREATE, "d-1")]

    results = await apply_all(writer, changes)

    assert types_of(results) == [NoPermitError, ItemResult]
    assert len(dps.requests) == 2
    assert await stored_ids(client) == {"d-1"}
