"""
Attestation: how devices authenticate to DPS.

Source: REST reference "Individual Enrollment - Create Or Update", API version 2021-10-01; other
rules name their page under learn.microsoft.com/azure/iot-dps.
"""

from base64 import b64decode
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

from shared.dps.models.document import Document, validation_error


class AttestationType(StrEnum):
    """The types of attestation."""

    NONE = "none"
    TPM = "tpm"
    X509 = "x509"
    SYMMETRIC_KEY = "symmetricKey"


_KEY_BYTES = range(16, 65)  # concepts-symmetric-key-attestation


def _key(value: str) -> str:
    try:
        size = len(b64decode(value, validate=True))
    except ValueError as error:  # binascii.Error, or a character outside ASCII
        raise validation_error("must be base64") from error
    # For an empty key DPS generates one (same page).
    if value and size not in _KEY_BYTES:
        raise validation_error("must have 16 to 64 bytes, in base64")
    return value


SymmetricKey = Annotated[str, AfterValidator(_key)]


class SymmetricKeyAttestation(Document):
    """Base64 keys of 16 to 64 bytes; DPS generates those that are missing, null or empty."""

    primary_key: SymmetricKey | None = None
    secondary_key: SymmetricKey | None = None


class TpmAttestation(Document):
    """The public keys of a device's TPM."""

    endorsement_key: str
    storage_root_key: str | None = None


class X509CertificateInfo(Document):
    """What DPS read from a certificate."""

    subject_name: str | None = None
    sha1_thumbprint: str | None = None
    sha256_thumbprint: str | None = None
    issuer_name: str | None = None
    not_before_utc: str | None = None
    not_after_utc: str | None = None
    serial_number: str | None = None
    version: int | None = None


class X509CertificateWithInfo(Document):
    """A certificate: PEM or base64 in requests, only its `info` in responses."""

    certificate: str | None = None
    info: X509CertificateInfo | None = None


class X509Certificates(Document):
    """A primary and a secondary certificate."""

    primary: X509CertificateWithInfo | None = None
    secondary: X509CertificateWithInfo | None = None


class X509CAReferences(Document):
    """The names of CA certificates uploaded to DPS."""

    primary: str | None = None
    secondary: str | None = None


class X509Attestation(Document):
    """Client certificates of a device, or signing certificates of a group: exactly one member."""

    client_certificates: X509Certificates | None = None
    signing_certificates: X509Certificates | None = None
    ca_references: X509CAReferences | None = None


_X509_MEMBERS = ("client_certificates", "signing_certificates", "ca_references")


class AttestationMechanism(Document):
    """How devices of a record authenticate: `type` and the member of that name."""

    type: AttestationType
    tpm: TpmAttestation | None = Field(default=None, validate_default=True)
    x509: X509Attestation | None = Field(default=None, validate_default=True)
    symmetric_key: SymmetricKeyAttestation | None = None

    @field_validator("tpm", "x509", "symmetric_key")
    @classmethod
    def _matches_type(cls, value: Document | None, info: ValidationInfo) -> Document | None:
        attestation_type, member = info.data.get("type"), to_camel(info.field_name or "")
        if attestation_type and value is not None and attestation_type != member:
            raise validation_error(f"is not allowed with attestation type {attestation_type}")
        # DPS generates both keys if none are sent, so symmetricKey needs only `type`.
        if (
            attestation_type == member
            and value is None
            and attestation_type is not AttestationType.SYMMETRIC_KEY
        ):
            raise validation_error(f"is required for attestation type {attestation_type}")
        return value

    @field_validator("x509")
    @classmethod
    def _exactly_one_member(cls, value: X509Attestation | None) -> X509Attestation | None:
        if value and sum(getattr(value, member) is not None for member in _X509_MEMBERS) != 1:
            raise validation_error(
                f"must have exactly one of {', '.join(map(to_camel, _X509_MEMBERS))}"
            )
        return value
