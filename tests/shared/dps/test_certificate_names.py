"""Certificates of an individual enrollment with which its device cannot register."""

import pytest

from shared.dps.certificate_names import misnamed_certificates
from tests.shared.dps.documents import enrollment, x509


@pytest.mark.parametrize(
    ("subject", "misnamed"),
    [
        ("CN=dev-1", []),
        ("O=Contoso, CN=DEV-1", []),
        ("CN=other", ["primary"]),
        ("O=Contoso", ["primary"]),
        ("O=Contoso CN=dev-1", ["primary"]),
        ('O="Contoso, CN=dev-1", CN=other', ["primary"]),
        ('O="Contoso, CN=other", CN="dev-1"', []),
        ("cn=dev-1+O=Contoso", []),
    ],
)
def test_common_name_must_be_the_registration_id(subject: str, misnamed: list[str]) -> None:
    """The comparison ignores case; a subject without a common name never matches."""
    certificates = {"primary": {"info": {"subjectName": subject}}, "secondary": None}

    names = misnamed_certificates(
        enrollment("dev-1", attestation=x509(clientCertificates=certificates))
    )

    assert names == misnamed


def test_other_attestation_has_no_misnamed_certificates() -> None:
    """An enrollment without client certificates is accepted."""
    assert misnamed_certificates(enrollment("dev-1")) == []
