"""Certificates as facts: from DPS's `info`, or parsed from the certificate itself."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests import secret_factory
from tests.shared.allocation.samples import GROUP, matches

INFO = {
    "subjectName": "CN=Contoso Issuing CA, O=Contoso",
    "sha1Thumbprint": "00000000000000000000000000000000000000AB",
    "sha256Thumbprint": "AB" * 32,
    "issuerName": "CN=Contoso Root CA",
    "notBeforeUtc": "2025-01-01T00:00:00Z",
    "notAfterUtc": "2030-01-01T00:00:00Z",
    "serialNumber": "0A1B2C",
    "version": 3,
}


def signed_by(certificate: Any, *, which: str = "primary") -> dict[str, Any]:
    """Returns a group with this signing certificate."""
    x509 = {"signingCertificates": {which: certificate}}
    return GROUP | {"attestation": {"type": "x509", "x509": x509}}


@pytest.mark.parametrize(
    ("member", "condition"),
    [
        ("subject", {"equals": "CN=Contoso Issuing CA, O=Contoso"}),
        ("commonName", {"equals": "Contoso Issuing CA"}),
        ("issuer", {"endsWith": "Root CA"}),
        ("serialNumber", {"equals": "0a1b2c"}),
        ("sha1Thumbprint", {"endsWith": "ab"}),
        ("sha256Thumbprint", {"in": ["ab" * 32]}),
        ("notBefore", {"lt": "2026-01-01"}),
        ("notAfter", {"gte": "2030-01-01T00:00:00Z"}),
        ("alternativeNames", {"exists": False}),
    ],
)
@pytest.mark.parametrize("which", ["primary", "secondary"])
def test_signing_certificate_of_a_group(member: str, condition: dict[str, Any], which: str) -> None:
    """Rules test the values that DPS parsed, in `info`."""
    when = {f"signingCertificates.{which}.{member}": condition}

    assert matches(when, group=signed_by({"info": INFO}, which=which))


def test_client_certificate_of_an_individual_enrollment() -> None:
    """The client certificates of an individual enrollment are facts too."""
    attestation = {"type": "x509", "x509": {"clientCertificates": {"primary": {"info": INFO}}}}

    assert matches(
        {"clientCertificates.primary.commonName": {"contains": "Issuing"}},
        individual={"registrationId": "dev-1", "attestation": attestation},
    )


@pytest.mark.parametrize(
    "shape", [lambda pem: pem, lambda pem: {"certificate": pem}], ids=["text", "object"]
)
def test_certificate_of_the_device_is_parsed(shape: Any) -> None:
    """A certificate without `info`, as PEM or in an object, is parsed."""
    pem = secret_factory.certificate("dev-1", organization="Contoso", serial_number=0xABCD)

    assert matches(
        {
            "deviceCertificate.subject": {"equals": "CN=dev-1, O=Contoso"},
            "deviceCertificate.issuer": {"equals": "CN=dev-1, O=Contoso"},
            "deviceCertificate.commonName": {"equals": "dev-1"},
            "deviceCertificate.serialNumber": {"equals": "abcd"},
            "deviceCertificate.notAfter": {"gt": "2026-01-01"},
        },
        x509={"clientCertificate": shape(pem)},
    )


def test_certificate_in_bare_base64_is_parsed() -> None:
    """Base64 without BEGIN and END lines is the same certificate, with the same thumbprints."""
    pem = secret_factory.certificate("dev-1")
    certificate = x509.load_pem_x509_certificate(pem.encode())
    bare = "".join(pem.splitlines()[1:-1])

    assert matches(
        {
            "deviceCertificate.sha1Thumbprint": {
                "equals": certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303
            },
            "deviceCertificate.sha256Thumbprint": {
                "equals": certificate.fingerprint(hashes.SHA256()).hex()
            },
        },
        x509={"clientCertificate": bare},
    )


def test_alternative_names_are_a_list() -> None:
    """Each name is a string, whatever its type."""
    names = [
        x509.DNSName("dev-1.contoso.example"),
        x509.IPAddress(ip_address("192.0.2.1")),
        x509.UniformResourceIdentifier("urn:dev:1"),
    ]
    pem = with_alternative_names(names)

    for name in ("dev-1.contoso.example", "192.0.2.1", "urn:dev:1"):
        when = {"deviceCertificate.alternativeNames": {"contains": name}}
        assert matches(when, x509={"clientCertificate": pem})


@pytest.mark.parametrize(
    "sent",
    [
        None,
        {},
        5,
        [],
        "",
        "no certificate",
        "AAAA",
        "-----BEGIN CERTIFICATE-----\nAAAA",
        {"info": 5},
    ],
    ids=repr,
)
def test_unreadable_certificate_is_absent(
    sent: list[Any] | int | dict[str, Any] | str | None,
) -> None:
    """The facts of the certificate are absent; nothing is raised."""
    assert matches(
        {"deviceCertificate.subject": {"exists": False}}, x509={"clientCertificate": sent}
    )


def with_alternative_names(names: list[x509.GeneralName]) -> str:
    """Returns a new certificate with subject alternative names, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dev-1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return signed.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("subject", "common_name"),
    [
        (r"O=a\, CN=trusted, CN=real", "real"),
        ('O="a, CN=trusted", CN=real', "real"),
        ('O="a"", CN=trusted", CN=real', "real"),
        (r"O=a\\, CN=real", "real"),
        (r"OU=a+CN=real, CN=other", "real"),
        (r"cn = J\C3\A4r\2B\, Inc\  ,O=b", "Jär+, Inc "),
        ('CN="Contoso, ""Inc"""', 'Contoso, "Inc"'),
        ("2.5.4.3=real", "real"),
        (r"CN=a\\", "a\\"),
        (r'O="a\", CN=trusted, L="', None),
        ("O=a, CN=trusted, L", None),
        ("O=a, CN=trusted,", None),
        ("O=CN=trusted", None),
        ("", None),
    ],
)
def test_common_name_is_that_of_the_subject(subject: str, common_name: str | None) -> None:
    """Special characters are escaped as in RFC 4514, or the value is in quotes, as .NET writes it."""
    group = signed_by({"info": {"subjectName": subject}})
    name = "signingCertificates.primary.commonName"

    assert matches({name: {"exists": common_name is not None}}, group=group)
    assert not matches({name: {"equals": "trusted"}}, group=group)
    assert common_name is None or matches({name: {"equals": common_name}}, group=group)


def test_common_name_of_a_certificate_cannot_be_imitated() -> None:
    """An organization with a comma and what looks like a common name is one value."""
    pem = secret_factory.certificate("dev-1", organization="a, CN=trusted")

    assert matches(
        {"deviceCertificate.commonName": {"equals": "dev-1"}}, x509={"clientCertificate": pem}
    )
