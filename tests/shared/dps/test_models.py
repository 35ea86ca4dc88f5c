"""Models: the faults found in documents, and typed access to their members."""

import json
from enum import StrEnum
from typing import Any

import pytest

from shared.dps.models import (
    INDIVIDUAL_ENROLLMENT,
    AllocationPolicy,
    AttestationMechanism,
    AttestationType,
    BulkMode,
    BulkOperationResult,
    DeviceRegistrationState,
    EnrollmentGroup,
    IndividualEnrollment,
    ProvisioningStatus,
    RegistrationStatus,
    RegistrationSubstatus,
    find_faults,
)
from tests.secret_factory import certificate, endorsement_key, symmetric_key
from tests.shared.dps.documents import SYMMETRIC, group, individual, keys, x509

CERTIFICATES = {"primary": {"certificate": certificate("other-name")}}
REFERENCES = {"primary": "root-ca"}
ID_FAULT = (
    "must be 1 to 128 letters, digits, dashes, dots, underscores or colons, "
    "the last one a letter, digit or dash"
)


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
def test_enrollment_that_dps_accepts_has_no_faults(document: Any) -> None:
    """A document that DPS accepts, or may accept, is not refused beforehand."""
    assert find_faults(document, IndividualEnrollment) == {}


@pytest.mark.parametrize(
    "document",
    [
        group(),
        group(attestation=x509(signingCertificates=CERTIFICATES)),
        group(attestation=x509(caReferences=REFERENCES)),
    ],
)
def test_group_that_dps_accepts_has_no_faults(document: Any) -> None:
    """A group has a symmetric key, signing certificates or references to CA certificates."""
    assert find_faults(document, EnrollmentGroup) == {}


