"""Batch writer: how changes share calls, failed calls, cancellation and closing."""

import asyncio
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.dps.batching.items import ItemResult
from shared.dps.batching.writer import BatchWriter
from shared.dps.models import ENROLLMENT_GROUP, Operation
from shared.errors import (
    DpsBadRequestError,
    DpsConflictError,
    DpsCredentialError,
    DpsError,
    DpsFaultError,
    DpsRefusedError,
    DpsThrottledError,
    NotAttemptedError,
    OutcomeUnknownError,
)
from tests.shared.dps.batching.changes import (
    BULK,
    CREATE,
    UPDATE,
    UPSERT,
    apply,
    apply_all,
    change,
    clear_faults,
    creates,
    dps_operations,
    stored_ids,
    types_of,
    wait_until,
)
from tests.shared.dps.documents import enrollment, group

INVOCATION = ContextVar("INVOCATION", default="none")
TRANSPORT_LOGGER = "shared.dps.transport"
LOST = {"match": BULK, "times": 1, "do": {"resetAfterCommit": True}}
# aiohttp warns about bodies above a megabyte.
ALLOW_LARGE_BODY = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


async def test_changes_submitted_together_share_calls(writer: BatchWriter, dps: DpsStandIn) -> None:
    """A thousand creates need hardly more than a hundred calls."""
    results = await apply_all(writer, creates(1000))

    assert set(types_of(results)) == {ItemResult}
    assert dps_operations(dps) == ["bulk"] * len(dps.requests)
    assert 100 <= len(dps.requests) <= 110


async def test_changes_submitted_within_milliseconds_share_a_call(
    writer: BatchWriter, dps: DpsStandIn
) -> None:
    """A call that is not full lingers for changes that are submitted shortly after."""

    async def apply_later() -> ItemResult:
        await asyncio.sleep(0.001)
        return await apply(writer, change(CREATE, "d-1"))

    await asyncio.gather(apply_later(), apply(writer, change(CREATE, "d-0")))

    assert dps_operations(dps) == ["bulk"]


async def test_call_id_is_that_of_the_call(writer: BatchWriter) -> None:
    """The results of one call have the same id; those of another call a different one."""
    results = await asyncio.gather(*(apply(writer, each) for each in creates(20)))

    ids = [applied.call_id for applied in results]
    assert ids == [ids[0]] * 10 + [ids[10]] * 10
    assert ids[0] != ids[10]


async def test_creates_and_upserts_share_a_call(writer: BatchWriter, dps: DpsStandIn) -> None:
    """Both are first tried as a bulk create."""
    await apply_all(writer, [change(CREATE, "d-0"), change(UPSERT, "d-1")])

    assert dps_operations(dps) == ["bulk"]


async def test_enrollments_and_groups_never_share_a_call(
    writer: BatchWriter, dps: DpsStandIn
) -> None:
    """Each collection gets its own call."""
    group_change = change(
        CREATE, "g-1", kind=ENROLLMENT_GROUP, document=group(enrollmentGroupId="g-1")
    )

    results = await apply_all(writer, [change(CREATE, "d-1"), group_change])

    assert types_of(results) == [ItemResult, ItemResult]
    assert dps_operations(dps) == ["bulk"]
    assert dps_operations(dps, ENROLLMENT_GROUP) == ["bulk"]


async def test_error_of_an_item_fails_only_its_change(
    writer: BatchWriter, client: DpsClient
) -> None:
    """Of ten creates in one call only that of the existing record fails, with DPS's error."""
    await client.enrollments.create_or_update("d-4", enrollment("d-4"))

    results = await apply_all(writer, creates(10))

    assert types_of(results) == [ItemResult] * 4 + [DpsConflictError] + [ItemResult] * 5
    error = results[4]
    assert isinstance(error, DpsConflictError)
    assert (str(error), error.error_code) == ("Enrollment already exists.", 409201)


def large_members(kilobytes: int) -> dict[str, Any]:
    """Returns members of this size; DPS accepts up to a megabyte."""
    return {"initialTwin": {"tags": {"x": "y" * kilobytes * 1024}}}


@ALLOW_LARGE_BODY
async def test_refused_change_fails_no_other_of_its_call(
    writer: BatchWriter, client: DpsClient
) -> None:
    """If DPS refuses a call as a whole, every valid change of it is still applied."""
    changes = [*creates(9), change(CREATE, "d-9", members=large_members(1100))]

    results = await apply_all(writer, changes)

    assert types_of(results) == [ItemResult] * 9 + [DpsRefusedError]
    assert await stored_ids(client) == {f"d-{n}" for n in range(9)}


@ALLOW_LARGE_BODY
async def test_call_that_is_too_large_is_split(writer: BatchWriter) -> None:
    """Changes that DPS accepts individually are applied, however large they are together."""
    results = await apply_all(writer, creates(4, members=large_members(600)))

    assert types_of(results) == [ItemResult] * 4


