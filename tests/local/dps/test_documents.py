"""Validation of enrollment documents."""

from typing import Any

import httpx
import pytest

from tests.local.dps.calls import ENROLLMENT, Kind
from tests.secret_factory import symmetric_key

CUSTOM_MESSAGE = (
    "A CustomAllocationDefinition is required when the allocation policy is set to 'Custom'"
)
WITHOUT_POLICY = "Enrollment allocationPolicy must be specified when iotHubs are specified."
BOOLEANS = {"updateHubAssignment": True, "migrateDeviceData": True}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"allocationPolicy": "custom"}, CUSTOM_MESSAGE),
        ({"allocationPolicy": "hash"}, "Invalid AllocationPolicy"),
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
        ({"iotHubs": ["hub-1.azure-devices.net"]}, WITHOUT_POLICY),
        ({"iotHubs": ["hub-1.azure-devices.net"], "allocationPolicy": None}, WITHOUT_POLICY),
        (
            {"allocationPolicy": "hashed", "iotHubs": ["hub-9.azure-devices.net"]},
            "The IotHubs are not linked to the provisioning service",
        ),
        ({"attestation": None}, "The attestation is required"),
    ],
)
def test_invalid_document_is_400(
    client: httpx.Client, kind: Kind, members: dict[str, Any], message: str
) -> None:
    """The documented rules apply to enrollments and groups."""
    response = client.put(f"/{kind.path}/rec-1", json=kind.document(**members))

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
    assert response.json()["message"] == message


@pytest.mark.parametrize(
    "members",
    [
        {"allocationPolicy": "static"},
        {"allocationPolicy": "static", "iotHubs": None},
        {
            "allocationPolicy": "hashed",
            "iotHubs": ["HUB-2.azure-devices.net", "hub-1.azure-devices.net"],
        },
        {"iotHubs": []},
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
def test_valid_document_is_accepted(
    client: httpx.Client, kind: Kind, members: dict[str, Any]
) -> None:
    """Static without hubs, an unused webhook definition and read-only members are valid."""
    response = client.put(f"/{kind.path}/rec-1", json=kind.document(**members))

    assert response.status_code == 200


@pytest.mark.parametrize("id_", ["a", "A-", "a.b_c:d-1", "x" * 128])
def test_valid_id_is_accepted(client: httpx.Client, kind: Kind, id_: str) -> None:
    """An id has up to 128 letters, digits and - . _ : and ends with a letter, digit or dash."""
    response = client.put(f"/{kind.path}/{id_}", json=kind.document(id_))

    assert response.status_code == 200


@pytest.mark.parametrize("id_", ["a.", "a b", "a@b", "ä", "x" * 129])
def test_invalid_id_is_400(client: httpx.Client, kind: Kind, id_: str) -> None:
    """The error has DPS's message."""
    response = client.put(f"/{kind.path}/{id_}", json=kind.document(id_))

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
    assert response.json()["message"] == f"Invalid {kind.id_member[0].upper()}{kind.id_member[1:]}"


@pytest.mark.parametrize("body_id", ["other", None, 1])
def test_id_in_the_body_other_than_in_the_path_is_400(
    client: httpx.Client, kind: Kind, body_id: str | int | None
) -> None:
    """A missing id is an error too."""
    response = client.put(f"/{kind.path}/rec-1", json=kind.document(body_id))

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)


def test_error_body_has_the_documented_members(client: httpx.Client, kind: Kind) -> None:
    """The error does not repeat the key that was sent."""
    key = symmetric_key(8)
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": key}}

    response = client.put(f"/{kind.path}/rec-1", json=kind.document(attestation=attestation))

    assert list(response.json()) == ["errorCode", "trackingId", "message", "timestampUtc"]
    assert response.headers["x-ms-error-code"] == "400004"
    assert key not in response.text


# As ARM, Bicep, Terraform, the Java SDK and the CLI spell enum values.
SPELLINGS = [
    ("allocationPolicy", "Hashed", "hashed"),
    ("allocationPolicy", "geolatency", "geoLatency"),
    ("allocationPolicy", "GeoLatency", "geoLatency"),
    ("allocationPolicy", "STATIC", "static"),
    ("provisioningStatus", "Disabled", "disabled"),
    ("provisioningStatus", "ENABLED", "enabled"),
]


@pytest.mark.parametrize(("member", "sent", "stored"), SPELLINGS)
def test_enum_value_in_another_case_is_stored_as_dps_spells_it(
    client: httpx.Client, kind: Kind, member: str, sent: str, stored: str
) -> None:
    """PUT, bulk, GET and query give the same value."""
    documents = [kind.document(id_, **{member: sent}) for id_ in ("rec-1", "rec-2")]

    put = client.put(f"/{kind.path}/rec-1", json=documents[0]).json()
    client.post(f"/{kind.path}", json={kind.path: documents[1:], "mode": "Create"})

    read = client.get(f"/{kind.path}/rec-2").json()
    queried = client.post(f"/{kind.path}/query", json={"query": ""}).json()
    assert [shown[member] for shown in (put, read, *queried)] == [stored] * 4


def test_custom_policy_in_another_case_needs_its_definition(
    client: httpx.Client, kind: Kind
) -> None:
    """The rules for `custom` apply to CUSTOM, as the Java SDK sends it."""
    response = client.put(f"/{kind.path}/rec-1", json=kind.document(allocationPolicy="CUSTOM"))

    assert (response.status_code, response.json()["message"]) == (400, CUSTOM_MESSAGE)


def test_members_in_another_case_are_those_of_dps(client: httpx.Client, kind: Kind) -> None:
    """Known members are found at each level, except in free-form objects; others stay."""
    key = symmetric_key()
    attestation = {"Type": "SymmetricKey", "symmetrickey": {"PrimaryKey": key}}
    document = {
        kind.id_member.upper(): "rec-1",
        "Attestation": attestation,
        "provisioningstatus": "disabled",
        "ReprovisionPolicy": {"MigrateDeviceData": True, "updatehubassignment": False},
        "initialTwin": {"Tags": {"IotHubs": "Hashed"}},
        "Unknown": "Hashed",
    }

    put = client.put(f"/{kind.path}/rec-1", json=document).json()

    assert put[kind.id_member] == "rec-1"
    assert put["attestation"]["type"] == "symmetricKey"
    assert put["attestation"]["symmetricKey"]["primaryKey"] == key
    assert put["provisioningStatus"] == "disabled"
    assert put["reprovisionPolicy"] == {"updateHubAssignment": False, "migrateDeviceData": True}
    assert put["initialTwin"] == document["initialTwin"]
    assert put["Unknown"] == "Hashed"


def test_empty_device_id_counts_as_missing(client: httpx.Client) -> None:
    """The response has no deviceId."""
    response = client.put("/enrollments/rec-1", json=ENROLLMENT.document(deviceId=""))

    assert "deviceId" not in response.json()
