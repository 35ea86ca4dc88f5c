"""Signatures, tokens and rights."""

import time

import httpx
import pytest
from azure.identity import ManagedIdentityCredential

from local.dps import AccessPolicy, Options, Right
from tests.local.dps.calls import API_VERSION, NO_TLS, OWNER, Clock, signature, signed_client
from tests.secret_factory import symmetric_key

IDENTITY_HEADER = Options().identity_header
RESOURCE = "https://azure-devices-provisioning.net"


def get(dps, header, path="/enrollments/nobody"):
    """An answer to a GET with this Authorization header."""
    headers = {} if header is None else {"Authorization": header}
    return httpx.get(f"{dps.url}{path}", params=API_VERSION, headers=headers, verify=NO_TLS)


def test_the_published_vector_is_reproduced():
    """The tests sign as Microsoft's Python client does for the same key, host and time."""
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
def test_a_good_signature_is_accepted(dps, resource, key, name, lasts):
    """Either key; the resource is a prefix, without case; expiry has five minutes' grace."""
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
def test_a_bad_signature_is_401(dps, resource, key, name, lasts):
    """Another key, policy, host or path, or a time that is past."""
    expiry = int(time.time()) + lasts
    reply = get(dps, signature(resource, key=key, name=name, expiry=expiry))

    assert (reply.status_code, reply.json()["errorCode"]) == (401, 401002)
    assert reply.json()["message"] == "Unauthorized"


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
def test_no_credential_that_we_know_is_401(dps, header):
    """Missing, cut short, or of another scheme."""
    assert get(dps, header).status_code == 401


def test_a_signature_is_checked_as_it_was_received(dps):
    """Lower-case escapes are signed in lower case: nothing is decoded and encoded again."""
    header = signature(
        f"127.0.0.1:{dps.port}", key=OWNER.primary_key, name=None, expiry=int(time.time()) + 60
    )

    assert get(dps, header.replace("%3A", "%3a", 1)).status_code == 401


def test_other_host_names_may_be_signed_for(stand_in):
    """A client that reaches the stand-in by another name signs that name."""
    dps, _ = stand_in(host_names=("mydps.azure-devices-provisioning.net",))
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
def test_each_operation_needs_its_right(stand_in, method, path, right):
    """With all rights but that one it is 403, with that one alone it is not."""
    policies = [
        AccessPolicy(
            name=name, primary_key=symmetric_key(), secondary_key=symmetric_key(), rights=rights
        )
        for name, rights in (("without", frozenset(Right) - {right}), ("with", frozenset({right})))
    ]
    dps, _ = stand_in(policies=tuple(policies))
    replies = []
    for policy in policies:
        with signed_client(dps, policy=policy) as client:
            replies.append(client.request(method, path))

    assert (replies[0].status_code, replies[0].json()["errorCode"]) == (403, 403000)
    assert replies[1].status_code != 403


def test_a_managed_identity_is_accepted(dps, monkeypatch):
    """The real azure.identity gets a token as on App Service, and the token opens the API."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{dps.url}/_identity/token")
    monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
    with ManagedIdentityCredential() as credential:
        token = credential.get_token(f"{RESOURCE}/.default")

    assert get(dps, f"Bearer {token.token}").status_code == 404


def identity(dps, header=IDENTITY_HEADER, **query):
    """An answer of the token endpoint."""
    query = {"resource": RESOURCE, "api-version": "2019-08-01"} | query
    return httpx.get(
        f"{dps.url}/_identity/token",
        params=query,
        headers={"X-IDENTITY-HEADER": header},
        verify=NO_TLS,
    )


def test_a_token_expires(stand_in):
    """After its hour it is worth nothing."""
    clock = Clock()
    dps, _ = stand_in(clock=clock)
    token = identity(dps).json()["access_token"]
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
def test_a_token_for_something_else_is_not_issued(dps, query, status):
    """The header, the resource and the version must be right."""
    assert identity(dps, **query).status_code == status
