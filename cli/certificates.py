"""The X.509 certificates in a record, as far as they can be checked without DPS."""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared.json_documents import pointer

_MEMBERS = ("clientCertificates", "signingCertificates")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----")


def find_certificate_faults(
    document: Mapping[str, Any], *, is_required: bool
) -> Iterator[tuple[str, str]]:
    """
    Yields a fault, by JSON Pointer, for each text that is not one certificate.

    With `is_required` a certificate that has only `info`, as DPS returns it, is a fault, too.
    """
    for at, certificate in _certificates(document):
        text = certificate.get("certificate")
        if isinstance(text, str):
            if fault := _find_fault(text):
                yield pointer(*at, "certificate"), fault
        elif is_required and text is None:
            yield pointer(*at, "certificate"), "is required: DPS does not return certificates"


def _certificates(
    document: Mapping[str, Any],
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    x509: Any = document
    for name in ("attestation", "x509"):
        x509 = x509.get(name) if isinstance(x509, Mapping) else None
    for member in _MEMBERS if isinstance(x509, Mapping) else ():
        pair = x509.get(member)
        for name in ("primary", "secondary") if isinstance(pair, Mapping) else ():
            if isinstance(pair.get(name), Mapping):
                yield ("attestation", "x509", member, name), pair[name]


def _find_fault(text: str) -> str | None:
    from cryptography import x509

    if "PRIVATE KEY" in text:
        return "has a private key, which must stay with the device: remove it"
    pem = _PEM.fullmatch(text.strip())
    content = "".join((pem[1] if pem else text).split())
    try:
        x509.load_der_x509_certificate(base64.b64decode(content, validate=True))
    except (ValueError, x509.InvalidVersion):
        return "must be one X.509 certificate, as PEM or as base64 of DER"
    return None
