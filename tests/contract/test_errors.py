"""Error responses and their codes."""

from collections.abc import Callable

import pytest

from tests.contract.clients import Client
from tests.contract.targets import http_only, local_only
from tests.local.dps.calls import Kind
from tests.secret_factory import certificate, endorsement_key

MAX_ID_LENGTH = 128


@pytest.mark.parametrize("verb", ["get", "delete", "get_attestation_mechanism"])
async def test_unknown_id_is_not_found(
    dps: Client, kind: Kind, new_id: Callable[..., str], verb: str
) -> None:
    """Each operation on an unknown id is 404201 for enrollments and 404204 for groups."""
    reply = await getattr(dps, verb)(kind.path, new_id())

    assert reply.error == (404, kind.missing)


@pytest.mark.parametrize("verb", ["get", "delete"])
@local_only
async def test_unknown_registration_is_not_found(
    dps: Client, new_id: Callable[..., str], verb: str
) -> None:
    """Each operation on an unknown registration is 404202."""
    reply = await getattr(dps, verb)("registrations", new_id())

    assert reply.error == (404, 404202)


@pytest.mark.parametrize("id_", ["with space", "with@sign", "ends-in.", "x" * (MAX_ID_LENGTH + 1)])
async def test_illegal_id_is_refused(dps: Client, kind: Kind, id_: str) -> None:
    """An id with an illegal character, an illegal end or too many characters is 400004."""
    reply = await dps.create_or_update(kind.path, id_, kind.document(id_))

    assert reply.error == (400, 400004)


async def test_custom_allocation_needs_a_definition(
    dps: Client, kind: Kind, new_id: Callable[..., str]
) -> None:
    """The allocation policy `custom` without customAllocationDefinition is 400004."""
    id_ = new_id()

    reply = await dps.create_or_update(
        kind.path, id_, kind.document(id_, allocationPolicy="custom")
    )

    assert reply.error == (400, 400004)


async def test_hubs_need_an_allocation_policy(
    dps: Client, kind: Kind, new_id: Callable[..., str]
) -> None:
    """Hubs without an allocation policy are 400004 (azure-sdk-for-python, issue 35368)."""
    id_ = new_id()
    document = kind.document(id_, iotHubs=["hub-1.azure-devices.net"])

    reply = await dps.create_or_update(kind.path, id_, document)

    assert reply.error == (400, 400004)


@pytest.mark.parametrize(
    "text",
    [certificate("device") + certificate("ca"), "no certificate"],
    ids=["chain", "no certificate"],
)
async def test_text_that_is_not_one_certificate_is_refused(
    dps: Client, kind: Kind, new_id: Callable[..., str], text: str
) -> None:
    """A chain in one text, and rubbish, are 400004 (azure-docs, issue 6886; iotedge, 2738)."""
    id_ = new_id()
    details = {kind.certificates: {"primary": {"certificate": text}}}
    document = kind.document(id_, attestation={"type": "x509", "x509": details})

    reply = await dps.create_or_update(kind.path, id_, document)

    assert reply.error == (400, 400004)


@pytest.mark.parametrize("key", ["no base64!", "c2hvcnQ="], ids=["not base64", "too short"])
async def test_invalid_key_is_refused(
    dps: Client, kind: Kind, new_id: Callable[..., str], key: str
) -> None:
    """A symmetric key that is not base64 of 16 to 64 bytes is 400004."""
    id_ = new_id()
    keys = {"primaryKey": key, "secondaryKey": key}
    attestation = {"type": "symmetricKey", "symmetricKey": keys}

    reply = await dps.create_or_update(kind.path, id_, kind.document(id_, attestation=attestation))

    assert reply.error == (400, 400004)


async def test_group_with_tpm_is_refused(dps: Client, new_id: Callable[..., str]) -> None:
    """A group with TPM attestation, which is for individual enrollments only, is 400004."""
    attestation = {"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}}
    id_ = new_id()
    document = {"enrollmentGroupId": id_, "attestation": attestation}

    reply = await dps.create_or_update("enrollmentGroups", id_, document)

    assert reply.error == (400, 400004)


async def test_refused_put_creates_nothing(
    dps: Client, kind: Kind, new_id: Callable[..., str]
) -> None:
    """After a refused PUT a GET is 404."""
    id_ = new_id()
    await dps.create_or_update(kind.path, id_, kind.document(id_, allocationPolicy="custom"))

    reply = await dps.get(kind.path, id_)

    assert reply.status == 404


async def test_static_allocation_needs_no_hub(
    dps: Client, kind: Kind, new_id: Callable[..., str]
) -> None:
    """The allocation policy `static` without iotHubs is accepted, as recorded."""
    id_ = new_id()

    reply = await dps.create_or_update(
        kind.path, id_, kind.document(id_, allocationPolicy="static", iotHubs=None)
    )

    assert (reply.status, reply.document["allocationPolicy"]) == (200, "static")


async def test_definition_is_accepted_with_any_policy(
    dps: Client, kind: Kind, new_id: Callable[..., str]
) -> None:
    """A customAllocationDefinition with another policy than `custom` is stored."""
    id_ = new_id()
    definition = {"webhookUrl": "https://allocate.example.com/", "apiVersion": "2021-10-01"}
    document = kind.document(
        id_, allocationPolicy="geoLatency", customAllocationDefinition=definition
    )

    reply = await dps.create_or_update(kind.path, id_, document)

    assert (reply.status, reply.document["customAllocationDefinition"]) == (200, definition)


@http_only
async def test_error_has_documented_members(
    dps: Client, kind: Kind, new_id: Callable[..., str]
) -> None:
    """An error has code, tracking id, message and time, as the REST specification documents."""
    reply = await dps.get(kind.path, new_id())

    assert {"errorCode", "trackingId", "message", "timestampUtc"} <= reply.document.keys()
    assert reply.document["errorCode"] // 1000 == reply.status
