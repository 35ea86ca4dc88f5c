"""A certificate that DPS takes and no device can register with."""

import re
from collections.abc import Mapping
from typing import Any

_COMMON_NAME = re.compile(r"(?:^|,)\s*CN=([^,]+)")


def misnamed_certificates(enrollment: Mapping[str, Any]) -> list[str]:
    """
    Which of an individual enrollment's certificates, `primary` or `secondary`, name another device.

    A device registers under the subject common name of its certificate (docs:
    concepts-x509-attestation), but DPS takes any certificate when the enrollment is written.
    """
    x509 = (enrollment.get("attestation") or {}).get("x509") or {}
    certificates = x509.get("clientCertificates") or {}
    id = str(enrollment.get("registrationId")).casefold()
    return [
        place
        for place, certificate in certificates.items()
        if (name := _common_name(certificate)) is not None and name.casefold() != id
    ]


def _common_name(certificate: Any) -> str | None:
    """The name DPS read from the certificate; `None` for no certificate."""
    subject = ((certificate or {}).get("info") or {}).get("subjectName")
    if subject is None:
        return None
    found = _COMMON_NAME.search(subject)
    return found[1].strip() if found else ""
