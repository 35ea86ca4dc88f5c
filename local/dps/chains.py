"""Chains of certificates: from a device's own up to an authority that somebody enrolled."""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature


def distance(
    chain: Sequence[x509.Certificate], authority: x509.Certificate, at: datetime
) -> int | None:
    """How many of `chain` lie between its first certificate and `authority`; None: not below it.

    The authority itself is no device (?), and need not be in the chain.
    """
    certificate: x509.Certificate | None = chain[0]
    if certificate == authority:
        return None
    for steps in range(len(chain)):
        if certificate is None:
            break
        if _has_issued(authority, certificate, at):
            return steps
        certificate = _issuer(certificate, chain[1:], at)
    return None


def _issuer(
    certificate: x509.Certificate, among: Sequence[x509.Certificate], at: datetime
) -> x509.Certificate | None:
    others = (other for other in among if other != certificate)
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
