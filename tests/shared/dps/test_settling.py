"""Writes whose replies were lost: a success if the record is as asked, a conflict only if not."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.dps import DpsClient
from shared.errors import (
    DpsConflictError,
    DpsFaultError,
    DpsPreconditionFailedError,
    DpsReplyLostError,
    OutcomeUnknownError,
)
from tests.secret_factory import certificate, endorsement_key, symmetric_key

ID = "dev-1"
LOST = {"resetAfterCommit": True}
WEBHOOK = "https://example.com/allocation?code=x"

ATTESTATIONS = {
    "generated keys": {"type": "symmetricKey"},
    "given keys": {
        "type": "symmetricKey",
        "symmetricKey": {"primaryKey": symmetric_key(), "secondaryKey": symmetric_key()},
    },
    "tpm": {"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}},
    "certificate": {
        "type": "x509",
        "x509": {"clientCertificates": {"primary": {"certificate": certificate("dev-1")}}},
    },
}


def enrollment(**members: Any) -> dict[str, Any]:
    """A sound enrollment."""
    return {"registrationId": ID, "attestation": ATTESTATIONS["generated keys"], **members}


@pytest.fixture
def lose(order_faults: Callable[..., None]) -> Callable[[str], None]:
    """Loses the next reply to a method, after DPS did what was asked."""
    return lambda method: order_faults({"match": {"method": method}, "times": 1, "do": LOST})


@pytest.mark.parametrize("attestation", ATTESTATIONS.values(), ids=ATTESTATIONS)
async def test_create_whose_reply_was_lost_is_a_success(client: DpsClient, lose, attestation):
    """The record is there as it was asked for: the answer is the one DPS gave and nobody heard."""
    lose("PUT")

    record = await client.enrollments.create_or_update(ID, enrollment(attestation=attestation))

    keys = await client.enrollments.get_attestation_mechanism(ID)
    assert record["attestation"] == keys
    assert "registrationState" not in record
    assert record.etag == (await client.enrollments.get(ID)).etag


async def test_create_of_another_record_is_a_conflict(client: DpsClient, lose):
    """If the record under that id is another's, the lost reply does not make it ours."""
    await client.enrollments.create_or_update(ID, enrollment(deviceId="theirs"))
    lose("PUT")

    with pytest.raises(DpsConflictError):
        await client.enrollments.create_or_update(ID, enrollment(deviceId="ours"))


async def test_create_under_given_keys_is_a_conflict_with_other_keys(client: DpsClient, lose):
    """A record with other keys than those given is not the one that was asked for."""
    given = ATTESTATIONS["given keys"]
    await client.enrollments.create_or_update(ID, enrollment())
    lose("PUT")

    with pytest.raises(DpsConflictError):
        await client.enrollments.create_or_update(ID, enrollment(attestation=given))


async def test_update_whose_reply_was_lost_is_a_success(client: DpsClient, lose):
    """An update by etag that was done is not a failed precondition when it is repeated."""
    before = await client.enrollments.create_or_update(ID, enrollment())
    lose("PUT")

    record = await client.enrollments.create_or_update(
        ID, enrollment(deviceId="new"), if_match=before.etag
    )

    assert record["deviceId"] == "new"
    assert record.etag != before.etag


async def test_update_over_anothers_change_is_a_failed_precondition(client: DpsClient, lose):
    """An update by an etag that is not the record's any more stays refused."""
    before = await client.enrollments.create_or_update(ID, enrollment())
    await client.enrollments.create_or_update(ID, enrollment(deviceId="theirs"), if_match="*")
    lose("PUT")

    with pytest.raises(DpsPreconditionFailedError):
        await client.enrollments.create_or_update(
            ID, enrollment(deviceId="ours"), if_match=before.etag
        )


@pytest.mark.parametrize("by_etag", [False, True], ids=["without etag", "by etag"])
async def test_delete_whose_reply_was_lost_is_a_success(client: DpsClient, lose, by_etag: bool):
    """A record that is gone after a delete was deleted, whatever the repeated delete says."""
    record = await client.enrollments.create_or_update(ID, enrollment())
    lose("DELETE")

    await client.enrollments.delete(ID, if_match=record.etag if by_etag else None)

    assert [found async for found in client.enrollments.query({"query": "*"})] == []


async def test_delete_of_a_changed_record_is_a_failed_precondition(client: DpsClient, lose):
    """A record that is still there, with another etag, was not deleted."""
    before = await client.enrollments.create_or_update(ID, enrollment())
    await client.enrollments.create_or_update(ID, enrollment(), if_match="*")
    lose("DELETE")

    with pytest.raises(DpsPreconditionFailedError):
        await client.enrollments.delete(ID, if_match=before.etag)


@pytest.mark.parametrize("mode", ["create", "update", "updateIfMatchETag", "delete"])
async def test_bulk_whose_reply_was_lost_is_a_success(client: DpsClient, lose, mode: str):
    """In every mode the records tell that the operation was done."""
    etag = {}
    if mode != "create":
        etag["etag"] = (await client.enrollments.create_or_update(ID, enrollment())).etag
    operation = {"mode": mode, "enrollments": [enrollment(deviceId="new", **etag)]}
    lose("POST")

    result = await client.enrollments.run_bulk_operation(operation)

    assert result == {"errors": [], "isSuccessful": True}