@pytest.mark.parametrize(
    ("document", "pointer", "message"),
    [
        ([], "", "must be an object"),
        ({"attestation": SYMMETRIC}, "/registrationId", "is required"),
        ({"registrationId": "a"}, "/attestation", "is required"),
        (individual(registrationId=7), "/registrationId", "must be a string"),
        *[
            (individual(registrationId=invalid), "/registrationId", ID_FAULT)
            for invalid in (
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
        (
            individual(attestation={"type": "rsa"}),
            "/attestation/type",
            "must be one of 'none', 'tpm', 'x509' or 'symmetricKey'",
        ),
        (
            individual(attestation={"type": "tpm"}),
            "/attestation/tpm",
            "is required for attestation type tpm",
        ),
        (
            individual(attestation={"type": "tpm", "tpm": {}}),
            "/attestation/tpm/endorsementKey",
            "is required",
        ),
        (
            individual(attestation={"type": "x509"}),
            "/attestation/x509",
            "is required for attestation type x509",
        ),
        (
            individual(attestation=x509()),
            "/attestation/x509",
            "must have exactly one of clientCertificates, signingCertificates, caReferences",
        ),
        (
            individual(attestation=x509(clientCertificates=CERTIFICATES, caReferences=REFERENCES)),
            "/attestation/x509",
            "must have exactly one of clientCertificates, signingCertificates, caReferences",
        ),
        (
            individual(attestation={**SYMMETRIC, "tpm": {"endorsementKey": "x"}}),
            "/attestation/tpm",
            "is not allowed with attestation type symmetricKey",
        ),
        (
            individual(attestation=keys("not base64!")),
            "/attestation/symmetricKey/primaryKey",
            "must be base64",
        ),
        *[
            (
                individual(attestation=keys(None, symmetric_key(size))),
                "/attestation/symmetricKey/secondaryKey",
                "must have 16 to 64 bytes, in base64",
            )
            for size in (1, 15, 65)
        ],
        (
            individual(allocationPolicy="hash"),
            "/allocationPolicy",
            "must be one of 'hashed', 'geoLatency', 'static' or 'custom'",
        ),
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
        (
            individual(provisioningStatus="on"),
            "/provisioningStatus",
            "must be one of 'enabled' or 'disabled'",
        ),
    ],
)
def test_invalid_member_is_a_fault(document: Any, pointer: str, message: str) -> None:
    """The pointer of the fault is that of the member, and the message says what is allowed."""
    assert find_faults(document, IndividualEnrollment) == {pointer: message}


def test_every_fault_of_a_document_is_found() -> None:
    """A document with three faults has three entries."""
    faults = find_faults(
        {"registrationId": "a b", "attestation": keys("!"), "allocationPolicy": "custom"},
        IndividualEnrollment,
    )

    assert set(faults) == {
        "/registrationId",
        "/attestation/symmetricKey/primaryKey",
        "/customAllocationDefinition",
    }


def test_tpm_is_not_allowed_for_groups() -> None:
    """TPM attestation is for individual enrollments only."""
    document = group(attestation={"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}})

    assert list(find_faults(document, EnrollmentGroup)) == ["/attestation"]


@pytest.mark.parametrize(
    ("operation", "pointers"),
    [
        ({}, {"/mode", "/enrollments"}),
        ({"mode": "replace", "enrollments": {}}, {"/mode", "/enrollments"}),
        ({"mode": "create", "enrollmentGroups": []}, {"/enrollments"}),
    ],
)
def test_bulk_operation_needs_mode_and_list(operation: dict[str, Any], pointers: set[str]) -> None:
    """An unknown mode and a missing list are both faults."""
    assert set(find_faults(operation, INDIVIDUAL_ENROLLMENT.bulk)) == pointers


def test_members_with_python_names_are_unknown() -> None:
    """Only DPS's own member names are validated; Python's spellings are unknown members."""
    document = individual(iot_hub_host_name=5, custom_allocation_definition="x")

    assert find_faults(document, IndividualEnrollment) == {}
    assert list(find_faults({"registration_id": "a"}, IndividualEnrollment)) != []


@pytest.mark.parametrize(
    ("enum", "values"),
    [
        (AllocationPolicy, "hashed geoLatency static custom"),
        (AttestationType, "none tpm x509 symmetricKey"),
        (ProvisioningStatus, "enabled disabled"),
        (RegistrationStatus, "unassigned assigning assigned failed disabled"),
        (
            RegistrationSubstatus,
            "initialAssignment deviceDataMigrated deviceDataReset reprovisionedToInitialAssignment",
        ),
        (BulkMode, "create update updateIfMatchETag delete upsert"),
    ],
)
def test_enums_have_the_values_of_dps(enum: type[StrEnum], values: str) -> None:
    """The values are those of the REST reference; the bulk mode `upsert` is the app's own."""
    assert [str(value) for value in enum] == values.split()


def test_model_returns_the_whole_document() -> None:
    """`document` of a validated model equals the document that was validated."""
    document = individual(
        deviceId="d",
        etag="e",
        iotHubs=["h"],
        allocationPolicy="hashed",
        capabilities={"iotEdge": True},
        initialTwin={"tags": {"a": None}, "properties": {"desired": {"b": 1}}},
        unknown={"preview": [1]},
        provisioningStatus=None,
    )

    model = IndividualEnrollment.model_validate(document)

    assert model.document == document


def test_model_members_have_python_names() -> None:
    """A record can be created and read by attribute, enums included."""
    record = EnrollmentGroup(
        enrollment_group_id="group-1",
        attestation=AttestationMechanism(type=AttestationType.SYMMETRIC_KEY),
        allocation_policy=AllocationPolicy.STATIC,
        iot_hubs=["hub-1"],
    )

    assert record.attestation.type is AttestationType.SYMMETRIC_KEY
    assert record.document == group(allocationPolicy="static", iotHubs=["hub-1"])


def test_text_of_a_model_has_no_secret() -> None:
    """`str` is readable JSON in which keys and the query of the webhook URL are masked."""
    key = symmetric_key()
    model = IndividualEnrollment.model_validate(
        individual(
            attestation=keys(key),
            customAllocationDefinition={"webhookUrl": f"https://x/y?code={key}", "apiVersion": "1"},
        )
    )

    shown = json.loads(str(model))

    assert key not in f"{model} {model!r}"
    assert shown["attestation"]["symmetricKey"] == {"primaryKey": "****", "secondaryKey": None}
    assert shown["customAllocationDefinition"]["webhookUrl"] == "https://x/y?****"


def test_responses_have_models() -> None:
    """Registration states and bulk results can be read by attribute."""
    state = DeviceRegistrationState.model_validate({"status": "assigned", "payload": [1]})
    result = BulkOperationResult.model_validate(
        {
            "isSuccessful": False,
            "errors": [{"registrationId": "a", "errorCode": 409201, "errorStatus": "exists"}],
        }
    )

    assert state.status is RegistrationStatus.ASSIGNED
    assert [error.error_code for error in result.errors] == [409201]
