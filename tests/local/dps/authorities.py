"""Authorities, the certificates that they issue, and the entries made of both."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.local.dps.devices import Yard


@dataclass(frozen=True, repr=False)
class Certified:
    """A certificate and its key; an authority may issue others."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def private_pem(self) -> str:
        """The key."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def issue(self, name: str, *, ca: bool = False, days: int = 30) -> "Certified":
        """A certificate signed by this one."""
        return _issue(name, by=self, ca=ca, days=days)

    def connect(self, directory: Path, *chain: "Certified", tls12: bool = False) -> ssl.SSLContext:
        """TLS that presents this certificate, with these behind it, and trusts any server."""
        files = directory / "own.pem", directory / "key.pem"
        files[0].write_text("".join(one.pem for one in (self, *chain)))
        files[1].write_text(self.private_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(*files)
        if tls12:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


def self_signed(name: str, *, ca: bool = False, days: int = 30) -> Certified:
    """A certificate that nobody else vouches for."""
    return _issue(name, by=None, ca=ca, days=days)


def _issue(name: str, *, by: Certified | None, ca: bool, days: int) -> Certified:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=40))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(by.key if by else key, hashes.SHA256())
    )
    return Certified(certificate, key)


def enroll(
    yard: Yard, certificate: Certified, id_: str = "dev-1", **members: Any
) -> dict[str, Any]:
    """Writes an individual enrollment of this certificate."""
    pair = {"primary": {"certificate": certificate.pem}}
    attestation = {"type": "x509", "x509": {"clientCertificates": pair}}
    document = {"registrationId": id_, "attestation": attestation} | members
    return yard.put(f"/enrollments/{id_}", document)


def enroll_group(
    yard: Yard, authority: Certified, id_: str = "group-1", **members: Any
) -> dict[str, Any]:
    """Writes a group of all that this authority has signed."""
    pair = {"primary": {"certificate": authority.pem}}
    attestation = {"type": "x509", "x509": {"signingCertificates": pair}}
    document = {"enrollmentGroupId": id_, "attestation": attestation} | members
    return yard.put(f"/enrollmentGroups/{id_}", document)
