"""Models of DPS's documents: typed members, enums, and validation that finds every fault."""

from shared.dps.models.attestation import (
    AttestationMechanism,
    AttestationType,
    SymmetricKeyAttestation,
    TpmAttestation,
    X509Attestation,
    X509CAReferences,
    X509CertificateInfo,
    X509Certificates,
    X509CertificateWithInfo,
)
from shared.dps.models.document import Document, find_faults, find_merge_patch_faults
from shared.dps.models.enrollments import (
    AllocationPolicy,
    CustomAllocationDefinition,
    DeviceCapabilities,
    DeviceRegistrationState,
    EnrollmentGroup,
    IndividualEnrollment,
    InitialTwin,
    InitialTwinProperties,
    ProvisioningStatus,
    RegistrationStatus,
    RegistrationSubstatus,
    ReprovisionPolicy,
    TwinCollection,
    find_id_faults,
)
from shared.dps.models.operations import (
    ENROLLMENT_GROUP,
    IF_MATCH,
    INDIVIDUAL_ENROLLMENT,
    BulkEnrollmentGroupOperation,
    BulkEnrollmentOperation,
    BulkItemError,
    BulkMode,
    BulkOperationResult,
    IfMatch,
    Operation,
    QuerySpecification,
    RecordKind,
)
from shared.dps.models.spelling import respelled
