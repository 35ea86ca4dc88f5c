"""Keys, TPMs and certificates: what is made, kept, shown and refused."""

import base64

import pytest

from tests.local.dps.calls import ENROLLMENT, GROUP, tpm_document
from tests.secret_factory import certificate, symmetric_key

KEY_NAMES = ("primaryKey", "secondaryKey")


def keys_of(reply):
    """The keys in an answer, primary first."""
    return [reply.json()["attestation"]["symmetricKey"][name] for name in KEY_NAMES]


def x509(kind, **slots):
    """An X.509 attestation of the kind's own certificates."""
    pair = {slot: {"certificate": text} for slot, text in slots.items()}
    return {"type": "x509", "x509": {kind.certificates: pair}}


@pytest.mark.parametrize(
    "symmetric_keys",
    [{}, {"symmetricKey": None}, {"symmetricKey": {}}]
    + [{"symmetricKey": dict.fromkeys(KEY_NAMES, value)} for value in (None, "")],
)
def test_keys_not_given_are_made(client, kind, symmetric_keys):
    """Null, empty or absent: two different keys of 64 bytes."""
    attestation = {"type": "symmetricKey"} | symmetric_keys

    reply = client.put(f"/{kind.path}/rec-1", json=kind.document(attestation=attestation))

    assert [len(base64.b64decode(key)) for key in keys_of(reply)] == [64, 64]
    assert len(set(keys_of(reply))) == 2


def test_one_key_given_gets_another_beside_it(client, kind):
    """The given one is kept."""
    key = symmetric_key()
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": key}}

    reply = client.put(f"/{kind.path}/rec-1", json=kind.document(attestation=attestation))

    assert keys_of(reply)[0] == key
    assert keys_of(reply)[1] not in ("", key)


def test_keys_are_shown_by_put_and_attestation_mechanism_only(client, kind):
    """GET and query strip them to the type."""
    document = kind.document()

    put = client.put(f"/{kind.path}/rec-1", json=document).json()
    got = client.get(f"/{kind.path}/rec-1").json()
    [queried] = client.post(f"/{kind.path}/query", json={"query": "SELECT *"}).json()
    mechanism = client.post(f"/{kind.path}/rec-1/attestationmechanism").json()

    assert put["attestation"] == mechanism == document["attestation"]
    assert got["attestation"] == queried["attestation"] == {"type": "symmetricKey"}


@pytest.mark.parametrize("kept", [True, False])
def test_an_update_without_keys_keeps_or_renews_them(stand_in, kind, kept):
    """Which of the two the service does is unknown, so both can be had."""
    _, client = stand_in(keep_keys_on_update=kept)
    created = client.put(f"/{kind.path}/rec-1", json=kind.document())
    shown = client.get(f"/{kind.path}/rec-1").json()

    updated = client.put(f"/{kind.path}/rec-1", json=shown, headers={"If-Match": shown["etag"]})

    assert (keys_of(updated) == keys_of(created)) is kept


@pytest.mark.parametrize("nbytes", [16, 64])
def test_keys_of_16_to_64_bytes_are_taken(client, kind, nbytes):
    """Both ends of the range are in it."""
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": symmetric_key(nbytes)}}

    reply = client.put(f"/{kind.path}/rec-1", json=kind.document(attestation=attestation))

    assert reply.status_code == 200


def test_an_endorsement_key_is_shown_everywhere(client):
    """A TPM's key is public: unlike a symmetric one it is not stripped."""
    document = tpm_document()
    client.put("/enrollments/tpm-1", json=document)

    shown = client.get("/enrollments/tpm-1").json()

    assert shown["attestation"] == document["attestation"]


def test_a_certificate_is_answered_as_its_details(client, kind):
    """Never the certificate itself; names, thumbprints and times as recorded."""
    serial_number = 0x2BB8B739DEE17099EAF40668B40E596C2F7E1DDD
    pem = certificate("cert-1", serial_number=serial_number)

    reply = client.put(
        f"/{kind.path}/rec-1", json=kind.document(attestation=x509(kind, primary=pem))
    ).json()

    shown = reply["attestation"]["x509"][kind.certificates]["primary"]
    details = shown.pop("info")
    assert shown == {}
    assert list(details) == [
        "subjectName",
        "sha1Thumbprint",
        "sha256Thumbprint",
        "issuerName",
        "notBeforeUtc",
        "notAfterUtc",
        "serialNumber",
        "version",
    ]
    assert (details["subjectName"], details["issuerName"]) == ("CN=cert-1", "CN=cert-1")
    assert details["serialNumber"] == f"{serial_number:X}"
    assert details["version"] == 3
    assert len(details["sha1Thumbprint"]) == 40
    assert details["sha256Thumbprint"].isupper()


def test_a_certificate_may_be_bare_base64(client):
    """DER in base64 without the PEM lines is the same certificate."""
    pem = certificate("cert-1", organization="Contoso")
    bare = "".join(pem.splitlines()[1:-1])

    both = x509(ENROLLMENT, primary=pem, secondary=bare)
    reply = client.put("/enrollments/rec-1", json=ENROLLMENT.document(attestation=both)).json()

    shown = reply["attestation"]["x509"]["clientCertificates"]
    assert shown["primary"] == shown["secondary"]
    assert shown["primary"]["info"]["subjectName"] == "CN=cert-1, O=Contoso"


def test_an_update_may_give_back_the_details_alone(client, kind):
    """A document from GET has no certificate: the stored details are kept."""
    attestation = x509(kind, primary=certificate("a"), secondary=certificate("b"))
    client.put(f"/{kind.path}/rec-1", json=kind.document(attestation=attestation))
    shown = client.get(f"/{kind.path}/rec-1").json()

    updated = client.put(f"/{kind.path}/rec-1", json=shown, headers={"If-Match": shown["etag"]})

    assert updated.json()["attestation"] == shown["attestation"]


def test_details_of_a_certificate_nobody_gave_are_400(client, kind):
    """On a create there is nothing that the details could stand for."""
    details = {"primary": {"info": {"sha256Thumbprint": "AB"}}}
    attestation = {"type": "x509", "x509": {kind.certificates: details}}

    reply = client.put(f"/{kind.path}/rec-1", json=kind.document(attestation=attestation))

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)


def test_a_group_may_name_uploaded_authorities(client):
    """caReferences are echoed."""
    attestation = {"type": "x509", "x509": {"caReferences": {"primary": "root-1"}}}

    reply = client.put("/enrollmentGroups/rec-1", json=GROUP.document(attestation=attestation))

    assert reply.json()["attestation"] == attestation


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
        (ENROLLMENT, x509(ENROLLMENT, primary="no certificate")),
        (ENROLLMENT, x509(ENROLLMENT, primary=certificate("a")[:-60])),
        (ENROLLMENT, x509(ENROLLMENT, primary="é")),
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
def test_an_attestation_that_attests_nothing_is_400(client, kind, attestation):
    """Unknown, empty, double, unreadable, or not for this kind of record."""
    reply = client.put(f"/{kind.path}/rec-1", json=kind.document(attestation=attestation))

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
