"""Bulk operations over HTTP: validation, calls of ten records, failures, and the mode `upsert`."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from local.dps import DpsStandIn
from shared.dps import CallContext, DpsClient
from shared.dps.batching.bulk_operation import BulkOperation, find_bulk_faults
from shared.dps.batching.items import (
    MAX_RECORDS_PER_REQUEST,
    ApplyOptions,
    ItemResult,
    RequestItem,
)
from shared.dps.batching.writer import BatchWriter
from shared.dps.models import INDIVIDUAL_ENROLLMENT, BulkMode, Operation
from shared.error_catalog import code_for
from shared.errors import (
    DocumentTooLargeError,
    DpsBadRequestError,
    DpsConflictError,
    DpsCredentialError,
    DpsFaultError,
    DpsNotFoundError,
    InvalidRequestError,
    NotAttemptedError,
    OutcomeUnknownError,
)
from shared.json_documents import MAX_DOCUMENT_BYTES
from shared.settings import Settings
from tests.shared.dps.batching.changes import (
    BULK,
    RunBulk,
    dps_operations,
    stored_ids,
)
from tests.shared.dps.documents import enrollment, enrollments


def ids_of(results: Iterable[ItemResult]) -> list[str]:
    """Returns the record id of each result."""
    return [result.item.id for result in results if result.item]


async def test_operation_is_sent_as_calls_of_ten_records(
    run_bulk: RunBulk, client: DpsClient, dps: DpsStandIn
) -> None:
    """Twenty-five records are written by three calls."""
    failures = await run_bulk("create", enrollments(25))

    assert failures == []
    assert dps_operations(dps).count("bulk") == 3
    assert len(await stored_ids(client)) == 25


async def test_failures_of_all_calls_are_returned_in_order(
    run_bulk: RunBulk, client: DpsClient
) -> None:
    """Errors of single records in several calls are returned in the order of the records."""
    for existing in ("d-3", "d-17"):
        await client.enrollments.create_or_update(existing, enrollment(existing))

    failures = await run_bulk("create", enrollments(20))

    assert ids_of(failures) == ["d-3", "d-17"]
    assert {type(failure.error) for failure in failures} == {DpsConflictError}
    assert [code_for(failure.error) for failure in failures if failure.error] == [409201, 409201]


async def test_refused_call_is_halved(
    run_bulk: RunBulk, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """The items of a call that DPS refuses as a whole are sent again in smaller calls."""
    inject_faults({"match": BULK, "times": 1, "do": {"status": 400}})

    failures = await run_bulk("create", enrollments(15))

    assert failures == []
    assert len(await stored_ids(client)) == 15


async def test_error_of_a_call_with_one_record_is_its_failure(
    run_bulk: RunBulk, inject_faults: Callable[..., None]
) -> None:
    """If DPS refuses every call, each record has DPS's error in the end."""
    inject_faults({"match": BULK, "do": {"status": 400}})

    failures = await run_bulk("create", enrollments(12))

    assert ids_of(failures) == [f"d-{n}" for n in range(12)]
    assert {type(failure.error) for failure in failures} == {DpsBadRequestError}


