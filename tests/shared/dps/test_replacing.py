"""Replacing a record: whole, with its keys, on a fresh etag."""

import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.dps.replacing import replace
from shared.errors import DpsNotFoundError, DpsPreconditionFailedError
from tests.secret_factory import endorsement_key, symmetric_key

SYMMETRIC = {"type": "symmetricKey"}
GIVEN = symmetric_key()


async def keys(client: DpsClient) -> dict[str, str]:
    """The keys DPS holds for `dev-1`."""
    return (await client.enrollments.get_attestation_mechanism("dev-1"))["symmetricKey"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {"primaryKey", "secondaryKey"}),
        ({"symmetricKey": None}, {"primaryKey", "secondaryKey"}),
        (
            {"symmetricKey": {"primaryKey": "", "secondaryKey": None}},
            {"primaryKey", "secondaryKey"},
        ),
        ({"symmetricKey": {"primaryKey": GIVEN}}, {"secondaryKey"}),
        ({"symmetricKey": {"primaryKey": GIVEN, "secondaryKey": GIVEN}}, set()),
    ],
    ids=["none", "null", "empty", "one", "both"],
)
async def test_keys_not_given_stay(client: DpsClient, enrollment, given, kept):
    """A key the document gives is written; one it does not give is the one that was there."""
    await client.enrollments.create_or_update("dev-1", enrollment("dev-1"))
    before = await keys(client)
    document = {"registrationId": "dev-1", "attestation": {**SYMMETRIC, **given}}

    await replace(client.enrollments, "dev-1", document)

    after = await keys(client)
    assert {name for name in after if after[name] == before[name]} == kept
    assert {after[name] for name in after if name not in kept} <= {GIVEN}


async def test_keys_are_sent_back(client: DpsClient, dps: DpsStandIn, enrollment):
    """Keys are read and sent, in the order etag, keys, write, so that no key of another is lost."""
    await client.enrollments.create_or_update("dev-1", enrollment("dev-1"))

    await replace(client.enrollments, "dev-1", enrollment("dev-1"))

    calls = [(request.method, request.path.rpartition("/")[2]) for request in dps.requests[1:]]
    assert calls == [("GET", "dev-1"), ("POST", "attestationmechanism"), ("PUT", "dev-1")]


async def test_other_attestation_has_no_keys_to_keep(client: DpsClient, enrollment):
    """A record that changes from TPM to a symmetric key gets new keys."""
    tpm = {"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}}
    await client.enrollments.create_or_update(
        "dev-1", {"registrationId": "dev-1", "attestation": tpm}
    )

    await replace(client.enrollments, "dev-1", enrollment("dev-1"))

    assert set(await keys(client)) == {"primaryKey", "secondaryKey"}


async def test_change_meanwhile_is_tried_again(client: DpsClient, order_faults, enrollment):
    """A record that changed between read and write is read and written again."""
    await client.enrollments.create_or_update("dev-1", enrollment("dev-1"))
    order_faults({"match": {"method": "PUT"}, "times": 2, "do": {"status": 412}})

    record = await replace(client.enrollments, "dev-1", enrollment("dev-1"))

    assert record.id == "dev-1"


async def test_record_that_keeps_changing_is_given_up(client: DpsClient, order_faults, enrollment):
    """After three failed preconditions the caller is told."""
    await client.enrollments.create_or_update("dev-1", enrollment("dev-1"))
    order_faults({"match": {"method": "PUT"}, "do": {"status": 412}})

    with pytest.raises(DpsPreconditionFailedError):
        await replace(client.enrollments, "dev-1", enrollment("dev-1"))


async def test_missing_record_is_not_created(client: DpsClient, enrollment):
    """There is nothing to replace where DPS knows no record."""
    with pytest.raises(DpsNotFoundError):
        await replace(client.enrollments, "dev-1", enrollment("dev-1"))
