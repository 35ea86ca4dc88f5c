"""
TLS: the certificates that clients of the stand-in present.

A client may present any certificate or none, because DPS responds to an unknown certificate with
401 over HTTP (tested). Python's ssl requests a client certificate only if it also verifies it, and
has no option to accept unknown ones. So each certificate is made a trust anchor just before it is
verified: the handshake then proves only that the client holds the private key. The other
certificates of the chain must still be valid authorities.
"""

import ssl
from collections.abc import Callable, Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary

from cryptography import x509

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
