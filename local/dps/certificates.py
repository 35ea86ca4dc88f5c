"""X.509 certificates: parsing, the `info` in DPS's responses, and certificate chains."""

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----")


def load_certificate(text: str) -> x509.Certificate:
    """
    Returns the certificate in PEM (recorded) or in base64 of DER (SDK).

    Raises ValueError if the text is neither. Reported (iotedge#2738, #5177): a chain of several is
    not. Assumed: nor is a certificate with other text around it.
    """
    pem = _PEM.fullmatch(text.strip())
    content = pem[1] if pem else text
    der = base64.b64decode("".join(content.split()), validate=True)
    try:
        return x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as error:
        raise ValueError("the certificate is malformed") from error


def certificate_info(text: str) -> dict[str, str | int]:
    """
    Returns the `info` of a certificate in DPS's responses, as recorded.

    Raises ValueError if the certificate cannot be read.
    """
    try:
        return _info(load_certificate(text))
    except OverflowError as error:
        raise ValueError("the certificate is malformed") from error


def _info(certificate: x509.Certificate) -> dict[str, str | int]:
    return {
        "subjectName": _format_name(certificate.subject),
        "sha1Thumbprint": certificate.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 - DPS's
        "sha256Thumbprint": sha256_thumbprint(certificate),
        "issuerName": _format_name(certificate.issuer),
        "notBeforeUtc": f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "notAfterUtc": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "serialNumber": _format_serial_number(certificate.serial_number),
        "version": certificate.version.value + 1,
    }


class UploadedCertificates:
    """
    The CA certificates of the service, which `caReferences` of groups name (documented).

    In Azure they are resources of their own, with a verification. Assumed: names ignore case.
    """

    def __init__(self) -> None:
        self.replace({})

    def replace(self, certificates: Mapping[str, str]) -> None:
        """Replaces all certificates, by name; they are certificates of authorities."""
        self._by_name = {
            name.lower(): load_certificate(text) for name, text in certificates.items()
        }
        self.infos = {name: certificate_info(text) for name, text in certificates.items()}

    def find(self, name: str) -> x509.Certificate | None:
        """Returns the certificate with this name, or None."""
        return self._by_name.get(name.lower())


def is_authority(text: object) -> bool:
    """Returns whether `text` is the certificate of an authority, as `load_certificate` reads it."""
    try:
        return isinstance(text, str) and _is_authority(load_certificate(text))
    except ValueError:
        return False


def sha256_thumbprint(certificate: x509.Certificate) -> str:
    """Returns the SHA-256 fingerprint in upper-case hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex().upper()


def _format_name(name: x509.Name) -> str:
    """Returns the name as text. Assumed: parts are joined as in .NET; recorded names have one."""
    return ", ".join(part.rfc4514_string() for part in reversed(list(name.rdns)))


def _format_serial_number(number: int) -> str:
    """Returns whole bytes in hex, as .NET prints an integer: first 00 if the top bit is set."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big").hex().upper()


def chain_distance(
    chain: Sequence[x509.Certificate], authority: x509.Certificate, at: datetime
) -> int | None:
    """
    Returns the number of intermediate certificates between `chain[0]` and `authority`.

    The result is None if the chain does not lead from `chain[0]` to `authority` at the time `at`.
    The authority need not be in the chain. Assumed: its own certificate is not valid for a device.
    """
    certificate: x509.Certificate | None = chain[0]
    if certificate == authority:
        return None
    for distance in range(len(chain)):
        if certificate is None:
            break
        if _has_issued(authority, certificate, at):
            return distance
        certificate = _find_issuer(certificate, chain[1:], at)
    return None


def is_named_in_chain(chain: Sequence[x509.Certificate], authority: x509.Certificate) -> bool:
    """Returns whether a certificate of the chain names `authority` as itself or its issuer."""
    return any(authority.subject in (link.subject, link.issuer) for link in chain)


def _find_issuer(
    certificate: x509.Certificate, candidates: Sequence[x509.Certificate], at: datetime
) -> x509.Certificate | None:
    others = (other for other in candidates if other != certificate)
    return next((other for other in others if _has_issued(other, certificate, at)), None)


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate, at: datetime) -> bool:
    if not (_is_valid(issuer, at) and _is_valid(certificate, at) and _is_authority(issuer)):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_valid(certificate: x509.Certificate, at: datetime) -> bool:
    return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False
