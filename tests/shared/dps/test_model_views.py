"""Models as typed views: enums, attributes, and a print without secrets."""

import json

import pytest

from shared.dps.models import (
    AllocationPolicy,
    AttestationType,
    BulkMode,
    BulkOperationResult,
    DeviceRegistrationState,
    EnrollmentGroup,
    IndividualEnrollment,
    ProvisioningStatus,
    RegistrationStatus,
    RegistrationSubstatus,
)
from tests.secret_factory import symmetric_key
from tests.shared.dps.documents import group, individual, keys


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
def test_enums_hold_dps_values(enum, values):
    """Every value the REST reference names is there; of bulk modes one more is the app's own."""
    assert [str(value) for value in enum] == values.split()


def test_model_gives_back_the_document():
    """A model made from a document holds all of it and adds nothing."""
    document = individual(
        deviceId="d",
        etag="e",
        iotHubs=["h"],
        capabilities={"iotEdge": True},
        initialTwin={"tags": {"a": None}, "properties": {"desired": {"b": 1}}},
        unknown={"preview": [1]},
        provisioningStatus=None,
    )

    model = IndividualEnrollment.model_validate(document)

    assert model.document == document


def test_model_has_members_in_pythons_spelling():
    """A record can be written and read by attribute, enums included."""
    record = EnrollmentGroup(
        enrollment_group_id="group-1",
        attestation={"type": "symmetricKey"},
        allocation_policy=AllocationPolicy.STATIC,
        iot_hubs=["hub-1"],
    )

    assert record.attestation.type is AttestationType.SYMMETRIC_KEY
    assert record.document == group(allocationPolicy="static", iotHubs=["hub-1"])


def test_print_of_a_model_shows_no_key():
    """A model is printed as readable JSON, its keys and the webhook's query masked."""
    key = symmetric_key()
    model = IndividualEnrollment.model_validate(
        individual(
            attestation=keys(key),
            customAllocationDefinition={"webhookUrl": f"https://x/y?code={key}", "apiVersion": "1"},
        )
    )

    printed = json.loads(str(model))

    assert key not in f"{model} {model!r}"
    assert printed["attestation"]["symmetricKey"] == {"primaryKey": "****", "secondaryKey": None}
    assert printed["customAllocationDefinition"]["webhookUrl"] == "https://x/y?****"


def test_answers_of_dps_have_models_too():
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
