"""API versions: the members that each has, and the certificates that later ones issue."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.local.dps.calls import Kind
from tests.local.dps.devices import Device, Fleet, Webhook, custom, to_hub

CREDENTIALS = {"credentialPolicyName": "policy-1"}
REGISTRY = {
    "namespaceName": "factory-1",
    "certificateAuthorityName": "Root-1",
    "certificatePolicyName": "Policy-30-days",
}
ALL = CREDENTIALS | REGISTRY
MEMBERS: dict[str, dict[str, str]] = {
    "2018-04-01": {},
    "2019-03-31": {},
    "2021-10-01": {},
    "2026-04-01": CREDENTIALS,
    "2026-11-01": REGISTRY,
}
ISSUING = ["2026-04-01", "2026-11-01"]


def at(version: str) -> dict[str, str]:
    """Returns the query parameter for an API version."""
    return {"api-version": version}


def policy_members(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the members of a record that not every version has."""
    return {name: record[name] for name in ALL if name in record}


@pytest.mark.parametrize(("version", "members"), MEMBERS.items())
def test_each_version_has_its_own_members(
    client: httpx.Client, kind: Kind, version: str, members: dict[str, str]
) -> None:
    """PUT, bulk, GET and query take and show no member of another version."""
    documents = [kind.document(id_, **ALL) for id_ in ("rec-1", "rec-2")]

    put = client.put(f"/{kind.path}/rec-1", json=documents[0], params=at(version)).json()
    bulk = {kind.path: documents[1:], "mode": "create"}
    client.post(f"/{kind.path}", json=bulk, params=at(version)).raise_for_status()

    read = client.get(f"/{kind.path}/rec-2", params=at(version)).json()
    query = client.post(f"/{kind.path}/query", json={"query": ""}, params=at(version)).json()
    assert [policy_members(record) for record in (put, read, *query)] == [members] * 4


@pytest.mark.parametrize("version", [version for version in MEMBERS if version != "2026-11-01"])
def test_members_of_another_version_are_not_shown(
    client: httpx.Client, kind: Kind, version: str
) -> None:
    """They are stored all the same."""
    path = f"/{kind.path}/rec-1"
    client.put(path, json=kind.document(**REGISTRY), params=at("2026-11-01"))

    assert policy_members(client.get(path, params=at(version)).json()) == {}
    assert policy_members(client.get(path, params=at("2026-11-01")).json()) == REGISTRY


def test_record_that_is_changed_at_an_older_version_loses_members(
    client: httpx.Client, kind: Kind
) -> None:
    """What a GET at that version does not show, the PUT of its document removes."""
    path = f"/{kind.path}/rec-1"
    client.put(path, json=kind.document(**REGISTRY), params=at("2026-11-01"))

    read = client.get(path, params=at("2021-10-01")).json()
    etag = {"If-Match": read["etag"]}
    client.put(path, json=read, headers=etag, params=at("2021-10-01")).raise_for_status()

    assert policy_members(client.get(path, params=at("2026-11-01")).json()) == {}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("namespaceName", "ab"),
        ("namespaceName", "a" * 65),
        ("namespaceName", "Factory"),
        ("namespaceName", "factory-"),
        ("certificateAuthorityName", "-ca"),
        ("certificatePolicyName", "a" * 64),
        ("certificatePolicyName", 1),
    ],
)
def test_invalid_name_is_400(client: httpx.Client, kind: Kind, member: str, value: Any) -> None:
    """The patterns and lengths of the REST API specification."""
    document = kind.document(**{member: value})

    response = client.put(f"/{kind.path}/rec-1", json=document, params=at("2026-11-01"))

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
    assert response.json()["message"] == f"Invalid {member[0].upper()}{member[1:]}"


@pytest.mark.parametrize(("version", "shown"), [("2021-10-01", {}), ("2026-11-01", REGISTRY)])
def test_webhook_receives_the_version_of_its_definition(
    fleet: Fleet, webhook: Webhook, version: str, shown: dict[str, str]
) -> None:
    """The version of the PUT does not matter."""
    webhook.answer_with(to_hub(1))
    fleet.client.params = at("2026-11-01")
    definition = {"webhookUrl": webhook.url, "apiVersion": version}
    members = {**custom(webhook.url), **REGISTRY, "customAllocationDefinition": definition}

    fleet.enroll(**members).register()

    assert policy_members(webhook.requests[0]["individualEnrollment"]) == shown


