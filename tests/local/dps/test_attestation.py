"""Attestation: keys, TPMs and certificates."""

import base64
from typing import Any

import httpx
import pytest

from tests.local.dps.calls import ENROLLMENT, GROUP, Kind, StartDps, tpm_document
from tests.secret_factory import certificate, symmetric_key

KEY_NAMES = ("primaryKey", "secondaryKey")


def keys_of(response: httpx.Response) -> list[str]:
    """Returns the keys in a response, the primary one first."""
    return [response.json()["attestation"]["symmetricKey"][name] for name in KEY_NAMES]


def x509(kind: Kind, **slots: str) -> dict[str, Any]:
    """Returns an X.509 attestation with certificates in these slots."""
    pair = {slot: {"certificate": text} for slot, text in slots.items()}
    return {"type": "x509", "x509": {kind.certificates: pair}}


@pytest.mark.parametrize(
    "symmetric_keys",
    [{}, {"symmetricKey": None}, {"symmetricKey": {}}]
    + [{"symmetricKey": dict.fromkeys(KEY_NAMES, value)} for value in (None, "")],
)
def test_missing_keys_are_generated(
    client: httpx.Client, kind: Kind, symmetric_keys: dict[str, Any]
) -> None:
    """For null, empty or absent keys DPS generates two different keys of 64 bytes."""
    attestation = {"type": "symmetricKey"} | symmetric_keys

    response = client.put(f"/{kind.path}/rec-1", json=kind.document(attestation=attestation))

    assert [len(base64.b64decode(key)) for key in keys_of(response)] == [64, 64]
    assert len(set(keys_of(response))) == 2


def test_missing_secondary_key_is_generated(client: httpx.Client, kind: Kind) -> None:
    """The primary key that was sent is stored."""
    key = symmetric_key()
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": key}}

    response = client.put(f"/{kind.path}/rec-1", json=kind.document(attestation=attestation))

    assert keys_of(response)[0] == key
    assert keys_of(response)[1] not in ("", key)


def test_only_put_and_attestation_mechanism_return_keys(client: httpx.Client, kind: Kind) -> None:
    """GET and query return only the type."""
    document = kind.document()

    put = client.put(f"/{kind.path}/rec-1", json=document).json()
    read = client.get(f"/{kind.path}/rec-1").json()
    [queried] = client.post(f"/{kind.path}/query", json={"query": "SELECT *"}).json()
    mechanism = client.post(f"/{kind.path}/rec-1/attestationmechanism").json()

    assert put["attestation"] == mechanism == document["attestation"]
    assert read["attestation"] == queried["attestation"] == {"type": "symmetricKey"}


@pytest.mark.parametrize("kept", [True, False])
def test_update_without_keys_keeps_or_replaces_them(
    start_dps: StartDps, kind: Kind, kept: bool
) -> None:
    """What DPS does is unknown, so it is an option."""
    _, client = start_dps(keep_keys_on_update=kept)
    created = client.put(f"/{kind.path}/rec-1", json=kind.document())
    stored = client.get(f"/{kind.path}/rec-1").json()

    updated = client.put(f"/{kind.path}/rec-1", json=stored, headers={"If-Match": stored["etag"]})

    assert (keys_of(updated) == keys_of(created)) is kept


@pytest.mark.parametrize("nbytes", [16, 64])
def test_key_of_16_to_64_bytes_is_accepted(client: httpx.Client, kind: Kind, nbytes: int) -> None:
    """Both ends of the range are accepted."""
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": symmetric_key(nbytes)}}

    response = client.put(f"/{kind.path}/rec-1", json=kind.document(attestation=attestation))

    assert response.status_code == 200


def test_get_returns_an_endorsement_key(client: httpx.Client) -> None:
    """A GET shows an endorsement key, which is public, unlike a symmetric key."""
    document = tpm_document()
    client.put("/enrollments/tpm-1", json=document)

    stored = client.get("/enrollments/tpm-1").json()

    assert stored["attestation"] == document["attestation"]


def test_certificate_is_returned_as_its_info(client: httpx.Client, kind: Kind) -> None:
    """The info has names, thumbprints and times as recorded."""
    serial_number = 0x2BB8B739DEE17099EAF40668B40E596C2F7E1DDD
    pem = certificate("cert-1", serial_number=serial_number)

    response = client.put(
        f"/{kind.path}/rec-1", json=kind.document(attestation=x509(kind, primary=pem))
    ).json()

    info = response["attestation"]["x509"][kind.certificates]["primary"]["info"]
    assert list(info) == [
        "subjectName",
        "sha1Thumbprint",
        "sha256Thumbprint",
        "issuerName",
        "notBeforeUtc",
        "notAfterUtc",
        "serialNumber",
        "version",
    ]
    assert (info["subjectName"], info["issuerName"]) == ("CN=cert-1", "CN=cert-1")
    assert info["serialNumber"] == f"{serial_number:X}"
    assert info["version"] == 3
    assert len(info["sha1Thumbprint"]) == 40
    assert info["sha256Thumbprint"].isupper()


def test_no_response_contains_a_certificate(client: httpx.Client, kind: Kind) -> None:
    """PUT, GET, query and attestation mechanism show only the info."""
    path = f"/{kind.path}/rec-1"
    document = kind.document(attestation=x509(kind, primary=certificate("a")))

    put = client.put(path, json=document).json()
    read = client.get(path).json()
    [queried] = client.post(f"/{kind.path}/query", json={"query": "SELECT *"}).json()
    mechanism = client.post(f"{path}/attestationmechanism").json()

    attestations = [put["attestation"], read["attestation"], queried["attestation"], mechanism]
    slots = [attestation["x509"][kind.certificates]["primary"] for attestation in attestations]
    assert [list(slot) for slot in slots] == [["info"]] * 4


