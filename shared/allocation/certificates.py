"""
Certificates as facts.

Of an enrollment's certificates DPS sends what it read in them, the member `info`; then nothing is
parsed. `cryptography` is loaded only for a rule that asks for more, or for a certificate that comes
without `info`, as the device's own may: Microsoft has not published what DPS sends of it.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One fact of a certificate; `in_info` is DPS's own name of it, if it has one."""

    meaning: str
    in_info: str = ""
    ignores_case: bool = False


MEMBERS: Mapping[str, Member] = {
    "subject": Member(in_info="subjectName", meaning="The subject, as `CN=dev-1, O=Contoso`."),
    "commonName": Member(meaning="The common name in the subject."),
    "issuer": Member(in_info="issuerName", meaning="The issuer, written like the subject."),
    "serialNumber": Member(
        in_info="serialNumber", meaning="The serial number in hex.", ignores_case=True
    ),
    "sha1Thumbprint": Member(
        in_info="sha1Thumbprint", meaning="The SHA-1 thumbprint in hex.", ignores_case=True
    ),
    "sha256Thumbprint": Member(
        in_info="sha256Thumbprint", meaning="The SHA-256 thumbprint in hex.", ignores_case=True
    ),
    "notBefore": Member(
        in_info="notBeforeUtc", meaning="Since when it is valid, as `2026-01-31T08:00:00Z`."
    ),
    "notAfter": Member(in_info="notAfterUtc", meaning="Until when it is valid."),
    "alternativeNames": Member(
        meaning="The subject alternative names, a list. Read from the certificate itself: where "
        "DPS sends only its `info`, there are none."
    ),
}


def member_of(certificate: Any, name: str) -> Any:
    """
    One fact of a certificate as DPS sends it; `None` if it cannot be read.

    It is an object with `info`, `certificate` or both, or the certificate alone, as text.
    """
    document = {"certificate": certificate} if isinstance(certificate, str) else certificate
    if not isinstance(document, Mapping):
        return None
    info = document.get("info")
    known = _from_info(info, name) if isinstance(info, Mapping) else None
    text = document.get("certificate")
    return _parsed(text).get(name) if known is None and isinstance(text, str) else known


_COMMON_NAME = re.compile(r"(?:^|,\s*)CN=([^,+]+)", re.IGNORECASE)


def _from_info(info: Mapping[str, Any], name: str) -> Any:
    if name == "commonName":
        found = _COMMON_NAME.search(str(info.get("subjectName", "")))
        return found[1].strip() if found else None
    return info.get(MEMBERS[name].in_info)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Mapping[str, Any]:
    """Every member of a certificate in PEM, or in base64 without its frame; empty if it is none."""
    from cryptography.x509 import (  # noqa: PLC0415  costly to load, and seldom needed
        load_der_x509_certificate,
        load_pem_x509_certificate,
    )

    try:
        if "-----BEGIN" in text:
            return _members(load_pem_x509_certificate(text.encode()))
        return _members(load_der_x509_certificate(base64.b64decode(text, validate=True)))
    except Exception:  # noqa: BLE001  what a parser raises at foreign bytes is written nowhere
        return {}


def _members(certificate: "Certificate") -> Mapping[str, Any]:
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256  # noqa: PLC0415
    from cryptography.x509 import NameOID  # noqa: PLC0415

    common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return {
        "subject": _in_words(certificate.subject),
        "commonName": str(common_names[0].value) if common_names else None,
        "issuer": _in_words(certificate.issuer),
        "serialNumber": f"{certificate.serial_number:X}",
        # Thumbprints name certificates; nothing rests on their strength.
        "sha1Thumbprint": certificate.fingerprint(SHA1()).hex().upper(),  # noqa: S303
        "sha256Thumbprint": certificate.fingerprint(SHA256()).hex().upper(),
        "notBefore": f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "notAfter": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "alternativeNames": _alternative_names(certificate),
    }


def _in_words(name: "Name") -> str:
    """As DPS writes it: the most particular part first, with a space after each comma."""
    return ", ".join(part.rfc4514_string() for part in reversed(name.rdns))


def _alternative_names(certificate: "Certificate") -> list[str] | None:
    from cryptography.x509 import (  # noqa: PLC0415
        ExtensionNotFound,
        OtherName,
        SubjectAlternativeName,
    )

    try:
        extension = certificate.extensions.get_extension_for_class(SubjectAlternativeName)
    except ExtensionNotFound:
        return None
    return [str(name.value) for name in extension.value if not isinstance(name, OtherName)]
