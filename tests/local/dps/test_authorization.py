"""Authorization of service API callers: signatures, tokens and rights."""

import time
from typing import Any

import httpx
import pytest
from azure.identity import ManagedIdentityCredential

from local.dps import AccessPolicy, DpsStandIn, Options, Right
from tests.local.dps.calls import (
    API_VERSION,
    NO_TLS,
    OWNER,
    Clock,
    StartDps,
    signature,
    signed_client,
)
from tests.secret_factory import symmetric_key

IDENTITY_HEADER = Options().identity_header
RESOURCE = "https://azure-devices-provisioning.net"


def get(dps: DpsStandIn, header: str | None) -> httpx.Response:
    """Returns the response to a GET with this Authorization header."""
    headers = {} if header is None else {"Authorization": header}
    url = f"{dps.url}/enrollments/nobody"
    return httpx.get(url, params=API_VERSION, headers=headers, verify=NO_TLS)


def test_signature_of_the_tests_equals_that_of_the_sdk() -> None:
    """azure-sdk-for-python makes the same signature from the same key, host and expiry."""
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

    header = signature(
        "mydps.azure-devices-provisioning.net", key=key, name=None, expiry=1_700_000_000
    )

    assert "sig=%2B5V0HFPIoMYrcltM2Jj4oxVByh5pkp677OYUHTEHW70%3D" in header


@pytest.mark.parametrize(
    ("resource", "key", "name", "lasts"),
    [
        ("127.0.0.1:{port}", OWNER.primary_key, OWNER.name, 60),
        ("127.0.0.1:{port}", OWNER.secondary_key, OWNER.name, 60),
        ("127.0.0.1:{port}", OWNER.primary_key, None, 60),
        ("127.0.0.1", OWNER.primary_key, OWNER.name, 60),
        ("http://127.0.0.1:{port}", OWNER.primary_key, OWNER.name, 60),
        ("HTTPS://127.0.0.1:{port}/", OWNER.primary_key, OWNER.name, 60),
        ("127.0.0.1:{port}/Enrollments/No", OWNER.primary_key, OWNER.name, 60),
        ("127.0.0.1:{port}", OWNER.primary_key, OWNER.name, -200),
    ],
    ids=["primary", "secondary", "no name", "no port", "http", "https", "path", "skew"],
)
def test_valid_signature_is_accepted(
    dps: DpsStandIn, resource: str, key: Any, name: Any, lasts: int
) -> None:
    """Either key may sign a prefix of host and path; five minutes after expiry are tolerated."""
    expiry = int(time.time()) + lasts
    header = signature(resource.format(port=dps.port), key=key, name=name, expiry=expiry)

    assert get(dps, header).status_code == 404


@pytest.mark.parametrize(
    ("resource", "key", "name", "lasts"),
    [
        ("127.0.0.1", symmetric_key(), OWNER.name, 60),
        ("127.0.0.1", OWNER.primary_key, "somebody", 60),
        ("127.0.0.1", OWNER.primary_key, OWNER.name, -400),
        ("127.0.0.1", OWNER.primary_key, OWNER.name, 10**30),
        ("elsewhere.test", OWNER.primary_key, OWNER.name, 60),
        ("127.0.0.1/enrollmentGroups", OWNER.primary_key, OWNER.name, 60),
        ("", OWNER.primary_key, OWNER.name, 60),
    ],
    ids=["key", "name", "expired", "year 10^22", "host", "path", "nothing"],
)
def test_invalid_signature_is_401(
    dps: DpsStandIn, resource: str, key: Any, name: Any, lasts: int
) -> None:
    """The signature is by another key or policy, for another host or path, or expired."""
    expiry = int(time.time()) + lasts
    response = get(dps, signature(resource, key=key, name=name, expiry=expiry))

    assert (response.status_code, response.json()["errorCode"]) == (401, 401002)
    assert response.json()["message"] == "Unauthorized"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "SharedAccessSignature",
        "SharedAccessSignature sr=127.0.0.1",
        "SharedAccessSignature sr=127.0.0.1&sig=%%%&se=soon",
        "SharedAccessSignature sr=127.0.0.1&sig=a b&se=1",
        "Basic YTpi",
        "Bearer",
        "Bearer abc",
    ],
)
def test_unknown_credential_is_401(dps: DpsStandIn, header: str | None) -> None:
    """The header is missing, incomplete, or of another scheme."""
    assert get(dps, header).status_code == 401


