"""Reconciliation: writes with a lost response, and the comparison of a record with a request."""

import hashlib
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest

from shared.dps import DpsClient
from shared.dps.reconciliation import matches_request
from shared.errors import (
    DpsConflictError,
    DpsFaultError,
    DpsPreconditionFailedError,
    DpsReplyLostError,
    OutcomeUnknownError,
)
from tests.secret_factory import certificate, endorsement_key, symmetric_key

PEM = certificate("dev-1")
DER = "".join(PEM.split("-----")[2].split())
THUMBPRINT = hashlib.sha256(b64decode(DER)).hexdigest().upper()
ID = "dev-1"
LOST = {"resetAfterCommit": True}
ATTESTATIONS = {
    "generated keys": {"type": "symmetricKey"},
    "requested keys": {
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
    """Returns an individual enrollment; `members` are added or replaced."""
    return {"registrationId": ID, "attestation": ATTESTATIONS["generated keys"], **members}


@pytest.fixture
def lose_response(inject_faults: Callable[..., None]) -> Callable[[str], None]:
    """Loses the next response to a method, after DPS applied the request."""
    return lambda method: inject_faults({"match": {"method": method}, "times": 1, "do": LOST})


@pytest.mark.parametrize(
    "ignored",
    [{"credentialPolicyName": "policy-1"}, {"namespaceName": "namespace-1"}, {"deviceId": ""}],
    ids=str,
)
async def test_lost_response_to_a_member_that_dps_ignores(
    client: DpsClient, lose_response: Callable[[str], None], ignored: dict[str, str]
) -> None:
    """The record is the request's without the members of other API versions, and empty ones."""
    lose_response("PUT")

    record = await client.enrollments.create_or_update(ID, enrollment(**ignored))

    assert not record.keys() & ignored.keys()


@pytest.mark.parametrize("attestation", ATTESTATIONS.values(), ids=ATTESTATIONS)
async def test_create_with_a_lost_response_succeeds(
    client: DpsClient, lose_response: Callable[[str], None], attestation: Any
) -> None:
    """The stored record matches the request, so it is returned like the response to the PUT."""
    lose_response("PUT")

    record = await client.enrollments.create_or_update(ID, enrollment(attestation=attestation))

    mechanism = await client.enrollments.get_attestation_mechanism(ID)
    assert record["attestation"] == mechanism
    assert "registrationState" not in record
    assert record.etag == (await client.enrollments.get(ID)).etag


async def test_create_with_a_lost_response_of_a_different_record_is_a_conflict(
    client: DpsClient, lose_response: Callable[[str], None]
) -> None:
    """A stored record that differs from the request was not written by it."""
    await client.enrollments.create_or_update(ID, enrollment(deviceId="other"))
    lose_response("PUT")

    with pytest.raises(DpsConflictError):
        await client.enrollments.create_or_update(ID, enrollment(deviceId="ours"))


async def test_create_with_a_lost_response_and_different_keys_is_a_conflict(
    client: DpsClient, lose_response: Callable[[str], None]
) -> None:
    """A stored record with other keys than the requested ones was not written by the request."""
    requested_keys = ATTESTATIONS["requested keys"]
    await client.enrollments.create_or_update(ID, enrollment())
    lose_response("PUT")

    with pytest.raises(DpsConflictError):
        await client.enrollments.create_or_update(ID, enrollment(attestation=requested_keys))


async def test_update_with_a_lost_response_succeeds(
    client: DpsClient, lose_response: Callable[[str], None]
) -> None:
    """The 412 of the repeated update is not raised: the first attempt was applied."""
    before = await client.enrollments.create_or_update(ID, enrollment())
    lose_response("PUT")

    record = await client.enrollments.create_or_update(
        ID, enrollment(deviceId="new"), if_match=before.etag
    )

    assert record["deviceId"] == "new"
    assert record.etag != before.etag


async def test_update_with_an_outdated_etag_is_a_failed_precondition(
    client: DpsClient, lose_response: Callable[[str], None]
) -> None:
    """The 412 is raised if the stored record does not match the request."""
    before = await client.enrollments.create_or_update(ID, enrollment())
    await client.enrollments.create_or_update(ID, enrollment(deviceId="other"), if_match="*")
    lose_response("PUT")

    with pytest.raises(DpsPreconditionFailedError):
        await client.enrollments.create_or_update(
            ID, enrollment(deviceId="ours"), if_match=before.etag
        )


@pytest.mark.parametrize("by_etag", [False, True], ids=["without etag", "by etag"])
async def test_delete_with_a_lost_response_succeeds(
    client: DpsClient, lose_response: Callable[[str], None], by_etag: bool
) -> None:
    """The 404 or 412 of the repeated delete is not raised: the record is gone."""
    record = await client.enrollments.create_or_update(ID, enrollment())
    lose_response("DELETE")

    await client.enrollments.delete(ID, if_match=record.etag if by_etag else None)

    assert [record async for record in client.enrollments.query({"query": "*"})] == []


async def test_delete_with_an_outdated_etag_is_a_failed_precondition(
    client: DpsClient, lose_response: Callable[[str], None]
) -> None:
    """The 412 is raised if the record still exists."""
    before = await client.enrollments.create_or_update(ID, enrollment())
    await client.enrollments.create_or_update(ID, enrollment(), if_match="*")
    lose_response("DELETE")

    with pytest.raises(DpsPreconditionFailedError):
        await client.enrollments.delete(ID, if_match=before.etag)


@pytest.mark.parametrize("mode", ["create", "update", "updateIfMatchETag", "delete"])
async def test_bulk_operation_with_a_lost_response_succeeds(
    client: DpsClient, lose_response: Callable[[str], None], mode: str
) -> None:
    """In every mode the stored records show that the operation was applied."""
    etag = {}
    if mode != "create":
        etag["etag"] = (await client.enrollments.create_or_update(ID, enrollment())).etag
    operation = {"mode": mode, "enrollments": [enrollment(deviceId="new", **etag)]}
    lose_response("POST")

    result = await client.enrollments.run_bulk_operation(operation)

    assert result == {"errors": [], "isSuccessful": True}


async def test_repeated_bulk_operation_reports_only_real_conflicts(
    client: DpsClient, lose_response: Callable[[str], None]
) -> None:
    """Only a record that does not match the request is an error of the result."""
    theirs = enrollment(deviceId="other") | {"registrationId": "dev-0"}
    await client.enrollments.create_or_update("dev-0", theirs)
    ours = [enrollment(deviceId="ours"), enrollment(deviceId="ours") | {"registrationId": "dev-0"}]
    lose_response("POST")

    result = await client.enrollments.run_bulk_operation({"mode": "create", "enrollments": ours})

    assert [error["registrationId"] for error in result["errors"]] == ["dev-0"]
    assert result["isSuccessful"] is False


async def test_id_in_a_bulk_error_is_as_it_was_sent(
    client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """A caller that looks its record up among the errors finds it."""
    inject_faults({"match": {"method": "POST"}, "do": {"resetBefore": True}})
    ours = [enrollment() | {"registrationId": "Press-0117"}]

    result = await client.enrollments.run_bulk_operation({"mode": "create", "enrollments": ours})

    assert [error["registrationId"] for error in result["errors"]] == ["Press-0117"]


async def test_write_that_was_not_applied_is_a_lost_response(
    client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """If the record does not match the request, the error is in doubt: DPS may apply it later."""
    inject_faults({"match": {"method": "PUT"}, "do": {"resetBefore": True}})

    with pytest.raises(DpsReplyLostError) as raised:
        await client.enrollments.create_or_update(ID, enrollment())

    assert raised.value.in_doubt


async def test_write_without_any_response_succeeds_if_it_was_applied(
    client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """Even if every attempt loses its response, the stored record decides."""
    inject_faults({"match": {"method": "PUT"}, "do": LOST})

    record = await client.enrollments.create_or_update(ID, enrollment(deviceId="new"))

    assert record["deviceId"] == "new"


async def test_write_that_cannot_be_reconciled_has_an_unknown_outcome(
    client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """If the record cannot be read, a conflict may be the effect of the write itself."""
    inject_faults(
        {"match": {"method": "GET"}, "do": {"status": 429, "headers": {"Retry-After": "60"}}},
        {"match": {"method": "PUT"}, "times": 1, "do": LOST},
    )

    with pytest.raises(OutcomeUnknownError):
        await client.enrollments.create_or_update(ID, enrollment())


@pytest.mark.parametrize("status", [401, 429])
async def test_refusal_after_a_lost_response_has_an_unknown_outcome(
    client: DpsClient, inject_faults: Callable[..., None], status: int
) -> None:
    """A 401 or 429 for the second attempt does not mean that the first was not applied."""
    inject_faults(
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
    "hubs": (
        {"allocationPolicy": "static", "iotHubs": ["hub-1.azure-devices.net"]},
        {"allocationPolicy": "static", "iotHubs": []},
    ),
}


@pytest.mark.parametrize("etag", ["etag", "any"])
@pytest.mark.parametrize(("before", "after"), REMOVALS.values(), ids=REMOVALS)
async def test_removal_that_was_not_applied_fails(
    client: DpsClient, inject_faults: Callable[..., None], before: Any, after: Any, etag: str
) -> None:
    """A record that still has the member that the write was to remove was not written."""
    stored = await client.enrollments.create_or_update(ID, enrollment(**before))
    inject_faults({"match": {"method": "PUT"}, "do": {"status": 503}})

    with pytest.raises(DpsFaultError):
        await client.enrollments.create_or_update(
            ID, enrollment(**after), if_match=stored.etag if etag == "etag" else "*"
        )


async def test_write_of_an_equal_record_is_applied_only_with_a_new_etag(
    client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """A record that still has the replaced etag was not written."""
    stored = await client.enrollments.create_or_update(ID, enrollment())
    inject_faults({"match": {"method": "PUT"}, "do": {"status": 503}})

    with pytest.raises(DpsFaultError):
        await client.enrollments.create_or_update(ID, enrollment(), if_match=f'"{stored.etag}"')


async def test_bulk_removal_that_was_not_applied_fails(
    client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """In a bulk operation too, a record that still has its etag was not written."""
    stored = await client.enrollments.create_or_update(ID, enrollment(deviceId="old"))
    inject_faults({"match": {"path": "^/enrollments$"}, "do": {"status": 503}})
    operation = {"mode": "updateIfMatchETag", "enrollments": [enrollment(etag=stored.etag)]}

    result = await client.enrollments.run_bulk_operation(operation)

    assert [error["errorCode"] for error in result["errors"]] == [503004]


async def test_response_that_is_no_record_is_reconciled(
    client: DpsClient, inject_faults: Callable[..., None]
) -> None:
    """A 200 with anything but a record is no success, even if an older record is equal."""
    await client.enrollments.create_or_update(ID, enrollment(deviceId="new"))
    inject_faults({"match": {"method": "PUT"}, "do": {"status": 200, "body": []}})

    with pytest.raises(DpsFaultError):
        await client.enrollments.create_or_update(ID, enrollment(deviceId="new"), if_match="*")


KEY, OTHER_KEY = symmetric_key(), symmetric_key()


def with_keys(**members: Any) -> dict[str, Any]:
    """Returns a record with symmetric keys."""
    return {"attestation": {"type": "symmetricKey", "symmetricKey": members}}


def with_certificate(**primary: Any) -> dict[str, Any]:
    """Returns a record with a primary client certificate."""
    return {"attestation": {"x509": {"clientCertificates": {"primary": primary}}}}


def with_webhook(url: str) -> dict[str, Any]:
    """Returns a record with a webhook URL."""
    return {"customAllocationDefinition": {"webhookUrl": url, "apiVersion": "2021-10-01"}}


STORED_CERTIFICATE = with_certificate(info={"sha256Thumbprint": THUMBPRINT})


@pytest.mark.parametrize(
    ("stored", "requested"),
    [
        ({"registrationId": "Dev-1"}, {"registrationId": "dev-1"}),
        ({"allocationPolicy": "hashed", "provisioningStatus": "enabled"}, {}),
        ({"reprovisionPolicy": {"migrateDeviceData": True}}, {"reprovisionPolicy": {}}),
        ({"enrollmentGroupId": "G"}, {"enrollmentGroupId": "g"}),
        ({}, {"deviceId": None, "iotHubs": [], "initialTwin": {}, "capabilities": {"x": None}}),
        ({"etag": "new"}, {"etag": "old", "createdDateTimeUtc": "x", "registrationState": {}}),
        ({"a": {"b": [1, {"c": 2}], "d": None}}, {"a": {"b": [1.0, {"c": 2}], "e": {}}}),
        (
            with_keys(primaryKey=KEY, secondaryKey=OTHER_KEY),
            with_keys(primaryKey=KEY, secondaryKey=""),
        ),
        ({"attestation": {"type": "symmetricKey"}}, with_keys(primaryKey=None)),
        (STORED_CERTIFICATE, with_certificate(certificate=PEM)),
        (STORED_CERTIFICATE, with_certificate(certificate=DER)),
        (STORED_CERTIFICATE, with_certificate(info={"sha256Thumbprint": THUMBPRINT.lower()})),
        (STORED_CERTIFICATE, with_certificate(certificate=f"subject=CN = dev-1\n{PEM}")),
        (STORED_CERTIFICATE, with_certificate(certificate=PEM, info={"sha256Thumbprint": "00"})),
        (with_webhook("https://x/y?****"), with_webhook("https://x/y?code=1")),
        (with_webhook("https://x/y?code=1"), with_webhook("https://x/y?****")),
        ({}, {"deviceId": "", "credentialPolicyName": "of another API version"}),
    ],
)
def test_stored_record_matches_the_request(stored: Any, requested: Any) -> None:
    """
    Nulls, keys not sent, read-only members, documented defaults and masks do not differ.

    Nor does a member that DPS has not stored, if it is not of this app's API version.
    """
    assert matches_request(stored, requested)


@pytest.mark.parametrize(
    ("stored", "requested"),
    [
        ({"registrationId": "dev-1"}, {"registrationId": "dev-2"}),
        ({}, {"deviceId": "d"}),
        ({}, {"iotHubHostName": "h"}),
        ({"x": 1}, {"x": 2}),
        ({"x": 1}, {}),
        ({"deviceId": "d"}, {}),
        ({"initialTwin": {"tags": {"a": 1, "b": 2}}}, {"initialTwin": {"tags": {"a": 1}}}),
        ({"initialTwin": {"tags": {"a": 1}}}, {"initialTwin": {"tags": {}}}),
        ({"iotHubs": ["a"]}, {"iotHubs": []}),
        ({"reprovisionPolicy": {"a": 1}}, {"reprovisionPolicy": {"a": 2}}),
        (STORED_CERTIFICATE, {"attestation": {"x509": {"clientCertificates": {"primary": None}}}}),
        (STORED_CERTIFICATE, with_certificate(certificate="no certificate")),
        (
            STORED_CERTIFICATE,
            with_certificate(certificate=certificate("dev-2"), info={"version": 3}),
        ),
        ({"capabilities": {"iotEdge": 1}}, {"capabilities": {"iotEdge": True}}),
        ({"iotHubs": ["a"]}, {"iotHubs": ["a", "b"]}),
        ({"provisioningStatus": "disabled"}, {}),
        ({"allocationPolicy": "custom"}, {}),
        ({"capabilities": {"iotEdge": True}}, {}),
        ({"reprovisionPolicy": {"updateHubAssignment": False}}, {}),
        ({"initialTwin": {"tags": {"a": "x"}}}, {"initialTwin": {"tags": {"a": {"b": 1}}}}),
        ({"initialTwin": {"tags": {"etag": "x"}}}, {"initialTwin": {"tags": {"etag": "y"}}}),
        (with_keys(primaryKey=OTHER_KEY), with_keys(primaryKey=KEY)),
        (with_certificate(info={"sha256Thumbprint": "00"}), with_certificate(certificate=PEM)),
        ({"attestation": {"type": "none"}}, with_certificate(certificate=PEM)),
        (with_webhook("https://x/y?****"), with_webhook("https://x/z?code=1")),
        (with_webhook("https://x/y?code=1"), with_webhook("https://x/y?code=2")),
    ],
)
def test_stored_record_does_not_match_the_request(stored: Any, requested: Any) -> None:
    """A missing, different or additional member is a difference."""
    assert not matches_request(stored, requested)
