"""The certificates that DPS issues to devices, here from an authority of the stand-in's own."""

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from local.dps.errors import INVALID_REQUEST, ApiError
from local.dps.timestamps import SECOND

# Assumed: in Azure the policy determines it.
DAYS_VALID: Final = 30
_AUTHORITY_DAYS_VALID: Final = 3650


def read_signing_request(csr: object, registration_id: str) -> x509.CertificateSigningRequest:
    """
    Returns the certificate signing request in `csr`.

    Documented (REST API specification): base64 of DER without PEM lines, with the registration id
    as its common name. Raises ApiError 400 otherwise. Assumed: code and message.
    """
    try:
        der = base64.b64decode(csr, validate=True) if isinstance(csr, str) else b""
        request = x509.load_der_x509_csr(der)
        is_signed = request.is_signature_valid
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise ApiError(INVALID_REQUEST, "Invalid Csr") from error
    names = request.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    is_own = [str(name.value).lower() for name in names] == [registration_id.lower()]
    if not (is_signed and is_own):
        raise ApiError(INVALID_REQUEST, "Invalid Csr")
    return request


class IssuingAuthority:
    """An authority that is created when it is first used."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock

    def issue(self, request: x509.CertificateSigningRequest) -> list[str]:
        """Returns a new certificate and its authority's, in base64 of DER (documented)."""
        purposes = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = self._builder(request.subject, request.public_key(), DAYS_VALID)
        builder = builder.add_extension(purposes, critical=False)
        leaf = self._sign(builder, is_authority=False)
        chain = (leaf, self._certificate)
        return [
            base64.b64encode(c.public_bytes(serialization.Encoding.DER)).decode() for c in chain
        ]

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    @cached_property
    def _certificate(self) -> x509.Certificate:
        builder = self._builder(_NAME, self._key.public_key(), _AUTHORITY_DAYS_VALID)
        return self._sign(builder, is_authority=True)

    def _builder(
        self, subject: x509.Name, key: CertificatePublicKeyTypes, days: int
    ) -> x509.CertificateBuilder:
        now = datetime.fromtimestamp(self._clock() // SECOND, UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .public_key(key)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=days))
        )

    def _sign(self, builder: x509.CertificateBuilder, *, is_authority: bool) -> x509.Certificate:
        constraints = x509.BasicConstraints(ca=is_authority, path_length=None)
        return (
            builder.issuer_name(_NAME)
            .serial_number(x509.random_serial_number())
            .add_extension(constraints, critical=True)
            .sign(self._key, hashes.SHA256())
        )


_NAME: Final = x509.Name(
    [x509.NameAttribute(x509.NameOID.COMMON_NAME, "DPS stand-in issuing authority")]
)
