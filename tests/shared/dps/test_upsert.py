"""The bulk mode `upsert`: new records are created, those that are there replaced with their keys."""

from shared.dps import DpsClient
from shared.errors import (
    DpsBadRequestError,
    DpsFaultError,
    DpsNotFoundError,
    NotAttemptedError,
)
from tests.shared.dps.bulk_records import BULK, bulk_calls, enrollment, enrollments


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