async def test_refused_call_is_split_into_halves(
    writer: BatchWriter, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """A call that was refused once needs two more calls."""
    inject_faults({"match": BULK, "times": 1, "do": {"status": 400}})

    results = await apply_all(writer, creates(10))

    assert types_of(results) == [ItemResult] * 10
    assert len(dps.requests) == 3


@pytest.mark.parametrize("effect", ["resetBefore", "resetAfterCommit"])
async def test_call_that_is_refused_after_a_lost_response_is_split(
    writer: BatchWriter, client: DpsClient, inject_faults: Callable[..., None], effect: str
) -> None:
    """A refused call is not reported for its valid changes: they are applied."""
    inject_faults(
        {"match": BULK, "times": 1, "do": {effect: True}},
        {"match": BULK, "times": 1, "do": {"status": 400}},
    )

    results = await apply_all(writer, creates(10))

    assert types_of(results) == [ItemResult] * 10
    assert await stored_ids(client) == {f"d-{n}" for n in range(10)}


async def test_refused_call_with_one_change_fails_it(
    writer: BatchWriter, inject_faults: Callable[..., None]
) -> None:
    """A call with one change cannot be split."""
    inject_faults({"match": BULK, "do": {"status": 400}})

    with pytest.raises(DpsBadRequestError):
        await apply(writer, change(CREATE, "d-1"))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"status": 401}, DpsCredentialError),
        ({"status": 429, "headers": {"Retry-After": "90"}}, DpsThrottledError),
    ],
)
async def test_call_that_is_not_refused_for_its_content_fails_all_its_changes(
    writer: BatchWriter,
    dps: DpsStandIn,
    inject_faults: Callable[..., None],
    answer: dict[str, Any],
    error: type[DpsError],
) -> None:
    """A refused credential or a throttling is no reason to split the call."""
    inject_faults({"match": BULK, "do": answer})

    results = await apply_all(writer, creates(10, seconds=5))

    assert types_of(results) == [error] * 10
    assert len(dps.requests) == 1


