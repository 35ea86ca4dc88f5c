"""Refusals: the code of each, wherever it comes from."""

import pytest

from tests.contract.places import on_this_machine, over_http
from tests.secret_factory import endorsement_key

LONGEST = 128


@pytest.mark.parametrize("verb", ["get", "delete", "get_attestation_mechanism"])
async def test_unknown_id_is_not_found(dps, kind, new_id, verb):
    """Each verb on an unknown id is 404201 for enrollments, 404204 for groups."""
    reply = await getattr(dps, verb)(kind.path, new_id())

    assert reply.error == (404, kind.missing)


@pytest.mark.parametrize("verb", ["get", "delete"])
@on_this_machine
async def test_unknown_registration_is_not_found(dps, new_id, verb):
    """Each verb on a registration that is not there is 404202."""
    reply = await getattr(dps, verb)("registrations", new_id())

    assert reply.error == (404, 404202)


@pytest.mark.parametrize("bad", ["with space", "with@sign", "ends-in.", "x" * (LONGEST + 1)])
async def test_illegal_id_is_refused(dps, kind, bad):
    """An id with other characters, another end or too long is 400004."""
    reply = await dps.create_or_update(kind.path, bad, kind.document(bad))

    assert reply.error == (400, 400004)


async def test_custom_allocation_needs_a_definition(dps, kind, new_id):
    """The policy `custom` without customAllocationDefinition is 400004."""
    id_ = new_id()

    reply = await dps.create_or_update(
        kind.path, id_, kind.document(id_, allocationPolicy="custom")
    )

    assert reply.error == (400, 400004)


@pytest.mark.parametrize("key", ["no base64!", "c2hvcnQ="], ids=["not base64", "too short"])
async def test_bad_key_is_refused(dps, kind, new_id, key):
    """A symmetric key that is no base64 of 16 to 64 bytes is 400004."""
    id_ = new_id()
    keys = {"primaryKey": key, "secondaryKey": key}
    attestation = {"type": "symmetricKey", "symmetricKey": keys}

    reply = await dps.create_or_update(kind.path, id_, kind.document(id_, attestation=attestation))

    assert reply.error == (400, 400004)


async def test_group_cannot_have_a_tpm(dps, new_id):
    """TPM attestation is for individual enrollments only."""
    attestation = {"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}}
    document = {"enrollmentGroupId": new_id(), "attestation": attestation}

    reply = await dps.create_or_update("enrollmentGroups", document["enrollmentGroupId"], document)

    assert reply.error == (400, 400004)


async def test_refused_put_creates_nothing(dps, kind, new_id):
    """A document that was refused is not there afterwards."""
    id_ = new_id()
    await dps.create_or_update(kind.path, id_, kind.document(id_, allocationPolicy="custom"))

    reply = await dps.get(kind.path, id_)

    assert reply.status == 404


async def test_static_allocation_needs_no_hub(dps, kind, new_id):
    """The policy `static` is taken without iotHubs, as recorded."""
    id_ = new_id()

    reply = await dps.create_or_update(
        kind.path, id_, kind.document(id_, allocationPolicy="static", iotHubs=None)
    )

    assert (reply.status, reply.document["allocationPolicy"]) == (200, "static")


async def test_definition_is_taken_with_any_policy(dps, kind, new_id):
    """A customAllocationDefinition beside another policy than `custom` is kept."""
    id_ = new_id()
    definition = {"webhookUrl": "https://allocate.example.com/", "apiVersion": "2021-10-01"}
    document = kind.document(
        id_, allocationPolicy="geoLatency", customAllocationDefinition=definition
    )

    reply = await dps.create_or_update(kind.path, id_, document)

    assert (reply.status, reply.document["customAllocationDefinition"]) == (200, definition)


@over_http
async def test_error_has_the_documented_members(dps, kind, new_id):
    """A refusal names code, tracking id, message and time, as the REST specification has it."""
    reply = await dps.get(kind.path, new_id())

    assert {"errorCode", "trackingId", "message", "timestampUtc"} <= reply.document.keys()
    assert reply.document["errorCode"] // 1000 == reply.status
