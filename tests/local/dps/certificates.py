"""Certificates that issue one another, and enrollments with them."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.local.dps.devices import Fleet


@dataclass(frozen=True, repr=False)
class Certificate:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(
        cls, name: str, *, issuer: Self | None = None, ca: bool = False, days: int = 30
    ) -> Self:
        """Returns a new certificate, self-signed without an `issuer`, that expires in `days`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=40))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        return cls(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)

    def issue(self, name: str, *, ca: bool = False) -> Self:
        """Returns a new certificate issued by this one."""
        return self.create(name, issuer=self, ca=ca)

    @property
    def pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def private_pem(self) -> str:
        """The private key."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def tls(self, directory: Path, *chain: Self, tls12: bool = False) -> ssl.SSLContext:
        """Returns a client context that presents the certificate with `chain` and trusts anyone."""
        files = directory / "own.pem", directory / "key.pem"
        files[0].write_text("".join(link.pem for link in (self, *chain)))
        files[1].write_text(self.private_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(*files)
        if tls12:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


def enroll(
    fleet: Fleet, certificate: Certificate, id_: str = "dev-1", **members: Any
) -> dict[str, Any]:
    """Creates an individual enrollment with this certificate and returns it."""
    pair = {"primary": {"certificate": certificate.pem}}
    attestation = {"type": "x509", "x509": {"clientCertificates": pair}}
    document = {"registrationId": id_, "attestation": attestation} | members
    return fleet.put(f"/enrollments/{id_}", document)


def enroll_group(
    fleet: Fleet, authority: Certificate | None, id_: str = "group-1", **names: str
) -> None:
    """Creates a group for the certificates of `authority`, or of the uploaded ones with `names`."""
    details: dict[str, Any] = {"caReferences": names}
    if authority is not None:
        details = {"signingCertificates": {"primary": {"certificate": authority.pem}}}
    attestation = {"type": "x509", "x509": details}
    fleet.put(f"/enrollmentGroups/{id_}", {"enrollmentGroupId": id_, "attestation": attestation})
