"""Shape of responses: the members of the recorded ones, in the same order."""

import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from tests.contract.clients import Client
from tests.contract.exchanges import CUSTOM, EXCHANGES, Exchange

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
# .NET ticks: seven digits without trailing zeros.
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,6}[1-9])?Z")


@pytest.fixture(params=list(EXCHANGES.values()), ids=list(EXCHANGES))
def exchange(request: pytest.FixtureRequest) -> Exchange:
    """Each recorded exchange."""
    return cast(Exchange, request.param)


def only(*names: str) -> pytest.MarkDecorator:
    """Confines a test to some exchanges."""
    chosen = [pytest.param(EXCHANGES[name], id=name) for name in names]
    return pytest.mark.parametrize("exchange", chosen, indirect=True)


certificates = only("enrollment, X.509", "group, X.509")


@pytest.fixture
def sent(exchange: Exchange, new_id: Callable[..., str]) -> dict[str, Any]:
    """The document of the PUT."""
    return exchange.document(new_id())


@pytest.fixture
async def put(dps: Client, exchange: Exchange, sent: dict[str, Any]) -> Any:
    """The response to the PUT."""
    reply = await dps.create_or_update(exchange.kind.path, sent[exchange.kind.id_member], sent)
    assert reply.status == 200, reply
    return reply.document


@pytest.fixture
async def fetched(dps: Client, exchange: Exchange, put: dict[str, Any]) -> Any:
    """The response to the GET that follows."""
    return (await dps.get(exchange.kind.path, put[exchange.kind.id_member])).document


def test_put_has_the_recorded_members(exchange: Exchange, put: dict[str, Any]) -> None:
    """The response to a PUT omits nulls, except that of provisioningStatus."""
    assert list(put) == exchange.members_of_put


def test_get_has_the_recorded_members(exchange: Exchange, fetched: dict[str, Any]) -> None:
    """A GET adds the registration state of an individual enrollment, and nothing else."""
    assert list(fetched) == exchange.members_of_get


async def test_query_has_the_recorded_members(
    dps: Client, exchange: Exchange, put: dict[str, Any]
) -> None:
    """A query returns the members that a PUT returns, without a registration state."""
    kind = exchange.kind

    pages = await dps.query(kind.path)

    members_by_id = {r[kind.id_member]: list(r) for page in pages for r in page.document}
    assert members_by_id[put[kind.id_member]] == exchange.members_of_put


async def test_update_has_the_recorded_members(
    dps: Client, exchange: Exchange, sent: dict[str, Any], put: dict[str, Any]
) -> None:
    """An update to custom allocation adds its definition at the end."""
    kind = exchange.kind
    document = sent | {"allocationPolicy": "custom", "customAllocationDefinition": CUSTOM}

    reply = await dps.create_or_update(
        kind.path, put[kind.id_member], document, if_match=put["etag"]
    )

    names = [name for name in exchange.members_of_put if name != "customAllocationDefinition"]
    assert list(reply.document) == [*names, "customAllocationDefinition"]


@only("enrollment, symmetric keys", "enrollment, TPM and information", "group, symmetric keys")
def test_status_is_returned_as_sent(sent: dict[str, Any], put: dict[str, Any]) -> None:
    """A provisioningStatus comes back as it was sent, null included."""
    assert put["provisioningStatus"] == sent["provisioningStatus"]


@only("enrollment, symmetric keys", "enrollment, TPM")
def test_unassigned_state_has_two_members(exchange: Exchange, fetched: dict[str, Any]) -> None:
    """The state of a device that never registered has its id and the status `unassigned`."""
    state = {"registrationId": fetched[exchange.kind.id_member], "status": "unassigned"}

    assert list(fetched["registrationState"].items()) == list(state.items())


@only("enrollment, symmetric keys", "group, symmetric keys")
def test_reprovision_policy_has_the_order_of_the_service(put: dict[str, Any]) -> None:
    """The members are in the service's order, not in that of the request."""
    assert list(put["reprovisionPolicy"]) == ["updateHubAssignment", "migrateDeviceData"]


@only("enrollment, TPM", "group, X.509")
def test_timestamps_are_ticks_in_utc(put: dict[str, Any]) -> None:
    """Both times have the recorded format."""
    assert TIMESTAMP.fullmatch(put["createdDateTimeUtc"])
    assert TIMESTAMP.fullmatch(put["lastUpdatedDateTimeUtc"])


@only("enrollment, TPM", "enrollment, TPM and information")
async def test_endorsement_key_is_shown(
    dps: Client, sent: dict[str, Any], fetched: dict[str, Any]
) -> None:
    """GET and attestation mechanism show the endorsement key of a TPM, which is public."""
    mechanism = await dps.get_attestation_mechanism("enrollments", fetched["registrationId"])

    assert fetched["attestation"] == mechanism.document == sent["attestation"]


@only("enrollment, keys generated by the service", "group, keys generated by the service")
async def test_generated_keys_are_those_of_the_mechanism(
    dps: Client, exchange: Exchange, put: dict[str, Any]
) -> None:
    """The attestation mechanism returns the generated keys that the PUT returned."""
    kind = exchange.kind

    mechanism = await dps.get_attestation_mechanism(kind.path, put[kind.id_member])

    assert mechanism.document == put["attestation"]
    assert list(mechanism.document["symmetricKey"]) == ["primaryKey", "secondaryKey"]


@certificates
def test_certificates_are_shown_as_info_only(
    exchange: Exchange, put: dict[str, Any], fetched: dict[str, Any]
) -> None:
    """No response repeats a certificate; each is described by what the service read from it."""
    assert put["attestation"] == fetched["attestation"]
    pair = fetched["attestation"]["x509"][exchange.kind.certificates]
    assert [list(shown) for shown in pair.values()] == [["info"], ["info"]]
    assert list(pair["primary"]["info"]) == INFO


@certificates
def test_info_describes_the_certificate(
    exchange: Exchange, sent: dict[str, Any], fetched: dict[str, Any]
) -> None:
    """Names, thumbprints, validity, serial number and version are those of the certificate."""
    pem, shown = (
        document["attestation"]["x509"][exchange.kind.certificates]["primary"]
        for document in (sent, fetched)
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
