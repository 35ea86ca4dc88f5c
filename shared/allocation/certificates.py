"""
X.509 certificates as facts.

For certificates of an enrollment DPS sends the parsed values, in the member `info`; these are used
as they are. `cryptography` is imported only for a fact that `info` lacks, or for a certificate that
comes without `info`. Whether DPS sends the device's own certificate, and how, is not documented.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from shared.distinguished_names import read_common_name

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name


@dataclass(frozen=True, kw_only=True, slots=True)
class CertificateFact:
    """One fact of a certificate; `info_member` is its name in DPS's `info`, if it has one."""

    description: str
    info_member: str = ""
    ignores_case: bool = False


CERTIFICATE_FACTS: Mapping[str, CertificateFact] = {
    "subject": CertificateFact(
        info_member="subjectName", description="The subject, such as `CN=dev-1, O=Contoso`."
    ),
    "commonName": CertificateFact(description="The common name in the subject."),
    "issuer": CertificateFact(
        info_member="issuerName", description="The issuer, in the same format as the subject."
    ),
    "serialNumber": CertificateFact(
        info_member="serialNumber", description="The serial number in hex.", ignores_case=True
    ),
    "sha1Thumbprint": CertificateFact(
        info_member="sha1Thumbprint", description="The SHA-1 thumbprint in hex.", ignores_case=True
    ),
    "sha256Thumbprint": CertificateFact(
        info_member="sha256Thumbprint",
        description="The SHA-256 thumbprint in hex.",
        ignores_case=True,
    ),
    "notBefore": CertificateFact(
        info_member="notBeforeUtc",
        description="Start of its validity, such as `2026-01-31T08:00:00Z`.",
    ),
    "notAfter": CertificateFact(info_member="notAfterUtc", description="End of its validity."),
    "alternativeNames": CertificateFact(
        description="The subject alternative names, a list. Absent if DPS sends only `info`, which "
        "does not contain them."
    ),
}


def read_certificate(certificate: Any, name: str) -> Any:
    """
    Returns one fact of a certificate as DPS sends it, or None if it cannot be read.

    A certificate is an object with `info`, `certificate` or both, or its PEM or base64 text alone.
    """
    document = {"certificate": certificate} if isinstance(certificate, str) else certificate
    if not isinstance(document, Mapping):
        return None
    info = document.get("info")
    value = _read_info(info, name) if isinstance(info, Mapping) else None
    text = document.get("certificate")
    return _parse(text).get(name) if value is None and isinstance(text, str) else value


def _read_info(info: Mapping[str, Any], name: str) -> Any:
    if name == "commonName":
        return read_common_name(str(info.get("subjectName", "")))
    return info.get(CERTIFICATE_FACTS[name].info_member)


@lru_cache(maxsize=256)
def _parse(text: str) -> Mapping[str, Any]:
    """Returns all facts of a certificate in PEM or base64; none if it is not a certificate."""
    from cryptography import x509

    try:
        if "-----BEGIN" in text:
            return _read_facts(x509.load_pem_x509_certificate(text.encode()))
        return _read_facts(x509.load_der_x509_certificate(base64.b64decode(text, validate=True)))
    except Exception:  # noqa: BLE001  the parser does not document what it raises on invalid input
        return {}


def _read_facts(certificate: "Certificate") -> Mapping[str, Any]:
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256

    subject = _format_name(certificate.subject)
    return {
        "subject": subject,
        "commonName": read_common_name(subject),
        "issuer": _format_name(certificate.issuer),
        "serialNumber": f"{certificate.serial_number:X}",
        # The thumbprint identifies the certificate; security does not depend on SHA-1 here.
        "sha1Thumbprint": certificate.fingerprint(SHA1()).hex().upper(),  # noqa: S303
        "sha256Thumbprint": certificate.fingerprint(SHA256()).hex().upper(),
        "notBefore": f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "notAfter": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "alternativeNames": _read_alternative_names(certificate),
    }


def _format_name(name: "Name") -> str:
    """Formats a name as DPS does: most specific part first, with a space after each comma."""
    return ", ".join(part.rfc4514_string() for part in reversed(name.rdns))


def _read_alternative_names(certificate: "Certificate") -> list[str] | None:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return None
    return [str(name.value) for name in extension.value if not isinstance(name, x509.OtherName)]
