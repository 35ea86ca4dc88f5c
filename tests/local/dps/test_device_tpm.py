"""Devices with TPMs: found by their endorsement key, and believed."""

import pytest

from tests.local.dps.calls import tpm_document
from tests.local.dps.devices import Device
from tests.secret_factory import endorsement_key


def enroll(yard, **members):
    """An enrollment by endorsement key, and its device."""
    document = tpm_document("tpm-1") | members
    yard.put("/enrollments/tpm-1", document)
    tpm = {"endorsementKey": document["attestation"]["tpm"]["endorsementKey"]}
    return Device(dps=yard.dps, id="tpm-1", tpm=tpm)


def test_an_enrolled_endorsement_key_is_assigned(yard):
    """Without any signature: the challenge that would bring one is not done."""
    state = enroll(yard).register()

    assert (state["status"], state["deviceId"]) == ("assigned", "tpm-1")


def test_every_answer_says_that_the_challenge_is_not_done(yard):
    """Lest anybody take it for a proof."""
    device = enroll(yard)
    replies = [device.put()]
    operation_id = replies[0].json()["operationId"]
    device.finish(operation_id)

    replies += [
        device.poll(operation_id),
        device.send("POST", "", json={"registrationId": "tpm-1", "tpm": device.tpm}),
    ]

    assert [reply.status_code for reply in replies] == [202, 200, 200]
    assert all("challenge is not done" in reply.headers["x-local-dps"] for reply in replies)


def test_a_device_that_proves_itself_is_told_nothing_of_challenges(yard):
    """The header is for TPMs alone."""
    assert "x-local-dps" not in yard.individual().put().headers


@pytest.mark.parametrize("id_", ["tpm-1", "tpm-2"])
def test_an_endorsement_key_nobody_enrolled_fails(yard, id_):
    """With the code of a missing enrollment, once the device asks; not with 401."""
    enroll(yard)

    state = Device(dps=yard.dps, id=id_, tpm={"endorsementKey": endorsement_key()}).register()

    assert (state["status"], state["errorCode"]) == ("failed", 404201)
    assert yard.registration(id_)["errorCode"] == 404201


def test_a_disabled_tpm_is_disabled(yard):
    """As any other device."""
    assert enroll(yard, provisioningStatus="disabled").register()["status"] == "disabled"


def test_an_endorsement_key_does_not_open_another_kind_of_enrollment(yard):
    """Whoever enrolled a symmetric key wants a signature."""
    yard.individual("tpm-1")

    state = Device(dps=yard.dps, id="tpm-1", tpm={"endorsementKey": endorsement_key()}).register()

    assert state["status"] == "failed"


def test_the_id_of_an_operation_opens_no_other_device_s(yard):
    """A TPM polls by the id that it was given; for other devices that is not enough."""
    device = yard.individual()
    operation_id = device.put().json()["operationId"]

    assert Device(dps=yard.dps, id="dev-1").poll(operation_id).status_code == 401


@pytest.mark.parametrize("tpm", [{}, {"endorsementKey": 1}, "key", []])
def test_a_tpm_without_endorsement_key_is_400(yard, tpm):
    """There is nothing to look up."""
    reply = Device(dps=yard.dps, id="tpm-1").put(tpm=tpm)

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