async def test_call_is_retried_until_the_deadline_of_its_changes(
    writer: BatchWriter, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """`DPS_MAX_ATTEMPTS` does not limit the attempts."""
    inject_faults(
        {"match": BULK, "times": 5, "do": {"status": 429, "headers": {"Retry-After": "0"}}}
    )

    await apply(writer, change(CREATE, "d-1"))

    assert len(dps.requests) == 6


async def test_internal_error_fails_only_the_changes_of_its_call(writer: BatchWriter) -> None:
    """A change that is no JSON fails its call; other calls, also later ones, are not affected."""
    changes = [*creates(9), change(CREATE, "bad", members={"tags": float("nan")})]
    others = [change(CREATE, f"other-{n}") for n in range(10)]

    results = await apply_all(writer, [*changes, *others])
    later = await apply(writer, change(CREATE, "later"))

    assert types_of(results) == [ValueError] * 10 + [ItemResult] * 10
    assert isinstance(later, ItemResult)


async def test_lost_response_is_reconciled_per_record(
    writer: BatchWriter, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """
    If no response follows a lost one, the stored records show which changes were applied.

    A record that is older than the call shows that its change was not, so it has the last error.
    """
    await client.enrollments.create_or_update("d-4", enrollment("d-4", deviceId="other"))
    inject_faults(LOST, {"match": BULK, "do": {"status": 401}})

    results = await apply_all(writer, creates(10))

    assert types_of(results) == [ItemResult] * 4 + [DpsCredentialError] + [ItemResult] * 5


async def test_result_with_foreign_records_has_an_unknown_outcome(
    writer: BatchWriter, inject_faults: Callable[..., None]
) -> None:
    """Errors for records that were not in the call do not make the call's changes successful."""
    error = {"registrationId": "other", "errorCode": 409201, "errorStatus": "exists"}
    answer = {"status": 200, "body": {"errors": [error], "isSuccessful": False}}
    inject_faults({"match": BULK, "do": answer})

    with pytest.raises(OutcomeUnknownError):
        await apply(writer, change(CREATE, "d-1"))


@pytest.mark.parametrize("status", [404, 409, 412])
async def test_single_record_status_for_a_bulk_call_is_a_fault(
    writer: BatchWriter, inject_faults: Callable[..., None], status: int
) -> None:
    """DPS does not respond to a bulk call with 404, 409 or 412: the changes can be retried."""
    inject_faults({"match": BULK, "do": {"status": status, "body": {"errorCode": status * 1000}}})

    results = await apply_all(writer, creates(3))

    assert types_of(results) == [DpsFaultError] * 3


@pytest.mark.parametrize(
    ("operation", "number", "calls"),
    [(CREATE, 400, 32), (UPDATE, 20, 8)],
    ids=["bulk", "individual"],
)
async def test_calls_in_flight_are_limited(
    writer: BatchWriter,
    client: DpsClient,
    dps: DpsStandIn,
    inject_faults: Callable[..., None],
    *,
    operation: Operation,
    number: int,
    calls: int,
) -> None:
    """No more bulk calls, and no more individual calls, are in flight than their limits."""
    path = "^/enrollments(/d-.*)?$"
    inject_faults({"match": {"path": path}, "times": calls, "do": {"stall": True}})
    changes = [change(operation, f"d-{n}") for n in range(number)]
    results = asyncio.ensure_future(apply_all(writer, changes))
    await wait_until(lambda: len(dps.requests) == calls)

    await client.enrollments.query({"query": "SELECT *"}).page()

    assert dps_operations(dps) == ["query"]
    assert len(dps.requests) == calls + 1
    clear_faults(dps)
    await results


@pytest.fixture
def stall_next_call(inject_faults: Callable[..., None]) -> Callable[[], None]:
    """Stalls the next bulk call until the faults are cleared."""
    return lambda: inject_faults({"match": BULK, "times": 1, "do": {"stall": True}})


async def test_change_of_a_cancelled_caller_is_not_sent(
    writer: BatchWriter, client: DpsClient
) -> None:
    """A change that no call has taken is withdrawn; the others are applied."""
    tasks = [asyncio.ensure_future(apply(writer, change)) for change in creates(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()

    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert types_of(results) == [ItemResult, asyncio.CancelledError, ItemResult]
    assert await stored_ids(client) == {"d-0", "d-2"}


async def test_withdrawn_change_does_not_block_its_record(writer: BatchWriter) -> None:
    """A later change of the same record does not wait for a withdrawn one."""
    first = asyncio.ensure_future(apply(writer, change(CREATE, "d-1")))
    second = asyncio.ensure_future(apply(writer, change(CREATE, "d-1")))
    await asyncio.sleep(0)
    first.cancel()

    assert isinstance(await second, ItemResult)


async def test_call_in_flight_continues_if_a_caller_is_cancelled(
    writer: BatchWriter, client: DpsClient, dps: DpsStandIn, stall_next_call: Callable[[], None]
) -> None:
    """The call is completed for all its changes, and the other callers get their results."""
    stall_next_call()
    tasks = [asyncio.ensure_future(apply(writer, change)) for change in creates(2)]
    await wait_until(lambda: len(dps.requests) == 1)

    tasks[0].cancel()
    clear_faults(dps)
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert types_of(results) == [asyncio.CancelledError, ItemResult]
    assert await stored_ids(client) == {"d-0", "d-1"}


async def test_idle_writer_has_no_task(writer: BatchWriter) -> None:
    """When all changes have results, no task is left."""
    before = asyncio.all_tasks()

    await apply_all(writer, [*creates(25), *(change(UPSERT, f"d-{n}") for n in range(5))])
    await wait_until(lambda: asyncio.all_tasks() == before)


async def test_closed_writer_refuses_changes(writer: BatchWriter, dps: DpsStandIn) -> None:
    """A change that is submitted after `aclose` is not attempted."""
    await writer.aclose()

    with pytest.raises(NotAttemptedError):
        await apply(writer, change(CREATE, "d-1"))

    assert dps.requests == []


async def test_close_fails_pending_changes(writer: BatchWriter, dps: DpsStandIn) -> None:
    """Changes that wait for a call, or for an earlier change, are not sent."""
    results = asyncio.ensure_future(apply_all(writer, [*creates(2), *creates(2)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    await writer.aclose()

    assert types_of(await results) == [NotAttemptedError] * 4
    assert dps.requests == []


async def test_close_waits_for_calls_in_flight(
    writer: BatchWriter, dps: DpsStandIn, stall_next_call: Callable[[], None]
) -> None:
    """A call that ends in time has its result; changes that wait behind it are not sent."""
    stall_next_call()
    results = asyncio.ensure_future(apply_all(writer, [*creates(2), *creates(1)]))
    await wait_until(lambda: len(dps.requests) == 1)

    closing = asyncio.ensure_future(writer.aclose(timeout=15))
    await asyncio.sleep(0)
    clear_faults(dps)
    await closing

    assert types_of(await results) == [ItemResult, ItemResult, NotAttemptedError]


async def test_call_that_outlasts_close_has_an_unknown_outcome(
    writer: BatchWriter, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """A call that does not end within the timeout is cancelled, and no task is left."""
    before = asyncio.all_tasks()
    inject_faults({"match": BULK, "do": {"stall": True}})
    results = asyncio.ensure_future(apply_all(writer, creates(2)))
    await wait_until(lambda: len(dps.requests) == 1)

    async with asyncio.timeout(15):
        await writer.aclose(timeout=0.05)

    assert types_of(await results) == [OutcomeUnknownError] * 2
    assert asyncio.all_tasks() == before


async def test_calls_are_logged_under_no_invocation(
    writer: BatchWriter, caplog: pytest.LogCaptureFixture
) -> None:
    """A shared call is not logged under the invocation of its first caller."""
    caplog.set_level(logging.DEBUG, TRANSPORT_LOGGER)
    records: list[tuple[str, str]] = []

    def remember(record: logging.LogRecord) -> bool:
        records.append((record.name, INVOCATION.get()))
        return True

    caplog.handler.addFilter(remember)
    INVOCATION.set("first")

    await apply_all(writer, creates(2))

    assert {invocation for name, invocation in records if name == TRANSPORT_LOGGER} == {"none"}
