"""Bulk operations that DPS does not take in one call: split, merged, every record accounted for."""

import json

import pytest

from local.dps import DpsStandIn
from shared.documents import MAX_BYTES
from shared.dps import CallContext, DpsClient
from shared.dps.bulk import MAX_RECORDS_OF_OPERATION, check, fits_one_call, run_split
from shared.dps.models import INDIVIDUAL_ENROLLMENT
from shared.errors import (
    DocumentTooLargeError,
    DpsBadRequestError,
    DpsConflictError,
    DpsCredentialError,
    NotAttemptedError,
    OutcomeUnknownError,
)
from shared.settings import Settings
from tests.shared.dps.bulk_records import BULK, bulk_calls, enrollment, enrollments, stored


async def test_records_go_ten_a_call(run, client: DpsClient, dps: DpsStandIn):
    """Twenty-five records are three calls, and all of them arrive."""
    failures = await run("create", enrollments(25))

    assert failures == []
    assert bulk_calls(dps) == 3
    assert len(await stored(client)) == 25


async def test_records_that_fail_are_named_across_calls(run, client: DpsClient):
    """What DPS says against single records of several calls is gathered in their order."""
    for existing in ("d-3", "d-17"):
        await client.enrollments.create_or_update(existing, enrollment(existing))

    failures = await run("create", enrollments(20))

    assert [failure.id for failure in failures] == ["d-3", "d-17"]
    assert {type(failure.error) for failure in failures} == {DpsConflictError}
    assert failures[0].error.error_code == 409201


async def test_id_that_stands_twice_is_split(run, client: DpsClient, dps: DpsStandIn):
    """Records of one id, whatever its case, go in calls of their own and in order."""
    first, second = enrollment("Dev-1", deviceId="first"), enrollment("dev-1", deviceId="second")

    failures = await run("upsert", [first, second])

    assert failures == []
    assert bulk_calls(dps) == 2
    assert (await client.enrollments.get("dev-1"))["deviceId"] == "second"


async def test_call_that_dps_refuses_fails_its_records_alone(run, client, order_faults):
    """A call refused as a whole fails its ten records; the others go on."""
    order_faults({"match": BULK, "times": 1, "do": {"status": 400}})

    failures = await run("create", enrollments(15))

    assert [failure.id for failure in failures] == [f"d-{n}" for n in range(10)]
    assert {type(failure.error) for failure in failures} == {DpsBadRequestError}
    assert await stored(client) == {f"d-{n}" for n in range(10, 15)}


async def test_call_without_reply_is_settled_by_the_records(run, client, order_faults):
    """A call that DPS did before its reply was lost has no failures: the records are there."""
    order_faults({"match": BULK, "times": 1, "do": {"resetAfterCommit": True}})

    failures = await run("create", enrollments(15))

    assert failures == []
    assert len(await stored(client)) == 15


async def test_call_that_cannot_be_settled_leaves_its_records_unknown(run, order_faults):
    """If DPS neither answers the call nor shows the records, that is what its records are told."""
    order_faults({"match": BULK, "every": 2, "do": {"stall": True}})

    failures = await run("create", enrollments(30), within=0.3)

    assert [failure.id for failure in failures] == [f"d-{n}" for n in range(10, 30)]
    assert [type(failure.error) for failure in failures] == (
        [OutcomeUnknownError] * 10 + [NotAttemptedError] * 10
    )


async def test_records_that_are_there_are_not_unknown(run, client, order_faults):
    """Of a call whose replies were all lost only the records that are not there are in question."""
    for existing in ("d-0", "d-3"):
        await client.enrollments.create_or_update(existing, enrollment(existing))
    order_faults({"match": BULK, "do": {"resetBefore": True}})

    failures = await run("create", enrollments(11), within=2)

    assert "d-0" not in {failure.id for failure in failures}
    assert {type(failure.error) for failure in failures} == {OutcomeUnknownError}
    assert len(failures) == 9


