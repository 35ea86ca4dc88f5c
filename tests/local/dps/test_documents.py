"""What the service refuses to store: 400004, with words, and without a value that was sent."""

import pytest

from tests.local.dps.calls import ENROLLMENT
from tests.secret_factory import symmetric_key

CUSTOM = "A CustomAllocationDefinition is required when the allocation policy is set to 'Custom'"
BOOLEANS = {"updateHubAssignment": True, "migrateDeviceData": True}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"allocationPolicy": "custom"}, CUSTOM),
        ({"allocationPolicy": "Hashed"}, "Invalid AllocationPolicy"),
        ({"allocationPolicy": 1}, "Invalid AllocationPolicy"),
        ({"provisioningStatus": "on"}, "Invalid ProvisioningStatus"),
        ({"deviceId": "no spaces"}, "Invalid DeviceId"),
        ({"deviceId": "x" * 129}, "Invalid DeviceId"),
        ({"capabilities": {}}, "Invalid Capabilities"),
        ({"reprovisionPolicy": {"updateHubAssignment": True}}, "Invalid ReprovisionPolicy"),
        ({"reprovisionPolicy": BOOLEANS | {"migrateDeviceData": 1}}, "Invalid ReprovisionPolicy"),
        (
            {"customAllocationDefinition": {"webhookUrl": "https://a.test"}},
            "Invalid CustomAllocationDefinition",
        ),
        ({"iotHubHostName": 1}, "Invalid IotHubHostName"),
        ({"initialTwin": []}, "Invalid InitialTwin"),
        ({"optionalDeviceInformation": ""}, "Invalid OptionalDeviceInformation"),
        ({"iotHubs": "hub-1.azure-devices.net"}, "Invalid IotHubs"),
        (
            {"iotHubs": ["hub-9.azure-devices.net"]},
            "The IotHubs are not linked to the provisioning service",
        ),
        ({"attestation": None}, "The attestation is required"),
    ],
)
def test_a_document_with_a_fault_is_400(client, kind, members, words):
    """Every rule of the documentation is kept, on both kinds of records."""
    reply = client.put(f"/{kind.path}/rec-1", json=kind.document(**members))

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
    assert reply.json()["message"] == words


@pytest.mark.parametrize(
    "members",
    [
        {"allocationPolicy": "static"},
        {"allocationPolicy": "static", "iotHubs": None},
        {"iotHubs": ["HUB-2.azure-devices.net", "hub-1.azure-devices.net"]},
        {
            "allocationPolicy": "geoLatency",
            "customAllocationDefinition": {
                "webhookUrl": "https://a.test",
                "apiVersion": "2019-03-31",
            },
        },
        {"provisioningStatus": "disabled", "capabilities": {"iotEdge": False}},
        {"etag": "x", "registrationState": {"status": "assigned"}, "createdDateTimeUtc": "1"},
    ],
)
def test_what_the_service_takes_is_taken(client, kind, members):
    """Static without hubs, a definition nobody needs, and read-only members are no faults."""
    reply = client.put(f"/{kind.path}/rec-1", json=kind.document(**members))

    assert reply.status_code == 200


@pytest.mark.parametrize("id_", ["a", "A-", "a.b_c:d-1", "x" * 128])
def test_a_legal_id_is_taken(client, kind, id_):
    """Up to 128 alphanumerics and - . _ : with an alphanumeric or a dash at the end."""
    reply = client.put(f"/{kind.path}/{id_}", json=kind.document(id_))

    assert reply.status_code == 200


@pytest.mark.parametrize("id_", ["a.", "a b", "a@b", "ä", "x" * 129])
def test_an_illegal_id_is_400(client, kind, id_):
    """The words are the service's."""
    reply = client.put(f"/{kind.path}/{id_}", json=kind.document(id_))

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
    assert reply.json()["message"] == f"Invalid {kind.id_member[0].upper()}{kind.id_member[1:]}"


@pytest.mark.parametrize("body_id", ["other", None, 1])
def test_the_id_in_the_body_must_be_that_of_the_path(client, kind, body_id):
    """Another one, or none, is refused."""
    reply = client.put(f"/{kind.path}/rec-1", json=kind.document(body_id))

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)


def test_an_error_tells_code_tracking_id_message_and_time(client, kind):
    """The body has the documented shape, and repeats no key."""
    key = symmetric_key(8)
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": key}}

    reply = client.put(f"/{kind.path}/rec-1", json=kind.document(attestation=attestation))

    assert list(reply.json()) == ["errorCode", "trackingId", "message", "timestampUtc"]
    assert reply.headers["x-ms-error-code"] == "400004"
    assert key not in reply.text


def test_an_empty_device_id_counts_as_none(client):
    """It is left out of the answer."""
    reply = client.put("/enrollments/rec-1", json=ENROLLMENT.document(deviceId=""))

    assert "deviceId" not in reply.json()