async def test_call_with_a_lost_response_is_reconciled(
    run_bulk: RunBulk, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """A call that was applied before its response was lost has no failures."""
    inject_faults({"match": BULK, "times": 1, "do": {"resetAfterCommit": True}})

    failures = await run_bulk("create", enrollments(15))

    assert failures == []
    assert len(await stored_ids(client)) == 15


async def test_call_that_cannot_be_reconciled_has_an_unknown_outcome(
    run_bulk: RunBulk, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """The records of calls without a response have an unknown outcome; the others are applied."""
    inject_faults({"match": BULK, "every": 2, "do": {"stall": True}})

    failures = await run_bulk("create", enrollments(30), seconds=0.5)

    assert {type(failure.error) for failure in failures} == {OutcomeUnknownError}
    assert len(failures) == 30 - len(await stored_ids(client))


async def test_matching_records_of_an_unanswered_call_are_no_failures(
    run_bulk: RunBulk, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """If all responses are lost, a record that is older than the call was not written by it."""
    for existing in ("d-0", "d-3"):
        await client.enrollments.create_or_update(existing, enrollment(existing))
    inject_faults({"match": BULK, "do": {"resetAfterCommit": True}})

    failures = await run_bulk("create", enrollments(11), seconds=2)

    assert ids_of(failures) == ["d-0", "d-3"]
    assert {type(failure.error) for failure in failures} == {OutcomeUnknownError}


@pytest.mark.parametrize("mode", ["create", "upsert"])
async def test_credential_that_is_refused_after_a_lost_response_stops_the_operation(
    run_bulk: RunBulk, dps: DpsStandIn, inject_faults: Callable[..., None], mode: str
) -> None:
    """The records of that call are in doubt; no further call starts."""
    inject_faults({"match": BULK, "every": 2, "do": {"resetBefore": True}}, {"do": {"status": 401}})

    failures = await run_bulk(mode, enrollments(2000))

    assert dps_operations(dps).count("bulk") < 100
    assert len(failures) == 2000
    assert {type(failure.error) for failure in failures} == {
        NotAttemptedError,
        OutcomeUnknownError,
    }


async def test_invalid_record_is_named_although_the_credential_is_refused(
    run_bulk: RunBulk, inject_faults: Callable[..., None]
) -> None:
    """The fault of an invalid record is not lost behind the error of all others."""
    inject_faults({"match": BULK, "do": {"status": 401}})
    documents = [*enrollments(2), {"registrationId": "d-2"}]

    failures = await run_bulk("create", documents)

    assert [type(failure.error) for failure in failures] == [
        NotAttemptedError,
        NotAttemptedError,
        InvalidRequestError,
    ]


async def test_refused_credential_stops_the_operation(
    run_bulk: RunBulk, client: DpsClient, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """If DPS refuses the credential, no further call starts; the results say what was applied."""
    inject_faults({"match": BULK, "every": 3, "do": {"status": 401}})

    failures = await run_bulk("create", enrollments(1000))

    applied = await stored_ids(client)
    assert 0 < len(applied) < 1000
    assert dps_operations(dps).count("bulk") < 100
    assert {failure.item.id for failure in failures if failure.item}.isdisjoint(applied)
    assert len(failures) == 1000 - len(applied)
    assert {type(failure.error) for failure in failures} == {NotAttemptedError}


async def test_throttled_operation_waits_until_it_is_done(
    run_bulk: RunBulk, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """However often DPS throttles, no record fails before the deadline."""
    throttled = {"status": 429, "headers": {"Retry-After": "0"}}
    inject_faults({"match": BULK, "times": 20, "do": throttled})

    failures = await run_bulk("create", enrollments(30))

    assert failures == []
    assert len(await stored_ids(client)) == 30


async def test_records_are_not_attempted_only_after_the_deadline(dps: DpsStandIn) -> None:
    """If the quota is too small, permits are used until the deadline; the rest is not attempted."""
    settings = Settings.read(
        {"DPS_CONNECTION_STRING": dps.connection_string, "DPS_OPERATIONS_PER_MINUTE": "1"}
    )
    document = {"mode": "create", "enrollments": enrollments(100)}
    started = time.monotonic()

    async with DpsClient(settings) as client:
        operation = await BulkOperation.read(
            client.enrollments, document, size=0, context=CallContext()
        )
        results = await operation.run(timeout=2)

    failures = [result for result in results if result.error]
    applied = 10 * dps_operations(dps).count("bulk")
    assert 0 < applied < 100
    assert time.monotonic() - started >= 2
    assert ids_of(failures) == [f"d-{n}" for n in range(applied, 100)]
    assert {type(failure.error) for failure in failures} == {NotAttemptedError}


async def test_refused_credential_of_the_first_call_is_raised(
    run_bulk: RunBulk, inject_faults: Callable[..., None]
) -> None:
    """If nothing was changed, the error is raised instead of one failure per record."""
    inject_faults({"match": BULK, "do": {"status": 401}})

    with pytest.raises(DpsCredentialError):
        await run_bulk("create", enrollments(30))


@pytest.mark.parametrize(
    "answer",
    [
        {"isSuccessful": False, "errors": []},
        {"isSuccessful": False},
        {"errors": [{}]},
        {"errors": [{"registrationId": None, "errorCode": 409201, "errorStatus": "x"}]},
        {"errors": [{"registrationId": "other", "errorCode": 409201, "errorStatus": "x"}]},
    ],
    ids=["no names", "no list", "no codes", "no id", "another's id"],
)
async def test_incomplete_result_has_an_unknown_outcome(
    run_bulk: RunBulk, inject_faults: Callable[..., None], answer: dict[str, Any]
) -> None:
    """A result that does not say which records failed is not a success."""
    inject_faults({"match": BULK, "do": {"status": 200, "body": answer}})

    failures = await run_bulk("create", enrollments(11))

    assert {type(failure.error) for failure in failures} == {OutcomeUnknownError}
    assert len(failures) == 11


@pytest.mark.parametrize(
    ("mode", "number", "fits"),
    [("create", 10, True), ("create", 11, False), ("upsert", 1, False), ("delete", 0, True)],
)
async def test_operation_that_fits_one_call(
    client: DpsClient, mode: str, number: int, fits: bool
) -> None:
    """Up to ten records in a mode of DPS fit one call."""
    document = {"mode": mode, "enrollments": enrollments(number)}

    operation = await BulkOperation.read(
        client.enrollments, document, size=0, context=CallContext()
    )

    assert operation.fits_one_call is fits


def test_operation_with_too_many_records_is_too_large() -> None:
    """More than 10,000 records are refused before any record is validated."""
    operation = {"mode": "delete", "enrollments": [{"registrationId": "a"}] * 10_001}

    with pytest.raises(DocumentTooLargeError) as raised:
        find_bulk_faults(operation, kind=INDIVIDUAL_ENROLLMENT)

    assert str(MAX_RECORDS_PER_REQUEST) in raised.value.faults["/enrollments"]


def test_each_record_with_a_repeated_id_is_a_fault() -> None:
    """Ids are compared without regard to case; a fault names the other record."""
    operation = {
        "mode": "create",
        "enrollments": [enrollment("Dev-1"), enrollment("dev-2"), enrollment("dev-1")],
    }

    faults = find_bulk_faults(operation, kind=INDIVIDUAL_ENROLLMENT)

    assert list(faults) == ["/enrollments/0/registrationId", "/enrollments/2/registrationId"]
    assert "/enrollments/2/registrationId" in faults["/enrollments/0/registrationId"]


async def test_invalid_record_is_a_failure_of_its_own(run_bulk: RunBulk, client: DpsClient) -> None:
    """A record with faults is not sent; the others are applied."""
    documents = enrollments(12)
    documents[7] = {"registrationId": "d-7"}

    failures = await run_bulk("create", documents)

    assert ids_of(failures) == ["d-7"]
    assert isinstance(failures[0].error, InvalidRequestError)
    assert failures[0].error.faults == {"/enrollments/7/attestation": "is required"}
    assert len(await stored_ids(client)) == 11


def invalid_operation(client: DpsClient) -> BulkOperation:
    """Returns an operation with as many records as it may have, each with fifty faults."""
    faults = {f"/{number}": "is wrong" for number in range(50)}
    items = [
        RequestItem(
            kind=INDIVIDUAL_ENROLLMENT,
            operation=Operation.CREATE,
            id=f"d-{position}",
            document={},
            position=position,
            faults=faults,
        )
        for position in range(MAX_RECORDS_PER_REQUEST)
    ]
    return BulkOperation(client.enrollments, BulkMode.CREATE, items, CallContext())


async def test_event_loop_runs_while_invalid_records_are_reported(client: DpsClient) -> None:
    """They wait for nothing, and all together take a second."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(count_turns())
    await invalid_operation(client).run(timeout=60)
    other.cancel()

    assert turns > 10


def test_limited_number_of_faults_is_listed(client: DpsClient) -> None:
    """A request of 16 MB had a response of 110 MB, in one piece."""
    operation = invalid_operation(client)

    first, *_ = operation.result(operation.invalid_results())["errors"]

    assert len(first["info"]) == 11
    assert first["info"][""] == "has more faults than are listed (40 more)"
    assert first["errorStatus"].endswith("/9 is wrong. It has more faults than these (40 more).")


async def test_size_of_a_record_is_that_of_compact_json(client: DpsClient) -> None:
    """A record that a PUT accepts is not too large for a bulk operation."""
    tags = {f"tag-{number}": number for number in range(55_000)}
    record = enrollment("d-1", initialTwin={"tags": tags})
    document = {"mode": "create", "enrollments": [record]}

    operation = await BulkOperation.read(
        client.enrollments, document, size=2 * MAX_DOCUMENT_BYTES, context=CallContext()
    )

    assert (
        len(json.dumps(record))
        > MAX_DOCUMENT_BYTES
        > len(json.dumps(record, separators=(",", ":")))
    )
    assert operation.items[0].faults == {}


async def test_record_that_is_too_large_is_a_failure_of_its_own(run_bulk: RunBulk) -> None:
    """The pointer of the fault is that of the record."""
    large = enrollment("d-1", initialTwin={"tags": {"x": "y" * 1024 * 1024}})

    failures = await run_bulk("create", [enrollment("d-0"), large])

    assert isinstance(failures[0].error, InvalidRequestError)
    assert list(failures[0].error.faults) == ["/enrollments/1"]


async def test_limited_number_of_records_is_submitted_at_once(
    run_bulk: RunBulk, client: DpsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes memory and a turn of the event loop; twice as many as calls can take are enough."""
    waiting = most = 0
    apply = BatchWriter.apply

    async def count(self: BatchWriter, item: RequestItem, options: ApplyOptions) -> ItemResult:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        try:
            return await apply(self, item, options)
        finally:
            waiting -= 1

    monkeypatch.setattr(BatchWriter, "apply", count)

    assert await run_bulk("create", enrollments(1000)) == []

    assert most == 2 * BatchWriter.MAX_BULK_CALLS * 10
    assert len(await stored_ids(client)) == 1000


async def test_upsert_creates_and_replaces_records(run_bulk: RunBulk, client: DpsClient) -> None:
    """A new record is created; an existing one is replaced and keeps its keys."""
    before = await client.enrollments.create_or_update("d-1", enrollment("d-1", deviceId="old"))

    failures = await run_bulk("upsert", [enrollment("d-0"), enrollment("d-1", deviceId="new")])

    after = await client.enrollments.get_attestation_mechanism("d-1")
    assert failures == []
    assert (await client.enrollments.get("d-1"))["deviceId"] == "new"
    assert after == before["attestation"]


async def test_upsert_returns_the_error_of_the_replacement(
    run_bulk: RunBulk, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """A record that DPS refuses to replace is a failure with DPS's error."""
    await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    inject_faults(
        {"match": {"method": "PUT"}, "do": {"status": 400, "body": {"errorCode": 400004}}}
    )

    failures = await run_bulk("upsert", [enrollment("d-0"), enrollment("d-1")])

    assert [(failure.item and failure.item.id, type(failure.error)) for failure in failures] == [
        ("d-1", DpsBadRequestError)
    ]


async def test_upsert_that_could_not_read_the_record_is_not_in_doubt(
    run_bulk: RunBulk, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """If the read before the replacement fails, nothing was written."""
    await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    inject_faults({"match": {"method": "GET"}, "do": {"status": 500}})

    failures = await run_bulk("upsert", [enrollment("d-1")])

    assert isinstance(failures[0].error, DpsFaultError)
    assert not failures[0].error.in_doubt


async def test_upsert_whose_read_is_not_answered_is_not_attempted(
    run_bulk: RunBulk, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """Nothing was written, so the record is not said to be in doubt."""
    await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    inject_faults({"match": {"method": "GET"}, "do": {"stall": True}})

    failures = await run_bulk("upsert", [enrollment("d-1")], seconds=1)

    assert [type(failure.error) for failure in failures] == [NotAttemptedError]


async def test_throttled_replacements_wait_until_the_deadline(
    run_bulk: RunBulk, client: DpsClient, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """Records whose replacement is throttled until the deadline are not attempted."""
    for record in enrollments(12):
        await client.enrollments.create_or_update(record["registrationId"], record)
    inject_faults(
        {"match": {"method": "PUT"}, "do": {"status": 429, "headers": {"Retry-After": "99"}}}
    )

    failures = await run_bulk("upsert", enrollments(12), seconds=2)

    assert ids_of(failures) == [f"d-{n}" for n in range(12)]
    assert {type(failure.error) for failure in failures} == {NotAttemptedError}
    assert dps_operations(dps).count("bulk") == 2


async def test_upsert_is_applied_although_another_writer_deletes_the_record(
    run_bulk: RunBulk, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """A record that is gone when it is to be replaced, and there when created, is written."""
    await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    # The read finds no record, and the create that follows finds one: another writer is faster.
    gone = {"errorCode": 404201, "message": "Enrollment not found."}
    inject_faults(
        {"match": {"method": "GET"}, "times": 3, "do": {"status": 404, "body": gone}},
    )

    failures = await run_bulk("upsert", [enrollment("d-1", deviceId="new")])

    assert failures == []
    assert (await client.enrollments.get("d-1"))["deviceId"] == "new"


async def test_upsert_replaces_only_after_a_conflict(
    run_bulk: RunBulk, inject_faults: Callable[..., None]
) -> None:
    """Any other error of the bulk create is a failure."""
    errors = [{"registrationId": "d-1", "errorCode": 404201, "errorStatus": "gone"}]
    inject_faults({"match": BULK, "do": {"status": 200, "body": {"errors": errors}}})

    failures = await run_bulk("upsert", [enrollment("d-1")])

    assert [type(failure.error) for failure in failures] == [DpsNotFoundError]