class SigningRequest:
    """A certificate signing request, and the key of the device that made it."""

    def __init__(self, common_name: str = "dev-1") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(name)
        self.signed = builder.sign(self.key, hashes.SHA256())

    @property
    def csr(self) -> str:
        """The request as a device sends it."""
        der = self.signed.public_bytes(serialization.Encoding.DER)
        return base64.b64encode(der).decode()

    @property
    def pem(self) -> str:
        """The request with PEM lines."""
        return self.signed.public_bytes(serialization.Encoding.PEM).decode()


def enroll(fleet: Fleet, version: str, **members: Any) -> Device:
    """Returns a device whose enrollment names a policy, and that calls with `version`."""
    fleet.client.params = at(version)
    key = fleet.enroll(**{**MEMBERS[version], **members}).key
    return fleet.device(key=key, api_version=version)


@pytest.mark.parametrize("version", ISSUING)
def test_device_gets_a_certificate_for_its_request(fleet: Fleet, version: str) -> None:
    """The chain has the device's certificate first, then that of the authority."""
    request = SigningRequest()

    state = enroll(fleet, version).register(csr=request.csr)

    leaf, root = [
        x509.load_der_x509_certificate(base64.b64decode(text))
        for text in state["issuedCertificateChain"]
    ]
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert state["status"] == "assigned"
    assert leaf.subject == request.signed.subject
    assert leaf.public_key() == request.key.public_key()
    assert leaf.not_valid_before_utc < datetime.now(UTC) < leaf.not_valid_after_utc
    assert "issuedCertificateChain" not in fleet.registration()


def test_issued_certificate_is_the_same_in_each_poll(fleet: Fleet) -> None:
    """Only a new registration issues another one; a look-up of the state shows none."""
    device = enroll(fleet, "2026-11-01")
    operation_id = device.put(csr=SigningRequest().csr).json()["operationId"]
    states = [device.finish(operation_id)["registrationState"] for _ in range(2)]

    looked_up = device.send("POST", "", json={"registrationId": "dev-1"}).json()

    assert states[0] == states[1]
    assert looked_up == {
        name: value for name, value in states[0].items() if name != "issuedCertificateChain"
    }


@pytest.mark.parametrize(
    ("version", "members"),
    [
        ("2026-11-01", {"certificatePolicyName": None}),
        ("2026-04-01", {"credentialPolicyName": None}),
        ("2026-11-01", {"provisioningStatus": "disabled"}),
        ("2021-10-01", {}),
    ],
    ids=["no policy", "no credential policy", "disabled", "older version"],
)
def test_no_certificate_is_issued(fleet: Fleet, version: str, members: dict[str, Any]) -> None:
    """Without a policy or an assignment, and at a version that knows no requests."""
    state = enroll(fleet, version, **members).register(csr=SigningRequest().csr)

    assert state["status"] in ("assigned", "disabled")
    assert "issuedCertificateChain" not in state


@pytest.mark.parametrize(
    "csr",
    [SigningRequest("dev-2").csr, SigningRequest().pem, "rubbish!", "cnViYmlzaA==", "", 1],
    ids=["other name", "PEM", "no base64", "no request", "empty", "no text"],
)
def test_invalid_signing_request_is_400(fleet: Fleet, csr: Any) -> None:
    """It is base64 of DER, with the registration id as its common name."""
    response = enroll(fleet, "2026-11-01").put(csr=csr)

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)


def test_altered_signing_request_is_400(fleet: Fleet) -> None:
    """The device has to prove that it holds the key."""
    der = bytearray(base64.b64decode(SigningRequest().csr))
    der[-1] ^= 1

    response = enroll(fleet, "2026-11-01").put(csr=base64.b64encode(der).decode())

    assert response.status_code == 400


def test_signing_request_in_a_look_up_is_400(fleet: Fleet) -> None:
    """Only a registration may have one (REST API specification)."""
    device = enroll(fleet, "2026-11-01")
    device.register()

    response = device.send("POST", "", json={"csr": SigningRequest().csr})

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
