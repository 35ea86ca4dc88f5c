"""
TLS: the server certificate of the stand-in, and the certificates that clients present.

A client may present any certificate or none, because DPS responds to an unknown certificate with
401 over HTTP (tested). Python's ssl requests a client certificate only if it also verifies it, and
has no option to accept unknown ones. So each certificate is made a trust anchor just before it is
verified: the handshake then proves only that the client holds the private key. The other
certificates of the chain must still be valid authorities.
"""

import ipaddress
import ssl
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HANDSHAKE: Final = 22  # RFC 8446, ContentType
CERTIFICATE: Final = 11  # RFC 8446, HandshakeType
HEADER_BYTES: Final = 4  # type and length of a handshake message


class ClientCertificates:
    """The certificates that TLS clients presented when requested, by connection."""

    def __init__(self) -> None:
        self._chains: WeakKeyDictionary[Any, list[bytes]] = WeakKeyDictionary()

    def create_context(self, create: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        """
        Returns a context to listen with; `create` returns contexts with the server certificate.

        Each connection gets its own context, so that the certificate of one client is no trust
        anchor for another.
        """

        def use_own_context(connection: Any, _: str | None, __: ssl.SSLContext) -> None:
            connection.context = self._request_certificate(create())

        context = self._request_certificate(create())
        context.sni_callback = use_own_context
        return context

    def find_chain(self, connection: Any) -> list[x509.Certificate]:
        """Returns the chain that the client presented, its own certificate first, or []."""
        chain = [] if connection is None else self._chains.get(connection, [])
        try:
            return [x509.load_der_x509_certificate(certificate) for certificate in chain]
        except ValueError:
            return []

    def _request_certificate(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a trust anchor need not be a root
        # A client that resumes a session does not present its certificates again.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        # Private, but present since Python 3.8. No other hook sees a certificate before it is
        # verified.
        context._msg_callback = self._on_message  # type: ignore[attr-defined]  # noqa: SLF001
        return context

    def _on_message(self, connection: Any, direction: str, version: int, *message: Any) -> None:
        content, kind, data = message
        if (direction, content, kind) == ("read", HANDSHAKE, CERTIFICATE):
            chain = list(_parse_certificates(data, version))
            self._chains[connection] = chain
            _trust(connection.context, chain[:1])


def _trust(context: ssl.SSLContext, certificates: list[bytes]) -> None:
    for certificate in certificates:
        try:
            context.load_verify_locations(cadata=certificate)
        except (ssl.SSLError, ValueError):
            return  # the handshake fails on an unreadable certificate


def _parse_certificates(message: bytes, version: int) -> Iterator[bytes]:
    """Yields the entries of a Certificate message (RFC 5246 7.4.2, RFC 8446 4.4.2)."""
    has_extensions = version >= ssl.TLSVersion.TLSv1_3
    body = message[HEADER_BYTES:]
    if has_extensions:
        _, body = _split_vector(body, 1)  # certificate_request_context
    entries, _ = _split_vector(body, 3)
    while entries:
        certificate, entries = _split_vector(entries, 3)
        if has_extensions:
            _, entries = _split_vector(entries, 2)
        yield certificate


def _split_vector(data: bytes, length_bytes: int) -> tuple[bytes, bytes]:
    """Returns the vector that follows a length of `length_bytes`, and the rest of `data`."""
    end = length_bytes + int.from_bytes(data[:length_bytes], "big")
    return data[length_bytes:end], data[end:]


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


def create_server_certificate(host: str) -> ServerCertificate:
    """Returns a new certificate for localhost, 127.0.0.1 and `host`."""
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
