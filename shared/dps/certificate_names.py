"""Certificates that DPS accepts although no device can register with them."""

from collections.abc import Mapping
from typing import Any

from shared.distinguished_names import read_common_name


def misnamed_certificates(enrollment: Mapping[str, Any]) -> list[str]:
    """
    Returns which of an individual enrollment's certificates have another common name than its id.

    A device registers with its certificate's subject common name as registration id (docs:
    concepts-x509-attestation), but DPS accepts any certificate when the enrollment is written.
    """
    x509 = (enrollment.get("attestation") or {}).get("x509") or {}
    certificates = x509.get("clientCertificates") or {}
    id = str(enrollment.get("registrationId")).casefold()
    return [
        member
        for member, certificate in certificates.items()
        if (name := _common_name(certificate)) is not None and name.casefold() != id
    ]


def _common_name(certificate: Any) -> str | None:
    """Returns the name that DPS read from the certificate, or `None` without a certificate."""
    subject = ((certificate or {}).get("info") or {}).get("subjectName")
    return None if subject is None else read_common_name(str(subject)) or ""
