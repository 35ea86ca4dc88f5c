"""Self-signed server certificates of the local services."""

import ipaddress
import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True, kw_only=True)
class ServerCertificate:
    """A self-signed server certificate and its private key, both PEM."""

    certificate: bytes
    private_key: bytes = field(repr=False)

    def create_context(self) -> ssl.SSLContext:
        """Returns a server context with the certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as directory:  # ssl reads private keys only from files
            chain = Path(directory, "chain.pem")
            chain.write_bytes(self.private_key + self.certificate)
            context.load_cert_chain(chain)
        return context


def create_server_certificate(name: str, host: str) -> ServerCertificate:
    """Returns a new certificate of this common name for localhost, 127.0.0.1 and `host`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
    )
    for extension, critical in _extensions(key.public_key(), {"localhost", "127.0.0.1", host}):
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(key, hashes.SHA256())
    private_key = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return ServerCertificate(
        certificate=certificate.public_bytes(serialization.Encoding.PEM), private_key=private_key
    )


def _extensions(
    key: ec.EllipticCurvePublicKey, hosts: set[str]
) -> list[tuple[x509.ExtensionType, bool]]:
    """
    Returns the extensions of a certificate that is its own authority, each with its criticality.

    A client has to trust this one certificate only. Python 3.13 verifies strictly by RFC 5280,
    which requires the key identifiers and the key usage.
    """
    identifier = x509.SubjectKeyIdentifier.from_public_key(key)
    usages = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    usage = x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usages)
    return [
        (x509.SubjectAlternativeName([_general_name(host) for host in sorted(hosts)]), False),
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (usage, True),
        (identifier, False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    ]


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
