"""Read-modify-write: replacing a record keeps its keys and retries on concurrent writes."""

from collections.abc import Callable
from typing import Any

import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.dps.read_modify_write import replace
from shared.errors import DpsNotFoundError, DpsPreconditionFailedError
from tests.secret_factory import endorsement_key, symmetric_key
from tests.shared.dps.documents import SYMMETRIC, individual

NEW_KEY = symmetric_key()


async def stored_keys(client: DpsClient) -> dict[str, str]:
    """Returns the keys that DPS stores for `dev-1`."""
    mechanism = await client.enrollments.get_attestation_mechanism("dev-1")
    return dict(mechanism["symmetricKey"])


@pytest.mark.parametrize(
    ("symmetric", "kept_names"),
    [
        ({}, {"primaryKey", "secondaryKey"}),
        ({"symmetricKey": None}, {"primaryKey", "secondaryKey"}),
        (
            {"symmetricKey": {"primaryKey": "", "secondaryKey": None}},
            {"primaryKey", "secondaryKey"},
        ),
        ({"symmetricKey": {"primaryKey": NEW_KEY}}, {"secondaryKey"}),
        ({"symmetricKey": {"primaryKey": NEW_KEY, "secondaryKey": NEW_KEY}}, set()),
    ],
    ids=["none", "null", "empty", "one", "both"],
)
async def test_keys_that_are_not_sent_are_kept(
    client: DpsClient, symmetric: dict[str, Any], kept_names: set[str]
) -> None:
    """A key of the document is written; a missing, null or empty one keeps the stored key."""
    await client.enrollments.create_or_update("dev-1", individual())
    before = await stored_keys(client)
    document = individual(attestation={**SYMMETRIC, **symmetric})

    await replace(client.enrollments, "dev-1", document)

    after = await stored_keys(client)
    assert {name for name in after if after[name] == before[name]} == kept_names
    assert {after[name] for name in after if name not in kept_names} <= {NEW_KEY}


async def test_etag_is_read_before_the_keys(client: DpsClient, dps: DpsStandIn) -> None:
    """If the keys change between the two reads, the write with the older etag fails."""
    await client.enrollments.create_or_update("dev-1", individual())

    await replace(client.enrollments, "dev-1", individual())

    calls = [(request.method, request.path.rpartition("/")[2]) for request in dps.requests[1:]]
    assert calls == [("GET", "dev-1"), ("POST", "attestationmechanism"), ("PUT", "dev-1")]


async def test_new_keys_are_generated_for_a_new_attestation_type(client: DpsClient) -> None:
    """A record that changes from TPM to symmetric keys has no keys to keep."""
    tpm = {"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}}
    await client.enrollments.create_or_update("dev-1", individual(attestation=tpm))

    await replace(client.enrollments, "dev-1", individual())

    assert set(await stored_keys(client)) == {"primaryKey", "secondaryKey"}


async def test_concurrent_write_is_retried(
    client: DpsClient,
    inject_faults: Callable[..., None],
) -> None:
    """A record that was changed between read and write is read and written again."""
    await client.enrollments.create_or_update("dev-1", individual())
    inject_faults({"match": {"method": "PUT"}, "times": 2, "do": {"status": 412}})

    record = await replace(client.enrollments, "dev-1", individual())

    assert record.id == "dev-1"


async def test_retries_are_limited(
    client: DpsClient, inject_faults: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If every write fails with 412, the error is raised."""
    monkeypatch.setattr("random.uniform", min)  # the shortest delays
    await client.enrollments.create_or_update("dev-1", individual())
    inject_faults({"match": {"method": "PUT"}, "do": {"status": 412}})

    with pytest.raises(DpsPreconditionFailedError):
        await replace(client.enrollments, "dev-1", individual())


async def test_missing_record_is_not_created(client: DpsClient) -> None:
    """Replacing a record that does not exist is a 404."""
    with pytest.raises(DpsNotFoundError):
        await replace(client.enrollments, "dev-1", individual())
