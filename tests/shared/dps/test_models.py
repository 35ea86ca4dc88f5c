"""The models: what DPS would refuse is named beforehand, what it might take is let through."""

import pytest

from shared.dps.models import (
    ENROLLMENT_GROUP,
    INDIVIDUAL_ENROLLMENT,
    EnrollmentGroup,
    IndividualEnrollment,
    faults_in,
    faults_in_records,
)
from tests.secret_factory import certificate, endorsement_key, symmetric_key
from tests.shared.dps.documents import SYMMETRIC, group, individual, keys, x509

CERTIFICATES = {"primary": {"certificate": certificate("other-name")}}
REFERENCES = {"primary": "root-ca"}


@pytest.mark.parametrize(
    "document",
    [
        individual(),
        individual(registrationId="A:b..c_d-"),
        individual(registrationId="x" * 128),
        individual(attestation=keys(None, "")),
        individual(attestation=keys(symmetric_key(16), symmetric_key(64))),
        individual(attestation=keys(symmetric_key())),
        individual(attestation={"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}}),
        individual(attestation={**SYMMETRIC, "tpm": None, "x509": None}),
        individual(attestation={"type": "none"}),
        individual(attestation=x509(clientCertificates=CERTIFICATES)),
        individual(attestation=x509(clientCertificates={"primary": {"info": {"version": 3}}})),
        individual(allocationPolicy="static", iotHubs=None),
        individual(
            allocationPolicy="geoLatency",
            customAllocationDefinition={"webhookUrl": "https://x", "apiVersion": "2019-03-31"},
        ),
        individual(
            provisioningStatus=None, reprovisionPolicy=None, capabilities=None, deviceId=None
        ),
        individual(reprovisionPolicy={}, capabilities={}),
        individual(
            initialTwin={"tags": {"version": "v2", "count": [], "metadata": 1, "new": {}}},
            optionalDeviceInformation={"version": "b"},
        ),
        individual(credentialPolicy={"preview": True}, registrationState={"status": "new"}, etag=1),
    ],
)
def test_what_dps_takes_has_no_fault(document):
    """Nothing that DPS accepts, or may accept, is refused before DPS is asked."""
    assert faults_in(document, IndividualEnrollment) == {}


@pytest.mark.parametrize(
    "document",
    [
        group(),
        group(attestation=x509(signingCertificates=CERTIFICATES)),
        group(attestation=x509(caReferences=REFERENCES)),
    ],
)
def test_groups_that_dps_takes_have_no_fault(document):
    """A group is a key to derive from, signing certificates, or the names of CAs."""
    assert faults_in(document, EnrollmentGroup) == {}


@pytest.mark.parametrize(
    ("document", "pointer", "words"),
    [
        ([], "", "must be an object"),
        ({"attestation": SYMMETRIC}, "/registrationId", "is required"),
        ({"registrationId": "a"}, "/attestation", "is required"),
        (individual(registrationId=7), "/registrationId", "must be a string"),
        *[
            (individual(registrationId=bad), "/registrationId", "must be 1 to 128")
            for bad in (
                "",
                "a b",
                "a/b",
                "a?b",
                "a#b",
                "a@b",
                "a%2Fb",
                "end.",
                "x" * 129,
                "ä",
                "a\n",
            )
        ],
        (individual(attestation={"type": "rsa"}), "/attestation/type", "must be one of 'none'"),
        (individual(attestation={"type": "tpm"}), "/attestation/tpm", "is required for"),
        (
            individual(attestation={"type": "tpm", "tpm": {}}),
            "/attestation/tpm/endorsementKey",
            "is required",
        ),
        (individual(attestation={"type": "x509"}), "/attestation/x509", "is required for"),
        (individual(attestation=x509()), "/attestation/x509", "exactly one"),
        (
            individual(attestation=x509(clientCertificates=CERTIFICATES, caReferences=REFERENCES)),
            "/attestation/x509",
            "exactly one",
        ),
        (
            individual(attestation={**SYMMETRIC, "tpm": {"endorsementKey": "x"}}),
            "/attestation/tpm",
            "does not belong",
        ),
        (
            individual(attestation=keys("not base64!")),
            "/attestation/symmetricKey/primaryKey",
            "base64",
        ),
        *[
            (
                individual(attestation=keys(None, symmetric_key(size))),
                "/attestation/symmetricKey/secondaryKey",
                "16 to 64 bytes",
            )
            for size in (1, 15, 65)
        ],
        (individual(allocationPolicy="hash"), "/allocationPolicy", "must be one of 'hashed'"),
        (
            individual(allocationPolicy="custom"),
            "/customAllocationDefinition",
            "is required when allocationPolicy is custom",
        ),
        (
            individual(allocationPolicy="custom", customAllocationDefinition={"apiVersion": "x"}),
            "/customAllocationDefinition/webhookUrl",
            "is required",
        ),
        (individual(iotHubs="hub"), "/iotHubs", "must be a list"),
        (individual(iotHubs=["hub", 1]), "/iotHubs/1", "must be a string"),
        (individual(initialTwin={"tags": []}), "/initialTwin/tags", "must be an object"),
        (individual(provisioningStatus="on"), "/provisioningStatus", "must be one of"),
    ],
)
def test_what_dps_refuses_is_named(document, pointer, words):
    """A fault is named where it is, in words that say what would be right."""
    faults = faults_in(document, IndividualEnrollment)

    assert list(faults) == [pointer]
    assert words in faults[pointer]


def test_every_fault_of_a_document_is_named():
    """Three faults in one document are three faults in the answer."""
    faults = faults_in(
        {"registrationId": "a b", "attestation": keys("!"), "allocationPolicy": "custom"},
        IndividualEnrollment,
    )

    assert set(faults) == {
        "/registrationId",
        "/attestation/symmetricKey/primaryKey",
        "/customAllocationDefinition",
    }


def test_tpm_is_not_for_groups():
    """A group cannot be attested by one device's TPM."""
    document = group(attestation={"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}})

    assert list(faults_in(document, EnrollmentGroup)) == ["/attestation"]


def test_every_record_of_a_bulk_operation_is_checked():
    """Each fault of a bulk operation has the place of its record in its pointer."""
    records = [individual(), {"attestation": SYMMETRIC}, 1]

    faults = faults_in_records(records, INDIVIDUAL_ENROLLMENT, mode="create")

    assert faults == {
        "/enrollments/1/registrationId": "is required",
        "/enrollments/2": "must be an object",
    }


def test_faults_have_an_end():
    """Where everything is wrong a thousand faults are named, and that there are more."""
    faults = faults_in_records([{}] * 5000, INDIVIDUAL_ENROLLMENT, mode="create")

    assert len(faults) == 1001
    assert "more" in faults[""]


def test_bulk_delete_needs_ids_alone():
    """Whether DPS wants more for a delete than an id is for DPS to say."""
    records = [{"enrollmentGroupId": "group-1"}]

    assert faults_in_records(records, ENROLLMENT_GROUP, mode="delete") == {}


@pytest.mark.parametrize(
    ("operation", "pointers"),
    [
        ({}, {"/mode", "/enrollments"}),
        ({"mode": "replace", "enrollments": {}}, {"/mode", "/enrollments"}),
        ({"mode": "create", "enrollmentGroups": []}, {"/enrollments"}),
    ],
)
def test_bulk_operation_without_its_own_members_is_named(operation, pointers):
    """A mode nobody knows and a missing list are both named."""
    assert set(faults_in(operation, INDIVIDUAL_ENROLLMENT.bulk)) == pointers


def test_members_in_pythons_spelling_are_unknown_members():
    """A document's members have DPS's names; any other name means nothing to the check."""
    document = individual(allocation_policy="x", initial_twin=5, registration_id=7)

    assert faults_in(document, IndividualEnrollment) == {}
    assert list(faults_in({"registration_id": "a"}, IndividualEnrollment)) != []
