"""
How devices prove who they are.

Source: REST reference "Individual Enrollment - Create Or Update", API version 2021-10-01; a rule
taken from elsewhere names its page under learn.microsoft.com/azure/iot-dps.
"""

from base64 import b64decode
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

from shared.dps.models.document import Document, fault


class AttestationType(StrEnum):
    """The kinds of attestation."""

    NONE = "none"
    TPM = "tpm"
    X509 = "x509"
    SYMMETRIC_KEY = "symmetricKey"


_KEY_BYTES = range(16, 65)  # concepts-symmetric-key-attestation


def _key(value: str) -> str:
    try:
        size = len(b64decode(value, validate=True))
    except ValueError as error:  # binascii.Error, or a character outside ASCII
        raise fault("is not valid base64") from error
    # An empty key asks DPS to make one (same page).
    if value and size not in _KEY_BYTES:
        raise fault("must hold 16 to 64 bytes")
    return value


SymmetricKey = Annotated[str, AfterValidator(_key)]


class SymmetricKeyAttestation(Document):
    """Base64 keys of 16 to 64 bytes; DPS makes those that are missing, null or empty."""

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
    """A certificate as PEM or base64 when sent; its `info` alone when DPS answers."""

    certificate: str | None = None
    info: X509CertificateInfo | None = None


class X509Certificates(Document):
    """A certificate and its successor."""

    primary: X509CertificateWithInfo | None = None
    secondary: X509CertificateWithInfo | None = None


class X509CAReferences(Document):
    """The names of CA certificates uploaded to DPS."""

    primary: str | None = None
    secondary: str | None = None


class X509Attestation(Document):
    """The client certificates of one device, or what signs a group's: exactly one of the three."""

    client_certificates: X509Certificates | None = None
    signing_certificates: X509Certificates | None = None
    ca_references: X509CAReferences | None = None


_KINDS_OF_X509 = ("client_certificates", "signing_certificates", "ca_references")


class AttestationMechanism(Document):
    """How devices of a record prove who they are: `type` and the member of that name."""

    type: AttestationType
    tpm: TpmAttestation | None = Field(default=None, validate_default=True)
    x509: X509Attestation | None = Field(default=None, validate_default=True)
    symmetric_key: SymmetricKeyAttestation | None = None

    @field_validator("tpm", "x509", "symmetric_key")
    @classmethod
    def _matches_type(cls, value: Document | None, info: ValidationInfo) -> Document | None:
        named, own = info.data.get("type"), to_camel(info.field_name or "")
        if named and value is not None and named != own:
            raise fault(f"does not belong to attestation type {named}")
        # DPS makes both keys where none are sent, so symmetricKey needs no member beside `type`.
        if named == own and value is None and named is not AttestationType.SYMMETRIC_KEY:
            raise fault(f"is required for attestation type {named}")
        return value

    @field_validator("x509")
    @classmethod
    def _one_kind(cls, value: X509Attestation | None) -> X509Attestation | None:
        if value and sum(getattr(value, kind) is not None for kind in _KINDS_OF_X509) != 1:
            raise fault(f"must hold exactly one of {', '.join(map(to_camel, _KINDS_OF_X509))}")
        return value
