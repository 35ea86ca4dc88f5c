"""Bulk operations that DPS does not take in one call: split, merged, every record accounted for."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from local.dps import DpsStandIn
from shared.documents import MAX_BYTES
from shared.dps import CallContext, DpsClient
from shared.dps.bulk import MAX_RECORDS_OF_OPERATION, Failure, check, fits_one_call, run_split
from shared.dps.models import INDIVIDUAL_ENROLLMENT
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

BULK = {"method": "POST", "path": "^/enrollments$"}


def enrollment(registration_id: str, **members: Any) -> dict[str, Any]:
    """A sound enrollment."""
    return {
        "registrationId": registration_id,
        "attestation": {"type": "symmetricKey"},
        **members,
    }


def enrollments(number: int) -> list[dict[str, Any]]:
    """So many enrollments, `d-0` and on."""
    return [enrollment(f"d-{position}") for position in range(number)]


@pytest.fixture
def run(client: DpsClient) -> Callable[..., Any]:
    """Runs a split operation on individual enrollments."""

    async def run(mode: str, documents: Sequence[Any], *, within: float = 60) -> list[Failure]:
        operation = {"mode": mode, "enrollments": documents}
        return await run_split(client.enrollments, operation, within=within, context=CallContext())

    return run


def bulk_calls(dps: DpsStandIn) -> int:
    """How many bulk calls DPS saw."""
    return sum(r.method == "POST" and r.path == "/enrollments" for r in dps.requests)


async def stored(client: DpsClient) -> set[str]:
    """The ids DPS knows."""
    return {record["registrationId"] async for record in client.enrollments.query({"query": "*"})}


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
    ],
    ids=["no names", "no list", "no codes", "no id"],
)
async def test_result_that_says_nothing_is_unknown(run, order_faults, answer):
    """A result that does not say which records failed is not read as a success."""
    order_faults({"match": BULK, "do": {"status": 200, "body": answer}})

    failures = await run("create", enrollments(11))

    assert {type(failure.error) for failure in failures} == {OutcomeUnknownError}
    assert len(failures) == 11


async def test_upsert_creates_and_replaces(run, client: DpsClient):
    """Upsert writes records that are new and records that are there, and keeps the latter's keys."""
    before = await client.enrollments.create_or_update("d-1", enrollment("d-1", deviceId="old"))

    failures = await run("upsert", [enrollment("d-0"), enrollment("d-1", deviceId="new")])

    after = await client.enrollments.get_attestation_mechanism("d-1")
    assert failures == []
    assert (await client.enrollments.get("d-1"))["deviceId"] == "new"
    assert after == before["attestation"]


async def test_upsert_names_the_record_it_could_not_replace(run, client, order_faults):
    """A record that DPS will not have replaced is named with DPS's own reason."""
    await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    order_faults({"match": {"method": "PUT"}, "do": {"status": 400, "body": {"errorCode": 400004}}})

    failures = await run("upsert", [enrollment("d-0"), enrollment("d-1")])

    assert [(failure.id, type(failure.error)) for failure in failures] == [
        ("d-1", DpsBadRequestError)
    ]


async def test_upsert_that_could_not_read_does_not_say_it_wrote(run, client, order_faults):
    """A record that could not be read to be replaced was not written, and nothing is in doubt."""
    await client.enrollments.create_or_update("d-1", enrollment("d-1"))
    order_faults({"match": {"method": "GET"}, "do": {"status": 500}})

    failures = await run("upsert", [enrollment("d-1")])

    assert [type(failure.error) for failure in failures] == [DpsFaultError]
    assert not failures[0].error.in_doubt


async def test_upsert_stops_when_it_is_in_vain(run, client, dps, order_faults):
    """When DPS is out of quota no further record is tried; those left are named."""
    for record in enrollments(12):
        await client.enrollments.create_or_update(record["registrationId"], record)
    order_faults(
        {"match": {"method": "PUT"}, "do": {"status": 429, "headers": {"Retry-After": "99"}}}
    )

    failures = await run("upsert", enrollments(12))

    assert {type(failure.error) for failure in failures} == {NotAttemptedError}
    assert [failure.id for failure in failures] == [f"d-{n}" for n in range(12)]
    assert bulk_calls(dps) == 1


async def test_upsert_leaves_other_errors_alone(run, order_faults):
    """What is no conflict is not replaced but reported."""
    errors = [{"registrationId": "d-1", "errorCode": 404201, "errorStatus": "gone"}]
    order_faults({"match": BULK, "do": {"status": 200, "body": {"errors": errors}}})

    failures = await run("upsert", [enrollment("d-1")])

    assert [type(failure.error) for failure in failures] == [DpsNotFoundError]


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
