"""Requests as Microsoft's own tests send them, and the members that DPS answers with.

After the recordings of azure-sdk-for-python, sdk/deviceprovisioningservices/
azure-iot-deviceprovisioning/tests/recordings (May 2023, API version 2021-10-01): the same members,
nulls included, in the same order. Ids, keys and certificates are made anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.local.dps.calls import ENROLLMENT, GROUP, Kind
from tests.secret_factory import certificate, endorsement_key, symmetric_key

REPROVISION = {"migrateDeviceData": True, "updateHubAssignment": True}
CUSTOM = {"webhookUrl": "https://www.test.test", "apiVersion": "2019-03-31"}
TWIN = {"properties": {"desired": {"key": "value"}}}
NAMELESS = {"additionalProperties": {"hello": "world"}}


def keys() -> dict[str, Any]:
    """An attestation by given keys."""
    given = {"primaryKey": symmetric_key(), "secondaryKey": symmetric_key()}
    return {"type": "symmetricKey", "symmetricKey": given}


def no_keys() -> dict[str, Any]:
    """An attestation by keys that the service is to make."""
    return {"type": "symmetricKey", "symmetricKey": {"primaryKey": None, "secondaryKey": None}}


def tpm() -> dict[str, Any]:
    """An attestation by TPM."""
    return {"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}}


def client_certificates() -> dict[str, Any]:
    """An attestation by a device's own certificates."""
    return {"type": "x509", "x509": {"clientCertificates": _pair()}}


def signing_certificates() -> dict[str, Any]:
    """An attestation by the certificates that sign a group's."""
    return {"type": "x509", "x509": {"signingCertificates": _pair()}}


def _pair() -> dict[str, Any]:
    return {slot: {"certificate": certificate("device-1")} for slot in ("primary", "secondary")}


@dataclass(frozen=True)
class Exchange:
    """A PUT: what it holds that is not null, and the members of its answer in their order."""

    kind: Kind
    attestation: Callable[[], dict[str, Any]]
    members: Mapping[str, Any]
    answered: str

    def document(self, id_: str) -> dict[str, Any]:
        """The body of the PUT; what is not given is sent as null."""
        everything = dict.fromkeys(_ALWAYS_SENT if self.kind is GROUP else _SENT_FOR_DEVICES)
        head = {self.kind.id_member: id_, "attestation": self.attestation()}
        return head | everything | self.members

    @property
    def members_of_put(self) -> list[str]:
        """The members of the PUT's answer."""
        return [self.kind.id_member, *self.answered.split()]

    @property
    def members_of_get(self) -> list[str]:
        """The same with the registration state, which only individual enrollments have."""
        names = self.members_of_put
        if self.kind is ENROLLMENT:
            names.insert(2 if "deviceId" in names else 1, "registrationState")
        return names


_ALWAYS_SENT = (
    "allocationPolicy",
    "capabilities",
    "reprovisionPolicy",
    "customAllocationDefinition",
    "provisioningStatus",
    "iotHubs",
    "iotHubHostName",
    "initialTwin",
)
_SENT_FOR_DEVICES = (*_ALWAYS_SENT, "deviceId", "optionalDeviceInformation")

_TIMES = "createdDateTimeUtc lastUpdatedDateTimeUtc"

EXCHANGES = {
    "enrollment, symmetric keys": Exchange(
        ENROLLMENT,
        keys,
        {
            "allocationPolicy": "geoLatency",
            "reprovisionPolicy": REPROVISION,
            "deviceId": "sym-1",
            "initialTwin": TWIN,
        },
        "deviceId attestation initialTwin etag provisioningStatus reprovisionPolicy "
        f"{_TIMES} allocationPolicy",
    ),
    "enrollment, keys made by the service": Exchange(
        ENROLLMENT,
        no_keys,
        {"allocationPolicy": "custom", "customAllocationDefinition": CUSTOM},
        f"attestation etag provisioningStatus {_TIMES} allocationPolicy customAllocationDefinition",
    ),
    "enrollment, TPM": Exchange(
        ENROLLMENT,
        tpm,
        {"allocationPolicy": "static", "provisioningStatus": "enabled", "deviceId": "tpm-1"},
        f"deviceId attestation etag provisioningStatus {_TIMES} allocationPolicy",
    ),
    "enrollment, TPM and information": Exchange(
        ENROLLMENT,
        tpm,
        {
            "allocationPolicy": "static",
            "provisioningStatus": "disabled",
            "deviceId": "tpm-1",
            "optionalDeviceInformation": NAMELESS,
        },
        "deviceId optionalDeviceInformation attestation etag provisioningStatus "
        f"{_TIMES} allocationPolicy",
    ),
    "enrollment, X.509": Exchange(
        ENROLLMENT,
        client_certificates,
        {
            "allocationPolicy": "hashed",
            "provisioningStatus": "enabled",
            "reprovisionPolicy": REPROVISION,
            "deviceId": "x509-1",
        },
        f"deviceId attestation etag provisioningStatus reprovisionPolicy {_TIMES} allocationPolicy",
    ),
    "group, symmetric keys": Exchange(
        GROUP,
        keys,
        {"allocationPolicy": "geoLatency", "reprovisionPolicy": REPROVISION},
        f"attestation etag provisioningStatus reprovisionPolicy {_TIMES} allocationPolicy",
    ),
    "group, keys made by the service": Exchange(
        GROUP,
        no_keys,
        {"allocationPolicy": "static"},
        f"attestation etag provisioningStatus {_TIMES} allocationPolicy",
    ),
    "group, X.509": Exchange(
        GROUP,
        signing_certificates,
        {
            "allocationPolicy": "hashed",
            "provisioningStatus": "enabled",
            "reprovisionPolicy": REPROVISION,
        },
        f"attestation etag provisioningStatus reprovisionPolicy {_TIMES} allocationPolicy",
    ),
}
