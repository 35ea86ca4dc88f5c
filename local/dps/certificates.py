"""X.509 certificates: what DPS tells of them, and the stand-in's own."""

import base64
import ipaddress
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_PEM_BEGIN = "-----BEGIN CERTIFICATE-----"


def certificate_details(text: str) -> dict[str, str | int]:
    """The `info` that DPS answers for a certificate, PEM (R) or bare base64 DER (M).

    ValueError if it cannot be read.
    """
    try:
        return _details(load_certificate(text))
    except (x509.InvalidVersion, OverflowError) as error:
        raise ValueError("the certificate is malformed") from error


def _details(certificate: x509.Certificate) -> dict[str, str | int]:
    return {
        "subjectName": _name(certificate.subject),
        "sha1Thumbprint": certificate.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 - theirs
        "sha256Thumbprint": certificate.fingerprint(hashes.SHA256()).hex().upper(),
        "issuerName": _name(certificate.issuer),
        "notBeforeUtc": f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "notAfterUtc": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "serialNumber": _serial_number(certificate.serial_number),
        "version": certificate.version.value + 1,
    }


def load_certificate(text: str) -> x509.Certificate:
    """PEM or bare base64 DER; ValueError if it is neither."""
    if _PEM_BEGIN in text:
        return x509.load_pem_x509_certificate(text.encode())
    der = base64.b64decode("".join(text.split()), validate=True)
    return x509.load_der_x509_certificate(der)


def _name(name: x509.Name) -> str:
    """?: the recorded names have one part; .NET, which wrote them, joins more like this."""
    return ", ".join(part.rfc4514_string() for part in reversed(list(name.rdns)))


def _serial_number(number: int) -> str:
    """Whole bytes, as .NET prints the integer: a leading 00 where the top bit is set."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big").hex().upper()


def self_made(host: str) -> tuple[bytes, bytes]:
    """A new certificate for localhost, 127.0.0.1 and `host`, and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "DPS stand-in")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
    )
    for extension, critical in _extensions(key.public_key(), {"localhost", "127.0.0.1", host}):
        builder = builder.add_extension(extension, critical)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM), private


def _extensions(
    key: ec.EllipticCurvePublicKey, hosts: set[str]
) -> list[tuple[x509.ExtensionType, bool]]:
    """Its own authority, so that trusting this one file is enough for any client.

    Python 3.13 verifies by the letter of RFC 5280, which wants the key identifiers and usages.
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
