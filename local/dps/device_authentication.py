"""Authentication of devices: the enrollment that accepts a key, a certificate or a TPM."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from local.dps.certificates import (
    UploadedCertificates,
    chain_distance,
    is_named_in_chain,
    load_certificate,
    sha256_thumbprint,
)
from local.dps.derived_keys import derived_key
from local.dps.errors import (
    AUTHORITY_NOT_FOUND,
    CHAIN_MISMATCH,
    INVALID_CERTIFICATE,
    UNAUTHORIZED,
    ApiError,
)
from local.dps.operations import Call
from local.dps.options import Options
from local.dps.records import Kind, Record, Records
from local.dps.timestamps import SECOND
from shared.shared_access import Signature, read_signature

KEY_NAME: Final = "registration"  # documented: the skn of the signature of a device


@dataclass(frozen=True, kw_only=True)
class Enrollment:
    """The individual enrollment or the group through which a device registers."""

    kind: Kind
    record: Record

    @property
    def is_individual(self) -> bool:
        """Whether it is an individual enrollment."""
        return self.kind.has_registration_state

    @property
    def group_id(self) -> str | None:
        """The id of the group, None for an individual enrollment."""
        return None if self.is_individual else self.record.id

    @property
    def is_enabled(self) -> bool:
        """Whether devices may register. Documented: the default is yes."""
        return self.record.members.get("provisioningStatus") != "disabled"

    def get(self, member: str, default: Any = None) -> Any:
        """Returns a member of the document."""
        return self.record.members.get(member, default)


@dataclass(frozen=True, kw_only=True)
class AuthenticatedDevice:
    """
    A device that has proved its identity; `details` is what a webhook receives of its attestation.

    Only a device with a TPM may have no enrollment: its registration then fails (tested).
    """

    registration_id: str
    attestation_type: str  # symmetricKey, x509 or tpm
    details: Mapping[str, Any] = field(repr=False)
    enrollment: Enrollment | None

    @property
    def shown_attestation(self) -> dict[str, Any]:
        """
        The attestation in the registration state that the device sees, or {}.

        x509: with the group, and empty without one (reported: logs of devices). symmetricKey: with
        the group (documented), absent without one (recorded). tpm: absent (assumed), because its
        authenticationKey requires the TPM challenge.
        """
        group_id = self.enrollment.group_id if self.enrollment else None
        group = {} if group_id is None else {"enrollmentGroupId": group_id}
        if self.attestation_type == "x509" or (self.attestation_type == "symmetricKey" and group):
            return {self.attestation_type: group}
        return {}


@dataclass(frozen=True, kw_only=True)
class EnrollmentSearch:
    """
    A search for the enrollment that accepts the proof of a device.

    Documented (concepts-service): an individual enrollment takes precedence over groups. Assumed:
    also if the device proves to be a member of a group.
    """

    individual_enrollments: Records
    groups: Records
    uploaded_certificates: UploadedCertificates

    def by_key(self, id_: str, signature: Signature) -> Enrollment | None:
        """
        Returns the enrollment with the key of the signature, or None.

        Tested: both keys are valid; a key of a group only if derived for this device.
        """
        individual = self.individual_enrollments.find(id_)
        if individual:
            is_own = signature.is_signed_by(_symmetric_keys(individual))
            return self._individual(individual) if is_own else None
        for group in self.groups:
            if signature.is_signed_by(derived_key(key, id_) for key in _symmetric_keys(group)):
                return self._group(group)
        return None

    def by_certificate(
        self, id_: str, chain: Sequence[x509.Certificate], at: datetime
    ) -> Enrollment:
        """
        Returns the enrollment with the thumbprint or the authority of a chain; raises ApiError 401.

        Documented: both. An individual certificate's expiry is checked by the TLS handshake only.
        """
        individual = self.individual_enrollments.find(id_)
        if individual is None:
            return self._nearest_group(chain, at)
        if sha256_thumbprint(chain[0]) not in _thumbprints(individual):
            raise ApiError(INVALID_CERTIFICATE)
        return self._individual(individual)

    def by_endorsement_key(self, id_: str, key: str) -> Enrollment | None:
        """Returns the enrollment with this endorsement key, which is public, or None."""
        individual = self.individual_enrollments.find(id_)
        if individual is None or _details(individual, "tpm").get("endorsementKey") != key:
            return None
        return self._individual(individual)

    def _nearest_group(self, chain: Sequence[x509.Certificate], at: datetime) -> Enrollment:
        """
        Returns the group of the authority nearest to the device (concepts-x509-attestation).

        Raises ApiError 401. Assumed: its message depends on whether the chain names an authority.
        """
        authorities = [(a, group) for group in self.groups for a in self._authorities(group)]
        candidates = [
            (distance, group)
            for authority, group in authorities
            if (distance := chain_distance(chain, authority, at)) is not None
        ]
        if not candidates:
            is_named = any(is_named_in_chain(chain, authority) for authority, _ in authorities)
            raise ApiError(CHAIN_MISMATCH if is_named else AUTHORITY_NOT_FOUND)
        return self._group(min(candidates, key=lambda candidate: candidate[0])[1])

    def _authorities(self, group: Record) -> Iterator[x509.Certificate]:
        """
        Yields the signing certificates, and the uploaded ones that the group refers to.

        Assumed: a reference to a certificate that is not uploaded refers to none.
        """
        details = _details(group, "x509")
        for slot in details.get("signingCertificates", {}).values():
            yield load_certificate(slot["certificate"])
        for name in details.get("caReferences", {}).values():
            uploaded = self.uploaded_certificates.find(name)
            if uploaded is not None:
                yield uploaded

    def _individual(self, record: Record) -> Enrollment:
        return Enrollment(kind=self.individual_enrollments.kind, record=record)

    def _group(self, record: Record) -> Enrollment:
        return Enrollment(kind=self.groups.kind, record=record)


def _details(record: Record, attestation_type: str) -> Mapping[str, Any]:
    details: Mapping[str, Any] = record.members["attestation"].get(attestation_type) or {}
    return details


def _symmetric_keys(record: Record) -> list[str]:
    keys = _details(record, "symmetricKey")
    return [keys[name] for name in ("primaryKey", "secondaryKey") if name in keys]


def _thumbprints(record: Record) -> list[str]:
    slots = _details(record, "x509").get("clientCertificates", {})
    return [slot["info"]["sha256Thumbprint"] for slot in slots.values()]


@dataclass(frozen=True, kw_only=True)
class DeviceAuthentication:
    """Authentication of the device that calls the device API."""

    options: Options
    enrollments: EnrollmentSearch

    def check(self, call: Call, tpm: Mapping[str, Any] | None = None) -> AuthenticatedDevice:
        """
        Returns the device; `tpm` is the TPM member of the body, if any.

        Raises ApiError 401 for an unknown device (tested) and for another id scope (assumed).
        """
        is_our_scope = call.scope.lower() == self.options.id_scope.lower()
        device = self._authenticate(call, tpm) if is_our_scope else None
        if device is None:
            raise ApiError(UNAUTHORIZED)
        return device

    def _authenticate(
        self, call: Call, tpm: Mapping[str, Any] | None
    ) -> AuthenticatedDevice | None:
        signature = read_signature(call.headers.get("Authorization"))
        if signature:
            return self._by_key(call, signature)
        if call.certificates:
            return self._by_certificate(call)
        return self._by_tpm(call, tpm) if tpm else None

    def _by_key(self, call: Call, signature: Signature) -> AuthenticatedDevice | None:
        resource = f"{call.scope}/registrations/{call.id}".lower()
        now = self.options.clock() / SECOND
        is_valid = signature.resource.lower() == resource and signature.is_in_time(now)
        # Assumed: skn may be missing.
        if not is_valid or signature.key_name not in (None, KEY_NAME):
            return None
        enrollment = self.enrollments.by_key(call.id, signature)
        return _device(call, enrollment, "symmetricKey", {}) if enrollment else None

    def _by_certificate(self, call: Call) -> AuthenticatedDevice:
        """
        Returns the device of a certificate; raises ApiError 401.

        Documented: its common name is the device's id. Assumed: the message if it is not.
        """
        certificate = call.certificates[0]
        if call.id.lower() not in _common_names(certificate):
            raise ApiError(INVALID_CERTIFICATE)
        now = datetime.fromtimestamp(self.options.clock() / SECOND, UTC)
        enrollment = self.enrollments.by_certificate(call.id, call.certificates, now)
        # Assumed: the shape of the details.
        der = certificate.public_bytes(serialization.Encoding.DER)
        details = {"clientCertificate": base64.b64encode(der).decode()}
        return _device(call, enrollment, "x509", details)

    def _by_tpm(self, call: Call, tpm: Mapping[str, Any]) -> AuthenticatedDevice:
        """Trusts the device: the challenge that would prove its key is not implemented."""
        enrollment = self.enrollments.by_endorsement_key(call.id, tpm["endorsementKey"])
        return _device(call, enrollment, "tpm", tpm)


def _common_names(certificate: x509.Certificate) -> list[str]:
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return [str(name.value).lower() for name in names]


def _device(
    call: Call, enrollment: Enrollment | None, attestation_type: str, details: Mapping[str, Any]
) -> AuthenticatedDevice:
    # An individual enrollment determines the spelling of the id.
    id_ = enrollment.record.id if enrollment and enrollment.is_individual else call.id
    return AuthenticatedDevice(
        registration_id=id_,
        attestation_type=attestation_type,
        details=details,
        enrollment=enrollment,
    )