def test_signature_is_verified_as_received(dps: DpsStandIn) -> None:
    """The resource is not decoded and encoded again, so the case of its escapes matters."""
    header = signature(
        f"127.0.0.1:{dps.port}", key=OWNER.primary_key, name=None, expiry=int(time.time()) + 60
    )

    assert get(dps, header.replace("%3A", "%3a", 1)).status_code == 401


def test_configured_host_name_is_accepted_in_a_signature(
    start_dps: StartDps,
) -> None:
    """Clients may reach the stand-in by a name of the option `host_names`."""
    dps, _ = start_dps(host_names=("mydps.azure-devices-provisioning.net",))
    header = signature(
        "mydps.azure-devices-provisioning.net",
        key=OWNER.primary_key,
        name=None,
        expiry=int(time.time()) + 60,
    )

    assert get(dps, header).status_code == 404


NEEDED = [
    ("GET", "/enrollments/a", Right.ENROLLMENT_READ),
    ("POST", "/enrollments/query", Right.ENROLLMENT_READ),
    ("POST", "/enrollments/a/attestationmechanism", Right.ENROLLMENT_READ),
    ("PUT", "/enrollmentGroups/a", Right.ENROLLMENT_WRITE),
    ("DELETE", "/enrollmentGroups/a", Right.ENROLLMENT_WRITE),
    ("POST", "/enrollmentGroups", Right.ENROLLMENT_WRITE),
    ("GET", "/registrations/a", Right.REGISTRATION_STATUS_READ),
    ("POST", "/registrations/a/query", Right.REGISTRATION_STATUS_READ),
    ("DELETE", "/registrations/a", Right.REGISTRATION_STATUS_WRITE),
]


@pytest.mark.parametrize(("method", "path", "right"), NEEDED)
def test_operation_requires_its_right(
    start_dps: StartDps, method: Any, path: Any, right: Any
) -> None:
    """Without the right the response is 403; this right alone is enough."""
    policies = [
        AccessPolicy(
            name=name, primary_key=symmetric_key(), secondary_key=symmetric_key(), rights=rights
        )
        for name, rights in (("without", frozenset(Right) - {right}), ("with", frozenset({right})))
    ]
    dps, _ = start_dps(policies=tuple(policies))
    responses = []
    for policy in policies:
        with signed_client(dps, policy=policy) as client:
            responses.append(client.request(method, path))

    assert (responses[0].status_code, responses[0].json()["errorCode"]) == (403, 403000)
    assert responses[1].status_code != 403


def test_managed_identity_is_accepted(dps: DpsStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """azure.identity gets a token as on App Service, and the API accepts it."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{dps.url}/_identity/token")
    monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
    with ManagedIdentityCredential() as credential:
        token = credential.get_token(f"{RESOURCE}/.default")

    assert get(dps, f"Bearer {token.token}").status_code == 404


def get_token(dps: DpsStandIn, header: str = IDENTITY_HEADER, **query: str) -> httpx.Response:
    """Returns the response of the token endpoint."""
    query = {"resource": RESOURCE, "api-version": "2019-08-01"} | query
    return httpx.get(
        f"{dps.url}/_identity/token",
        params=query,
        headers={"X-IDENTITY-HEADER": header},
        verify=NO_TLS,
    )


def test_token_expires(start_dps: StartDps) -> None:
    """A token is 401 after an hour."""
    clock = Clock()
    dps, _ = start_dps(clock=clock)
    token = get_token(dps).json()["access_token"]
    before = get(dps, f"Bearer {token}")

    clock.advance(3600)

    assert (before.status_code, get(dps, f"Bearer {token}").status_code) == (404, 401)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"header": "wrong"}, 401),
        ({"resource": "https://management.azure.com"}, 400),
        ({"api-version": "2017-09-01"}, 400),
    ],
)
def test_invalid_token_request_is_rejected(
    dps: DpsStandIn, query: dict[str, Any], status: int
) -> None:
    """The identity header, the resource and the api-version are checked."""
    assert get_token(dps, **query).status_code == status
