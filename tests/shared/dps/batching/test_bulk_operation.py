"""Bulk operations over HTTP: validation, calls of ten records, failures, and the mode `upsert`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from local.dps import DpsStandIn
from shared.dps import CallContext, DpsClient
from shared.dps.batching.bulk_operation import (
    MAX_RECORDS_PER_REQUEST,
    find_bulk_faults,
    fits_one_call,
    run_bulk_operation,
)
from shared.dps.models import INDIVIDUAL_ENROLLMENT
from shared.error_catalog import code_for
from shared.errors import (
    DocumentTooLargeError,
    DpsBadRequestError,
    DpsConflictError,
    DpsCredentialError,
    DpsFaultError,
    DpsNotFoundError,
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

    assert [failure.id for failure in failures] == ["d-3", "d-17"]
    assert {type(failure.error) for failure in failures} == {DpsConflictError}
    assert [code_for(failure.error) for failure in failures] == [409201, 409201]


async def test_records_with_the_same_id_are_in_separate_calls(
    run_bulk: RunBulk, client: DpsClient, dps: DpsStandIn
) -> None:
    """Records whose ids are equal without regard to case are written in order."""
    first, second = enrollment("Dev-1", deviceId="first"), enrollment("dev-1", deviceId="second")

    failures = await run_bulk("upsert", [first, second])

    assert failures == []
    assert dps_operations(dps).count("bulk") == 2
    assert (await client.enrollments.get("dev-1"))["deviceId"] == "second"


async def test_refused_call_fails_only_its_own_records(
    run_bulk: RunBulk, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """If DPS refuses one call, the next calls are still sent."""
    inject_faults({"match": BULK, "times": 1, "do": {"status": 400}})

    failures = await run_bulk("create", enrollments(15))

    assert [failure.id for failure in failures] == [f"d-{n}" for n in range(10)]
    assert {type(failure.error) for failure in failures} == {DpsBadRequestError}
    assert await stored_ids(client) == {f"d-{n}" for n in range(10, 15)}


async def test_call_with_a_lost_response_is_reconciled(
    run_bulk: RunBulk, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """A call that was applied before its response was lost has no failures."""
    inject_faults({"match": BULK, "times": 1, "do": {"resetAfterCommit": True}})

    failures = await run_bulk("create", enrollments(15))

    assert failures == []
    assert len(await stored_ids(client)) == 15


async def test_call_that_cannot_be_reconciled_has_an_unknown_outcome(
    run_bulk: RunBulk, inject_faults: Callable[..., None]
) -> None:
    """The outcome of its records is unknown; later records are not attempted after the deadline."""
    inject_faults({"match": BULK, "every": 2, "do": {"stall": True}})

    failures = await run_bulk("create", enrollments(30), seconds=0.3)

    assert [failure.id for failure in failures] == [f"d-{n}" for n in range(10, 30)]
    assert [type(failure.error) for failure in failures] == (
        [OutcomeUnknownError] * 10 + [NotAttemptedError] * 10
    )


async def test_matching_records_of_an_unanswered_call_are_no_failures(
    run_bulk: RunBulk, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """If all responses are lost, only records that do not match have an unknown outcome."""
    for existing in ("d-0", "d-3"):
        await client.enrollments.create_or_update(existing, enrollment(existing))
    inject_faults({"match": BULK, "do": {"resetBefore": True}})

    failures = await run_bulk("create", enrollments(11), seconds=2)

    assert "d-0" not in {failure.id for failure in failures}
    assert {type(failure.error) for failure in failures} == {OutcomeUnknownError}
    assert len(failures) == 9


async def test_refused_credential_stops_the_operation(
    run_bulk: RunBulk, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """If DPS refuses the credential later, the remaining records are not attempted."""
    inject_faults({"match": BULK, "every": 2, "do": {"status": 401}})

    failures = await run_bulk("create", enrollments(30))

    assert [failure.id for failure in failures] == [f"d-{n}" for n in range(10, 30)]
    assert {type(failure.error) for failure in failures} == {NotAttemptedError}
    assert len(await stored_ids(client)) == 10


async def test_records_without_a_permit_are_not_attempted(dps: DpsStandIn) -> None:
    """If the next call gets no permit in time, the remaining records are not attempted."""
    settings = Settings.read(
        {"DPS_CONNECTION_STRING": dps.connection_string, "DPS_OPERATIONS_PER_MINUTE": "1"}
    )
    operation = {"mode": "create", "enrollments": enrollments(100)}

    async with DpsClient(settings) as client:
        failures = await run_bulk_operation(
            client.enrollments, operation, timeout=10, context=CallContext()
        )

    applied = 10 * dps_operations(dps).count("bulk")
    assert 0 < applied < 100
    assert [failure.id for failure in failures] == [f"d-{n}" for n in range(applied, 100)]
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
def test_operation_that_dps_accepts_unchanged(mode: str, number: int, fits: bool) -> None:
    """Up to ten records in a mode of DPS fit one call."""
    operation = {"mode": mode, "enrollments": enrollments(number)}

    assert fits_one_call(operation, "enrollments") is fits


def test_operation_with_too_many_records_is_too_large() -> None:
    """More than 10,000 records are refused before any record is validated."""
    operation = {"mode": "delete", "enrollments": [{"registrationId": "a"}] * 10_001}

    with pytest.raises(DocumentTooLargeError) as raised:
        find_bulk_faults(operation, kind=INDIVIDUAL_ENROLLMENT, check_size=False)

    assert str(MAX_RECORDS_PER_REQUEST) in raised.value.faults["/enrollments"]


def test_size_of_a_record_is_that_of_compact_json() -> None:
    """A record that a PUT accepts is not too large for a bulk operation."""
    tags = {f"tag-{number}": number for number in range(55_000)}
    record = enrollment("d-1", initialTwin={"tags": tags})
    operation = {"mode": "create", "enrollments": [record]}

    assert (
        len(json.dumps(record))
        > MAX_DOCUMENT_BYTES
        > len(json.dumps(record, separators=(",", ":")))
    )
    assert find_bulk_faults(operation, kind=INDIVIDUAL_ENROLLMENT, check_size=True) == {}


def test_fault_names_each_record_that_is_too_large() -> None:
    """The pointer of the fault is that of the record."""
    large = enrollment("d-1", initialTwin={"tags": {"x": "y" * 1024 * 1024}})
    operation = {"mode": "create", "enrollments": [enrollment("d-0"), large]}

    with pytest.raises(DocumentTooLargeError) as raised:
        find_bulk_faults(operation, kind=INDIVIDUAL_ENROLLMENT, check_size=True)

    assert list(raised.value.faults) == ["/enrollments/1"]


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

    assert [(failure.id, type(failure.error)) for failure in failures] == [
        ("d-1", DpsBadRequestError)
    ]


async def test_upsert_that_could_not_read_the_record_is_not_in_doubt(
    run_bulk: RunBulk, client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """If the read before the replacement fails, nothing was written."""
    await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    inject_faults({"match": {"method": "GET"}, "do": {"status": 500}})

    failures = await run_bulk("upsert", [enrollment("d-1")])

    assert [type(failure.error) for failure in failures] == [DpsFaultError]
    assert not failures[0].error.in_doubt


async def test_throttled_upsert_stops_the_operation(
    run_bulk: RunBulk, client: DpsClient, dps: DpsStandIn, inject_faults: Callable[..., None]
) -> None:
    """After a throttled replacement the remaining records are not attempted."""
    for record in enrollments(12):
        await client.enrollments.create_or_update(record["registrationId"], record)
    inject_faults(
        {"match": {"method": "PUT"}, "do": {"status": 429, "headers": {"Retry-After": "99"}}}
    )

    failures = await run_bulk("upsert", enrollments(12))

    assert {type(failure.error) for failure in failures} == {NotAttemptedError}
    assert [failure.id for failure in failures] == [f"d-{n}" for n in range(12)]
    assert dps_operations(dps).count("bulk") == 1


async def test_upsert_replaces_only_after_a_conflict(
    run_bulk: RunBulk, inject_faults: Callable[..., None]
) -> None:
    """Any other error of the bulk create is a failure."""
    errors = [{"registrationId": "d-1", "errorCode": 404201, "errorStatus": "gone"}]
    inject_faults({"match": BULK, "do": {"status": 200, "body": {"errors": errors}}})

    failures = await run_bulk("upsert", [enrollment("d-1")])

    assert [type(failure.error) for failure in failures] == [DpsNotFoundError]
