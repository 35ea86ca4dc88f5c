"""The webhook of a custom allocation: what it is asked."""

import pytest

from tests.local.dps.authorities import self_signed
from tests.local.dps.calls import tpm_document
from tests.local.dps.devices import HUBS, Device, custom, to_hub

LOGGED = [
    "enrollmentGroupId",
    "attestation",
    "capabilities",
    "etag",
    "provisioningStatus",
    "reprovisionPolicy",
    "createdDateTimeUtc",
    "lastUpdatedDateTimeUtc",
    "allocationPolicy",
    "iotHubs",
    "customAllocationDefinition",
]


def test_the_request_is_the_one_that_microsoft_logged(yard, webhook):
    """The first of a group's device: all members, in order, and no others."""
    webhook.will(to_hub(1))
    device = yard.member(
        **custom(webhook.url),
        iotHubs=list(HUBS[:2]),
        capabilities={"iotEdge": False},
        provisioningStatus="enabled",
        reprovisionPolicy={"updateHubAssignment": True, "migrateDeviceData": True},
    )
    shown = yard.owner.get("/enrollmentGroups/group-1").json()

    device.register()

    [request] = webhook.requests
    group = request["enrollmentGroup"]
    assert list(request) == ["enrollmentGroup", "deviceRuntimeContext", "linkedHubs"]
    assert list(group) == LOGGED
    assert group["attestation"] == {"type": "symmetricKey"}
    assert group["createdDateTimeUtc"] == shown["createdDateTimeUtc"]
    assert request["deviceRuntimeContext"] == {"registrationId": "dev-1", "symmetricKey": {}}
    assert request["linkedHubs"] == list(HUBS[:2])


def test_the_key_in_the_url_is_used_and_not_told(yard, webhook):
    """The real URL is called; the body has its query masked."""
    webhook.will(to_hub(1))

    yard.member(**custom(webhook.url)).register()

    definition = webhook.requests[0]["enrollmentGroup"]["customAllocationDefinition"]
    assert webhook.urls == [webhook.url]
    assert definition == {
        "webhookUrl": webhook.url.replace("code=secret", "****"),
        "apiVersion": "2021-10-01",
    }


def test_the_request_is_json(yard, webhook):
    """And says so."""
    webhook.will(to_hub(1))

    yard.member(**custom(webhook.url)).register()

    assert webhook.content_types == ["application/json"]


def test_the_etag_is_the_raw_one_in_its_quotes(yard, webhook):
    """Unlike the one of the service API it is not in base64."""
    webhook.will(to_hub(1))

    yard.individual(**custom(webhook.url)).register()

    etag = webhook.requests[0]["individualEnrollment"]["etag"]
    assert (etag[0], etag[-1], etag.count("-")) == ('"', '"', 4)


def test_absent_members_are_absent(yard, webhook):
    """With no hubs of its own an entry has no iotHubs; all that are linked are offered."""
    webhook.will(to_hub(4))

    yard.individual(**custom(webhook.url), provisioningStatus=None).register()

    [request] = webhook.requests
    assert list(request["individualEnrollment"]) == [
        "registrationId",
        "attestation",
        "etag",
        "createdDateTimeUtc",
        "lastUpdatedDateTimeUtc",
        "allocationPolicy",
        "customAllocationDefinition",
    ]
    assert request["linkedHubs"] == list(HUBS)


def test_a_device_that_comes_again_is_told_where_it_is(yard, webhook):
    """Its hub and its device id, between its registration id and its attestation."""
    webhook.will(to_hub(2))
    device = yard.individual(**custom(webhook.url), deviceId="meter-7")
    device.register()

    device.register(payload={"model": "a1"})

    context = webhook.requests[1]["deviceRuntimeContext"]
    assert list(context.items()) == [
        ("registrationId", "dev-1"),
        ("currentIotHubHostName", HUBS[1]),
        ("currentDeviceId", "meter-7"),
        ("symmetricKey", {}),
        ("payload", {"model": "a1"}),
    ]


@pytest.mark.parametrize("payload", [{}, [], "text", 0, False])
def test_a_payload_may_be_any_json(yard, webhook, payload):
    """It is handed on as it is."""
    webhook.will(to_hub(1))

    yard.individual(**custom(webhook.url)).register(payload=payload)

    assert webhook.requests[0]["deviceRuntimeContext"]["payload"] == payload


def test_a_webhook_is_told_the_endorsement_key_of_a_tpm(yard, webhook):
    """With the storage root key, if the device sent that."""
    webhook.will(to_hub(1))
    document = tpm_document("tpm-1") | custom(webhook.url)
    yard.put("/enrollments/tpm-1", document)
    keys = {**document["attestation"]["tpm"], "storageRootKey": "root"}

    Device(dps=yard.dps, id="tpm-1", tpm=keys).register()

    assert webhook.requests[0]["deviceRuntimeContext"]["tpm"] == keys


def test_a_webhook_is_told_the_certificate_of_a_device(yard, webhook, tmp_path):
    """In base64; the shape is not published."""
    webhook.will(to_hub(1))
    own = self_signed("dev-1")
    pair = {"primary": {"certificate": own.pem}}
    attestation = {"type": "x509", "x509": {"clientCertificates": pair}}
    document = {"registrationId": "dev-1", "attestation": attestation} | custom(webhook.url)
    yard.put("/enrollments/dev-1", document)

    Device(dps=yard.dps, id="dev-1", tls=own.connect(tmp_path)).register()

    told = webhook.requests[0]["deviceRuntimeContext"]["x509"]
    assert told == {"clientCertificate": "".join(own.pem.splitlines()[1:-1])}