def test_certificate_may_be_base64_of_der(client: httpx.Client) -> None:
    """The certificate is the same without PEM lines."""
    pem = certificate("cert-1", organization="Contoso")
    bare = "".join(pem.splitlines()[1:-1])

    both = x509(ENROLLMENT, primary=pem, secondary=bare)
    response = client.put("/enrollments/rec-1", json=ENROLLMENT.document(attestation=both)).json()

    stored = response["attestation"]["x509"]["clientCertificates"]
    assert stored["primary"] == stored["secondary"]
    assert stored["primary"]["info"]["subjectName"] == "CN=cert-1, O=Contoso"


def test_update_with_the_info_alone_keeps_the_certificate(client: httpx.Client, kind: Kind) -> None:
    """A document from a GET, which has no certificate, can be put back."""
    attestation = x509(kind, primary=certificate("a"), secondary=certificate("b"))
    client.put(f"/{kind.path}/rec-1", json=kind.document(attestation=attestation))
    stored = client.get(f"/{kind.path}/rec-1").json()

    updated = client.put(f"/{kind.path}/rec-1", json=stored, headers={"If-Match": stored["etag"]})

    assert updated.json()["attestation"] == stored["attestation"]


def test_create_with_the_info_alone_is_400(client: httpx.Client, kind: Kind) -> None:
    """A new record has no stored certificate that the info could stand for."""
    details = {"primary": {"info": {"sha256Thumbprint": "AB"}}}
    attestation = {"type": "x509", "x509": {kind.certificates: details}}

    response = client.put(f"/{kind.path}/rec-1", json=kind.document(attestation=attestation))

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)


def test_group_may_have_ca_references(client: httpx.Client) -> None:
    """The references are returned as sent."""
    attestation = {"type": "x509", "x509": {"caReferences": {"primary": "root-1"}}}

    response = client.put("/enrollmentGroups/rec-1", json=GROUP.document(attestation=attestation))

    assert response.json()["attestation"] == attestation


NOT_BASE64 = "The certificate is not a valid base64 string value"


@pytest.mark.parametrize(
    "text",
    [
        certificate("device") + certificate("ca"),
        certificate("device") + "-----BEGIN CERTIFICATE-----\n",
        certificate("a")[:-60],
        "Subject: CN=a\n" + certificate("a"),
        "no certificate",
        "é",
        base64.b64encode(b"no certificate").decode(),
        base64.b64encode(certificate("a").encode()).decode(),
    ],
)
def test_unreadable_certificate_is_refused_with_the_message_of_dps(
    client: httpx.Client, kind: Kind, text: str
) -> None:
    """A chain, a part of a certificate and rubbish (azure-docs#6886, iotedge#2738)."""
    response = client.put(
        f"/{kind.path}/rec-1", json=kind.document(attestation=x509(kind, primary=text))
    )

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
    assert response.json()["message"] == NOT_BASE64


TPM = {"type": "tpm", "tpm": {"endorsementKey": "key"}}
PAIR = {"primary": {"certificate": certificate("a")}}


@pytest.mark.parametrize(
    ("kind", "attestation"),
    [
        (ENROLLMENT, {}),
        (ENROLLMENT, "symmetricKey"),
        (ENROLLMENT, {"type": "password"}),
        (ENROLLMENT, {"type": ["tpm"]}),
        (ENROLLMENT, {"type": "tpm"}),
        (ENROLLMENT, {"type": "tpm", "tpm": {"endorsementKey": ""}}),
        (ENROLLMENT, TPM | {"symmetricKey": {}}),
        (ENROLLMENT, {"type": "symmetricKey", "symmetricKey": {"primaryKey": symmetric_key(15)}}),
        (ENROLLMENT, {"type": "symmetricKey", "symmetricKey": {"secondaryKey": symmetric_key(65)}}),
        (ENROLLMENT, {"type": "symmetricKey", "symmetricKey": {"primaryKey": "no base64!"}}),
        (ENROLLMENT, {"type": "symmetricKey", "symmetricKey": {"primaryKey": 5}}),
        (ENROLLMENT, {"type": "symmetricKey", "symmetricKey": []}),
        (ENROLLMENT, {"type": "x509"}),
        (ENROLLMENT, {"type": "x509", "x509": {}}),
        (ENROLLMENT, {"type": "x509", "x509": {"clientCertificates": {}}}),
        (ENROLLMENT, {"type": "x509", "x509": {"clientCertificates": {"primary": "text"}}}),
        (ENROLLMENT, {"type": "x509", "x509": {"signingCertificates": PAIR}}),
        (ENROLLMENT, {"type": "x509", "x509": {"caReferences": {"primary": "root-1"}}}),
        (GROUP, TPM),
        (GROUP, {"type": "x509", "x509": {"clientCertificates": PAIR}}),
        (GROUP, {"type": "x509", "x509": {"caReferences": {"primary": 1}}}),
        (
            GROUP,
            {
                "type": "x509",
                "x509": {"signingCertificates": PAIR, "caReferences": {"primary": "root-1"}},
            },
        ),
    ],
)
def test_invalid_attestation_is_400(client: httpx.Client, kind: Any, attestation: Any) -> None:
    """An attestation is unknown, empty, ambiguous, unreadable, or not for this kind of record."""
    response = client.put(f"/{kind.path}/rec-1", json=kind.document(attestation=attestation))

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