async def test_refused_credential_ends_the_operation(run, client: DpsClient, order_faults):
    """When DPS stops taking the credential, the records left are named as not attempted."""
    order_faults({"match": BULK, "every": 2, "do": {"status": 401}})

    failures = await run("create", enrollments(30))

    assert [failure.id for failure in failures] == [f"d-{n}" for n in range(10, 30)]
    assert {type(failure.error) for failure in failures} == {NotAttemptedError}
    assert len(await stored(client)) == 10


async def test_records_without_a_turn_are_not_attempted(dps: DpsStandIn):
    """When the quota leaves no turn for the next call in its time, the records left hear so."""
    settings = Settings.read(
        {"DPS_CONNECTION_STRING": dps.connection_string, "DPS_OPERATIONS_PER_MINUTE": "1"}
    )
    operation = {"mode": "create", "enrollments": enrollments(100)}

    async with DpsClient(settings) as client:
        failures = await run_split(client.enrollments, operation, within=10, context=CallContext())

    done = 10 * bulk_calls(dps)
    assert 0 < done < 100
    assert [failure.id for failure in failures] == [f"d-{n}" for n in range(done, 100)]
    assert {type(failure.error) for failure in failures} == {NotAttemptedError}


async def test_operation_that_changed_nothing_is_an_error(run, order_faults):
    """If the very first call finds no way to DPS, that is the answer, not ten times the same."""
    order_faults({"match": BULK, "do": {"status": 401}})

    with pytest.raises(DpsCredentialError):
        await run("create", enrollments(30))


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
async def test_result_that_says_nothing_is_unknown(run, order_faults, answer):
    """A result that does not say which records failed is not read as a success."""
    order_faults({"match": BULK, "do": {"status": 200, "body": answer}})

    failures = await run("create", enrollments(11))

    assert {type(failure.error) for failure in failures} == {OutcomeUnknownError}
    assert len(failures) == 11


@pytest.mark.parametrize(
    ("mode", "number", "fits"),
    [("create", 10, True), ("create", 11, False), ("upsert", 1, False), ("delete", 0, True)],
)
def test_ten_records_of_dps_own_modes_are_one_call(mode, number, fits):
    """What DPS takes as it is goes to DPS as it is."""
    operation = {"mode": mode, "enrollments": enrollments(number)}

    assert fits_one_call(operation, "enrollments") is fits


def test_operation_of_too_many_records_is_too_large():
    """More records than one request may ask for are refused before any is looked at."""
    operation = {"mode": "delete", "enrollments": [{"registrationId": "a"}] * 10_001}

    with pytest.raises(DocumentTooLargeError) as raised:
        check(operation, kind=INDIVIDUAL_ENROLLMENT, weigh=False)

    assert str(MAX_RECORDS_OF_OPERATION) in raised.value.faults["/enrollments"]


def test_record_is_weighed_as_it_would_be_sent_alone():
    """A record that a PUT takes is not too large for bulk."""
    tags = {f"tag-{number}": number for number in range(55_000)}
    record = enrollment("d-1", initialTwin={"tags": tags})
    operation = {"mode": "create", "enrollments": [record]}

    assert len(json.dumps(record)) > MAX_BYTES > len(json.dumps(record, separators=(",", ":")))
    assert check(operation, kind=INDIVIDUAL_ENROLLMENT, weigh=True) == {}


def test_record_that_is_too_large_is_named():
    """In a large operation every record past a megabyte is named."""
    heavy = enrollment("d-1", initialTwin={"tags": {"x": "y" * 1024 * 1024}})
    operation = {"mode": "create", "enrollments": [enrollment("d-0"), heavy]}

    with pytest.raises(DocumentTooLargeError) as raised:
        check(operation, kind=INDIVIDUAL_ENROLLMENT, weigh=True)

    assert list(raised.value.faults) == ["/enrollments/1"]
