"""Schemas of the messages: their names are public, since code is generated from them."""

import json
from pathlib import Path

import pytest

DOCUMENT = json.loads((Path(__file__).parents[3] / "docs" / "asyncapi.json").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]

NAMES = {
    "AllocationPolicy": "hashed geoLatency static custom",
    "AttestationMechanism": "symmetricKey tpm type x509",
    "AttestationType": "none tpm x509 symmetricKey",
    "BulkEnrollmentGroups": "enrollmentGroups mode",
    "BulkEnrollments": "enrollments mode",
    "BulkMode": "create update updateIfMatchETag delete upsert",
    "BulkRequest": "BulkEnrollments BulkEnrollmentGroups",
    "BulkRequestEvent": "data data_base64 id source specversion type",
    "CustomAllocationDefinition": "apiVersion webhookUrl",
    "DeleteById": "ifMatch operation registrationId",
    "DeleteEnrollment": "enrollment ifMatch operation",
    "DeleteEnrollmentGroup": "enrollmentGroup ifMatch operation",
    "DeleteGroupById": "enrollmentGroupId ifMatch operation",
    "DeviceCapabilities": "iotEdge",
    "EnrollmentGroup": "allocationPolicy attestation capabilities certificateAuthorityName certificatePolicyName createdDateTimeUtc credentialPolicyName customAllocationDefinition enrollmentGroupId etag initialTwin iotHubHostName iotHubs lastUpdatedDateTimeUtc namespaceName provisioningStatus reprovisionPolicy",
    "EnrollmentGroupKey": "enrollmentGroupId",
    "EnrollmentKey": "registrationId",
    "EnrollmentRequest": "PutEnrollment PutEnrollmentGroup UpdateEnrollment UpdateEnrollmentGroup DeleteEnrollment DeleteEnrollmentGroup DeleteById DeleteGroupById",
    "EnrollmentRequestEvent": "data data_base64 id source specversion type",
    "IndividualEnrollment": "allocationPolicy attestation capabilities certificateAuthorityName certificatePolicyName createdDateTimeUtc credentialPolicyName customAllocationDefinition deviceId etag initialTwin iotHubHostName iotHubs lastUpdatedDateTimeUtc namespaceName optionalDeviceInformation provisioningStatus registrationId registrationState reprovisionPolicy",
    "InitialTwin": "properties tags",
    "InitialTwinProperties": "desired",
    "Operation": "create update upsert delete",
    "Outcome": "enrollmentGroupId errorCode etag info message operation registrationId status trackingId",
    "ProvisioningStatus": "enabled disabled",
    "PutEnrollment": "enrollment operation",
    "PutEnrollmentGroup": "enrollmentGroup operation",
    "ReprovisionPolicy": "migrateDeviceData updateHubAssignment",
    "Result": "data datacontenttype id source specversion subject time type",
    "Status": "succeeded rejected",
    "SymmetricKeyAttestation": "primaryKey secondaryKey",
    "TpmAttestation": "endorsementKey storageRootKey",
    "TwinCollection": "count metadata version",
    "UpdateEnrollment": "enrollment ifMatch operation",
    "UpdateEnrollmentGroup": "enrollmentGroup ifMatch operation",
    "X509Attestation": "caReferences clientCertificates signingCertificates",
    "X509CAReferences": "primary secondary",
    "X509CertificateInfo": "issuerName notAfterUtc notBeforeUtc serialNumber sha1Thumbprint sha256Thumbprint subjectName version",
    "X509CertificateWithInfo": "certificate info",
    "X509Certificates": "primary secondary",
}
"""Each schema with its members, sorted; with its values if it is an enumeration."""


def test_schemas_have_fixed_names() -> None:
    """No schema is renamed, removed or added unnoticed."""
    assert sorted(SCHEMAS) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_members_of_a_schema_have_fixed_names(name: str) -> None:
    """No member is renamed, removed or added unnoticed; the same holds for alternatives."""
    schema = SCHEMAS[name]
    alternatives = [
        each["$ref"].rpartition("/")[2] for each in schema.get("oneOf", []) if "$ref" in each
    ]
    members = schema.get("enum") or sorted(schema.get("properties", {})) or alternatives

    assert members == NAMES[name].split()
