"""
Individual enrollments, enrollment groups and registration states.

Source: REST reference "Individual Enrollment - Create Or Update", API version 2021-10-01, the REST
API specifications of 2026-04-01 and 2026-11-01 (Azure/azure-rest-api-specs), and the Python package
azure-iot-deviceprovisioning 1.0.0b1; other rules name their page
under learn.microsoft.com/azure/iot-dps.
"""

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from shared.dps.models.attestation import AttestationMechanism, AttestationType
from shared.dps.models.document import Document, validation_error
from shared.dps.models.spelling import FREE_FORM
from shared.dps.webhook_urls import find_url_fault


class AllocationPolicy(StrEnum):
    """How DPS selects the hub of a device."""

    HASHED = "hashed"
    GEO_LATENCY = "geoLatency"
    STATIC = "static"
    CUSTOM = "custom"


class ProvisioningStatus(StrEnum):
    """Whether devices may register with a record."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class RegistrationStatus(StrEnum):
    """The status of a device's registration."""

    UNASSIGNED = "unassigned"
    ASSIGNING = "assigning"
    ASSIGNED = "assigned"
    FAILED = "failed"
    DISABLED = "disabled"


class RegistrationSubstatus(StrEnum):
    """What DPS did with the data of an assigned device."""

    INITIAL_ASSIGNMENT = "initialAssignment"
    DEVICE_DATA_MIGRATED = "deviceDataMigrated"
    DEVICE_DATA_RESET = "deviceDataReset"
    REPROVISIONED_TO_INITIAL_ASSIGNMENT = "reprovisionedToInitialAssignment"


ID_PATTERN = re.compile(r"[A-Za-z0-9._:-]{0,127}[A-Za-z0-9-]")  # how-to-manage-enrollments


_ID_FAULT = (
    "must be 1 to 128 letters, digits, dashes, dots, underscores or colons, "
    "the last one a letter, digit or dash"
)


def find_id_faults(value: str) -> dict[str, str]:
    """Returns the fault of an id in a URL path, under the name `id`."""
    return {} if ID_PATTERN.fullmatch(value) else {"id": _ID_FAULT}


def _check_id(value: str) -> str:
    if find_id_faults(value):
        raise validation_error(_ID_FAULT)
    return value


RecordId = Annotated[str, AfterValidator(_check_id)]


class TwinCollection(Document):
    """
    A free-form part of a twin.

    The REST reference has three members; a user's tag may have the same name and any type.
    """

    count: Any = None
    metadata: Any = None
    version: Any = None


class InitialTwinProperties(Document):
    """Properties of the initial twin."""

    desired: TwinCollection | None = None


class InitialTwin(Document):
    """The twin that a device is created with."""

    tags: TwinCollection | None = None
    properties: InitialTwinProperties | None = None


def _check_webhook_url(value: str) -> str:
    if fault := find_url_fault(value):
        raise validation_error(fault)
    return value


class CustomAllocationDefinition(Document):
    """The webhook that DPS calls for a hub."""

    webhook_url: Annotated[str, AfterValidator(_check_webhook_url)]
    api_version: str


class DeviceCapabilities(Document):
    """Capabilities of a device."""

    iot_edge: bool = False


class ReprovisionPolicy(Document):
    """What happens when an assigned device registers again."""

    update_hub_assignment: bool = True
    migrate_device_data: bool = True


class DeviceRegistrationState(Document):
    """The state of a device's registration; read-only."""

    registration_id: str | None = None
    created_date_time_utc: str | None = None
    assigned_hub: str | None = None
    device_id: str | None = None
    status: RegistrationStatus | None = None
    substatus: RegistrationSubstatus | None = None
    error_code: int | None = None
    error_message: str | None = None
    last_updated_date_time_utc: str | None = None
    etag: str | None = None
    payload: Any = None


_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9-]{1,62}[a-z0-9]")
_CERTIFICATE_NAME = re.compile(r"[0-9a-zA-Z][a-zA-Z0-9-]{2,62}")


def _check_namespace(value: str) -> str:
    if not _NAMESPACE.fullmatch(value):
        raise validation_error(
            "must be 3 to 64 lower-case letters, digits or dashes, no dash at either end"
        )
    return value


def _check_certificate_name(value: str) -> str:
    if not _CERTIFICATE_NAME.fullmatch(value):
        raise validation_error("must be 3 to 63 letters, digits or dashes, no dash at the start")
    return value


NamespaceName = Annotated[
    str,
    AfterValidator(_check_namespace),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAMESPACE.pattern}$"}),
]
CertificateName = Annotated[
    str,
    AfterValidator(_check_certificate_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_CERTIFICATE_NAME.pattern}$"}),
]


class Enrollment(Document):
    """
    The members that individual enrollments and enrollment groups share.

    `credential_policy_name` is one of API version 2026-04-01, which 2026-11-01 replaces by the names
    of a namespace of Azure Device Registry, a certificate authority and a policy in it. They select
    how DPS issues certificates to devices.
    """

    attestation: AttestationMechanism
    capabilities: DeviceCapabilities | None = None
    iot_hub_host_name: str | None = None
    iot_hubs: list[str] | None = Field(default=None, max_length=1000)  # DPS links 50 at most
    initial_twin: Annotated[InitialTwin | None, FREE_FORM] = None
    etag: Any = None
    provisioning_status: ProvisioningStatus | None = None
    reprovision_policy: ReprovisionPolicy | None = None
    created_date_time_utc: Any = None
    last_updated_date_time_utc: Any = None
    credential_policy_name: str | None = None
    namespace_name: NamespaceName | None = None
    certificate_authority_name: CertificateName | None = None
    certificate_policy_name: CertificateName | None = None
    allocation_policy: AllocationPolicy | None = Field(default=None, validate_default=True)
    custom_allocation_definition: CustomAllocationDefinition | None = Field(
        default=None, validate_default=True
    )

    @field_validator("allocation_policy")
    @classmethod
    def _required_for_hubs(
        cls, value: AllocationPolicy | None, info: ValidationInfo
    ) -> AllocationPolicy | None:
        # Reported: azure-sdk-for-python#35368. Whether an empty list counts, only DPS knows.
        if value is None and info.data.get("iot_hubs"):
            raise validation_error("is required when iotHubs are specified")
        return value

    @field_validator("custom_allocation_definition")
    @classmethod
    def _required_for_custom(
        cls, value: CustomAllocationDefinition | None, info: ValidationInfo
    ) -> CustomAllocationDefinition | None:
        if value is None and info.data.get("allocation_policy") is AllocationPolicy.CUSTOM:
            raise validation_error("is required when allocationPolicy is custom")
        return value


class EnrollmentKey(Document):
    """The id of an individual enrollment."""

    registration_id: RecordId


class IndividualEnrollment(EnrollmentKey, Enrollment):
    """The enrollment of one device."""

    device_id: str | None = None
    optional_device_information: Annotated[TwinCollection | None, FREE_FORM] = None
    registration_state: Any = None
    """Read-only, like etag and times: accepted, so that a GET's response may be sent back."""


class EnrollmentGroupKey(Document):
    """The id of an enrollment group."""

    enrollment_group_id: RecordId


class EnrollmentGroup(EnrollmentGroupKey, Enrollment):
    """The enrollment of devices that share a signing certificate or a symmetric key."""

    @field_validator("attestation")
    @classmethod
    def _not_tpm(cls, value: AttestationMechanism) -> AttestationMechanism:
        if value.type is AttestationType.TPM:
            raise validation_error(
                "must not be of type tpm, which is for individual enrollments only"
            )  # concepts-tpm-attestation
        return value