async def test_bulk_names_only_records_that_are_not_as_asked(client: DpsClient, lose):
    """Of a bulk operation that was repeated, a real conflict stays a failure."""
    theirs = enrollment(deviceId="theirs") | {"registrationId": "dev-0"}
    await client.enrollments.create_or_update("dev-0", theirs)
    ours = [enrollment(deviceId="ours"), enrollment(deviceId="ours") | {"registrationId": "dev-0"}]
    lose("POST")

    result = await client.enrollments.run_bulk_operation({"mode": "create", "enrollments": ours})

    assert [error["registrationId"] for error in result["errors"]] == ["dev-0"]
    assert result["isSuccessful"] is False


async def test_write_that_was_not_done_stays_unknown(client: DpsClient, order_faults):
    """If the record is not as asked, a lost reply is told as one: nobody knows what comes yet."""
    order_faults({"match": {"method": "PUT"}, "do": {"resetBefore": True}})

    with pytest.raises(DpsReplyLostError) as raised:
        await client.enrollments.create_or_update(ID, enrollment())

    assert raised.value.in_doubt


async def test_write_whose_every_reply_was_lost_is_settled(client: DpsClient, order_faults):
    """Even if no reply to the write ever comes, the record tells that it was done."""
    order_faults({"match": {"method": "PUT"}, "do": LOST})

    record = await client.enrollments.create_or_update(ID, enrollment(deviceId="new"))

    assert record["deviceId"] == "new"


async def test_doubt_that_cannot_be_settled_is_told(client: DpsClient, order_faults):
    """If the record cannot be read, a conflict may be none: the caller hears that nobody knows."""
    order_faults(
        {"match": {"method": "GET"}, "do": {"status": 429, "headers": {"Retry-After": "7"}}},
        {"match": {"method": "PUT"}, "times": 1, "do": LOST},
    )

    with pytest.raises(OutcomeUnknownError):
        await client.enrollments.create_or_update(ID, enrollment())


@pytest.mark.parametrize("status", [401, 429])
async def test_refusal_after_a_lost_reply_does_not_say_nothing_was_done(
    client: DpsClient, order_faults, status: int
):
    """A write that was done and then throttled, or refused, is not told as one that was not done."""
    order_faults(
        {"match": {"method": "PUT"}, "times": 1, "do": LOST},
        {"do": {"status": status, "headers": {"Retry-After": "60"}}},
    )

    with pytest.raises(OutcomeUnknownError) as raised:
        await client.enrollments.create_or_update(ID, enrollment())

    assert raised.value.retry_after == pytest.approx(60, abs=1)


REMOVALS = {
    "member": ({"deviceId": "old"}, {}),
    "tag": ({"initialTwin": {"tags": {"a": 1, "b": 2}}}, {"initialTwin": {"tags": {"a": 1}}}),
    "all tags": ({"initialTwin": {"tags": {"a": 1}}}, {"initialTwin": {"tags": {}}}),
    "hubs": ({"iotHubs": ["hub-1.azure-devices.net"]}, {"iotHubs": []}),
}


@pytest.mark.parametrize("etag", ["given", "any"])
@pytest.mark.parametrize(("before", "after"), REMOVALS.values(), ids=REMOVALS)
async def test_removal_that_was_not_done_is_no_success(
    client: DpsClient, order_faults, before, after, etag: str
):
    """A record that still has what a write was to remove was not written."""
    stored = await client.enrollments.create_or_update(ID, enrollment(**before))
    order_faults({"match": {"method": "PUT"}, "do": {"status": 503}})

    with pytest.raises(DpsFaultError):
        await client.enrollments.create_or_update(
            ID, enrollment(**after), if_match=stored.etag if etag == "given" else "*"
        )


async def test_rewrite_of_the_same_is_done_only_with_a_new_etag(client: DpsClient, order_faults):
    """A write that changes nothing but the etag is not done while the record has the old one."""
    stored = await client.enrollments.create_or_update(ID, enrollment())
    order_faults({"match": {"method": "PUT"}, "do": {"status": 503}})

    with pytest.raises(DpsFaultError):
        await client.enrollments.create_or_update(ID, enrollment(), if_match=f'"{stored.etag}"')


async def test_bulk_removal_that_was_not_done_is_no_success(client: DpsClient, order_faults):
    """In bulk too, a record with its old etag was not written."""
    stored = await client.enrollments.create_or_update(ID, enrollment(deviceId="old"))
    order_faults({"match": {"path": "^/enrollments$"}, "do": {"status": 503}})
    operation = {"mode": "updateIfMatchETag", "enrollments": [enrollment(etag=stored.etag)]}

    with pytest.raises(DpsFaultError):
        await client.enrollments.run_bulk_operation(operation)


async def test_answer_that_is_no_record_is_settled(client: DpsClient, order_faults):
    """A good status with something else than the record is settled like any lost reply."""
    await client.enrollments.create_or_update(ID, enrollment(deviceId="new"))
    order_faults({"match": {"method": "PUT"}, "do": {"status": 200, "body": []}})

    with pytest.raises(DpsFaultError):
        await client.enrollments.create_or_update(ID, enrollment(deviceId="newer"), if_match="*")
    record = await client.enrollments.create_or_update(ID, enrollment(deviceId="new"), if_match="*")

    assert record["deviceId"] == "new"
