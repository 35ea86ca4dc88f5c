"""The certificates of https clients: none is needed, and any is let in.

What a certificate is worth is decided against the enrollments, for DPS answers 401 over HTTP to
one that it does not know (E). Python's ssl asks for a certificate only to verify it, and knows no
way to let in a strange one. So a certificate becomes its own trust anchor just before it is
verified: then the handshake proves that the client has its key, and no more. What it presents
behind its own must still be in order: authorities, in time.
"""

import ssl
from collections.abc import Callable, Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary

from cryptography import x509

HANDSHAKE: Final = 22  # RFC 8446: ContentType
CERTIFICATE: Final = 11  # RFC 8446: HandshakeType
HEADER_BYTES: Final = 4  # of a handshake message: its type and length


class ClientCertificates:
    """Asks https clients for certificates, and remembers what they presented."""

    def __init__(self) -> None:
        self._presented: WeakKeyDictionary[Any, list[bytes]] = WeakKeyDictionary()

    def asking(self, make_context: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        """A context to listen with; `make_context` makes one with the server's certificate.

        Each connection gets one of its own, for what one client presented must not be an anchor
        for another.
        """

        def give_its_own(connection: Any, _: str | None, __: ssl.SSLContext) -> None:
            connection.context = self._ask(make_context())

        listening = self._ask(make_context())
        listening.sni_callback = give_its_own
        return listening

    def _ask(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an anchor need not be a root
        # A session taken up again would not present its certificates again.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        # Private, but there since Python 3.8: the one place where a certificate is seen in time.
        context._msg_callback = self._see  # type: ignore[attr-defined]  # noqa: SLF001
        return context

    def _see(self, connection: Any, direction: str, version: int, *message: Any) -> None:
        content, kind, data = message
        if (direction, content, kind) == ("read", HANDSHAKE, CERTIFICATE):
            chain = list(_certificates(data, version))
            self._presented[connection] = chain
            _trust(connection.context, chain[:1])

    def of(self, connection: Any) -> list[x509.Certificate]:
        """What the client of this TLS connection presented, its own first; maybe nothing."""
        try:
            return [x509.load_der_x509_certificate(der) for der in self._chain(connection)]
        except ValueError:
            return []

    def _chain(self, connection: Any) -> list[bytes]:
        return [] if connection is None else self._presented.get(connection, [])


def _trust(context: ssl.SSLContext, certificates: list[bytes]) -> None:
    for certificate in certificates:
        try:
            context.load_verify_locations(cadata=certificate)
        except (ssl.SSLError, ValueError):
            return  # unreadable: the handshake fails over it by itself


def _certificates(message: bytes, version: int) -> Iterator[bytes]:
    """The entries of a Certificate message (RFC 5246 7.4.2, RFC 8446 4.4.2)."""
    has_extensions = version >= ssl.TLSVersion.TLSv1_3
    body = message[HEADER_BYTES:]
    if has_extensions:
        _, body = _vector(body, 1)  # the request's context
    entries, _ = _vector(body, 3)
    while entries:
        certificate, entries = _vector(entries, 3)
        if has_extensions:
            _, entries = _vector(entries, 2)
        yield certificate


def _vector(data: bytes, length_bytes: int) -> tuple[bytes, bytes]:
    """The first vector in `data`, whose length stands in so many bytes, and what follows it."""
    end = length_bytes + int.from_bytes(data[:length_bytes], "big")
    return data[length_bytes:end], data[end:]
