"""Answers have the shape of the recorded ones: the same members, in the same order."""

import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from tests.contract.exchanges import CUSTOM, EXCHANGES

INFO = [
    "subjectName",
    "sha1Thumbprint",
    "sha256Thumbprint",
    "issuerName",
    "notBeforeUtc",
    "notAfterUtc",
    "serialNumber",
    "version",
]
# Ticks of .NET: seven digits, without the zeros at their end.
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,6}[1-9])?Z")


@pytest.fixture(params=EXCHANGES.values(), ids=EXCHANGES.keys())
def exchange(request):
    """Each exchange in turn."""
    return request.param


def of(*names):
    """Confines a claim to some exchanges."""
    chosen = [pytest.param(EXCHANGES[name], id=name) for name in names]
    return pytest.mark.parametrize("exchange", chosen, indirect=True)


certificates = of("enrollment, X.509", "group, X.509")


@pytest.fixture
def sent(exchange, new_id):
    """The document that is put."""
    return exchange.document(new_id())


@pytest.fixture
async def put(dps, exchange, sent):
    """The answer to its PUT."""
    reply = await dps.create_or_update(exchange.kind.path, sent[exchange.kind.id_member], sent)
    assert reply.status == 200, reply
    return reply.document


@pytest.fixture
async def got(dps, exchange, put):
    """The answer to the GET that follows."""
    return (await dps.get(exchange.kind.path, put[exchange.kind.id_member])).document


def test_put_has_the_recorded_members(exchange, put):
    """The answer to a PUT leaves out nulls, but not that of provisioningStatus."""
    assert list(put) == exchange.members_of_put


def test_get_has_the_recorded_members(exchange, got):
    """A GET adds the registration state of an individual enrollment, and nothing else."""
    assert list(got) == exchange.members_of_get


async def test_query_has_the_recorded_members(dps, exchange, put):
    """A query shows the members that a PUT answers with."""
    kind = exchange.kind

    pages = await dps.query(kind.path)

    found = {r[kind.id_member]: list(r) for page in pages for r in page.document}
    assert found[put[kind.id_member]] == exchange.members_of_put


async def test_update_has_the_recorded_members(dps, exchange, sent, put):
    """An update to custom allocation adds its definition at the end."""
    kind = exchange.kind
    document = sent | {"allocationPolicy": "custom", "customAllocationDefinition": CUSTOM}

    reply = await dps.create_or_update(
        kind.path, put[kind.id_member], document, if_match=put["etag"]
    )

    names = [name for name in exchange.members_of_put if name != "customAllocationDefinition"]
    assert list(reply.document) == [*names, "customAllocationDefinition"]


@of("enrollment, symmetric keys", "enrollment, TPM and information", "group, symmetric keys")
def test_status_is_echoed(sent, put):
    """A provisioningStatus comes back as it was sent, null included."""
    assert put["provisioningStatus"] == sent["provisioningStatus"]


@of("enrollment, symmetric keys", "enrollment, TPM")
def test_unassigned_state_has_two_members(exchange, got):
    """The state of a device that never registered is its id and `unassigned`."""
    state = {"registrationId": got[exchange.kind.id_member], "status": "unassigned"}

    assert list(got["registrationState"].items()) == list(state.items())


@of("enrollment, symmetric keys", "group, symmetric keys")
def test_reprovision_policy_comes_in_the_service_s_order(put):
    """The policy is written anew: updateHubAssignment first."""
    assert list(put["reprovisionPolicy"]) == ["updateHubAssignment", "migrateDeviceData"]


@of("enrollment, TPM", "group, X.509")
def test_timestamps_are_ticks_in_utc(put):
    """Both times have the form of the recorded ones."""
    assert TIMESTAMP.fullmatch(put["createdDateTimeUtc"])
    assert TIMESTAMP.fullmatch(put["lastUpdatedDateTimeUtc"])


@of("enrollment, TPM", "enrollment, TPM and information")
async def test_endorsement_key_is_shown(dps, sent, got):
    """The endorsement key of a TPM is public: GET and attestation mechanism show it."""
    mechanism = await dps.get_attestation_mechanism("enrollments", got["registrationId"])

    assert got["attestation"] == mechanism.document == sent["attestation"]


@of("enrollment, keys made by the service", "group, keys made by the service")
async def test_made_keys_are_those_of_the_mechanism(dps, exchange, put):
    """The keys that a PUT answered with are those the attestation mechanism gives later."""
    kind = exchange.kind

    mechanism = await dps.get_attestation_mechanism(kind.path, put[kind.id_member])

    assert mechanism.document == put["attestation"]
    assert list(mechanism.document["symmetricKey"]) == ["primaryKey", "secondaryKey"]


@certificates
def test_certificates_are_shown_as_info_alone(exchange, put, got):
    """No answer repeats a certificate; of each there is what the service read from it."""
    assert put["attestation"] == got["attestation"]
    pair = got["attestation"]["x509"][exchange.kind.certificates]
    assert [list(shown) for shown in pair.values()] == [["info"], ["info"]]
    assert list(pair["primary"]["info"]) == INFO


@certificates
def test_info_describes_the_certificate(exchange, sent, got):
    """Names, thumbprints, validity, serial number and version are those of the certificate."""
    pem, shown = (
        document["attestation"]["x509"][exchange.kind.certificates]["primary"]
        for document in (sent, got)
    )
    certificate = x509.load_pem_x509_certificate(pem["certificate"].encode())

    info = shown["info"]
    assert (info["subjectName"], info["issuerName"]) == ("CN=device-1", "CN=device-1")
    assert bytes.fromhex(info["sha1Thumbprint"]) == certificate.fingerprint(SHA1())  # noqa: S303  DPS's choice
    assert bytes.fromhex(info["sha256Thumbprint"]) == certificate.fingerprint(SHA256())
    assert info["notBeforeUtc"] == f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert info["notAfterUtc"] == f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert int(info["serialNumber"], 16) == certificate.serial_number
    assert (info["serialNumber"].upper(), info["version"]) == (info["serialNumber"], 3)
