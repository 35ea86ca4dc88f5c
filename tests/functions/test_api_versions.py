"""API versions over HTTP and queues: the documents of each, and how its own members are stored."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httpx
import pytest

from local.stack import Stack
from tests.functions.queue_stack import Queues
from tests.functions.samples import Document, bulk_request, enrollment, request_for
from tests.local.dps.calls import ENROLLMENT, GROUP, Kind
from tests.secret_factory import certificate, endorsement_key, symmetric_key

NAMES = {
    "namespaceName": "factory-1",
    "certificateAuthorityName": "Root-1",
    "certificatePolicyName": "Policy-30-days",
}
MEMBERS: dict[str, dict[str, str]] = {
    "2021-10-01": {},
    "2026-04-01": {"credentialPolicyName": "policy 1"},
    "2026-11-01": NAMES,
}
NEWEST = {"api-version": "2026-11-01"}
TWIN_COLLECTION = {
    "version": 9,
    "count": 16,
    "metadata": {"lastUpdated": "2026-10-01T17:42:04.76Z", "lastUpdatedVersion": 19},
    "anything": {},
}
INFO = {
    "subjectName": "CN=dev-1",
    "sha1Thumbprint": "00" * 20,
    "sha256Thumbprint": "00" * 32,
    "issuerName": "CN=root",
    "notBeforeUtc": "2026-10-01T17:42:04.76Z",
    "notAfterUtc": "2027-10-01T17:42:04.76Z",
    "serialNumber": "0A",
    "version": 3,
}


def certificates() -> Document:
    """Returns two certificates, each with the information that DPS reads from it."""
    return {
        slot: {"certificate": certificate("rec-1"), "info": INFO}
        for slot in ("primary", "secondary")
    }


ATTESTATIONS: dict[str, Callable[[], Document]] = {
    "none": dict,
    "symmetricKey": lambda: {"primaryKey": symmetric_key(), "secondaryKey": symmetric_key()},
    "tpm": lambda: {"endorsementKey": endorsement_key(), "storageRootKey": endorsement_key()},
    "clientCertificates": lambda: {"clientCertificates": certificates()},
    "signingCertificates": lambda: {"signingCertificates": certificates()},
    "caReferences": lambda: {"caReferences": {"primary": "root-1", "secondary": "root-2"}},
}
SHAPES = [
    *((ENROLLMENT, form) for form in ("none", "symmetricKey", "tpm", "clientCertificates")),
    *((GROUP, form) for form in ("none", "symmetricKey", "signingCertificates", "caReferences")),
]


def attestation(form: str) -> Document:
    """Returns an attestation with every member of this form."""
    type_ = form if form in ("none", "symmetricKey", "tpm") else "x509"
    details = ATTESTATIONS[form]()
    return {"type": type_, **({type_: details} if details else {})}


def full_document(kind: Kind, version: str, form: str) -> Document:
    """Returns a document with every member that the specification's examples have."""
    own = {
        "deviceId": "device-1",
        "registrationState": {},
        "optionalDeviceInformation": TWIN_COLLECTION,
    }
    return {
        kind.id_member: "rec-1",
        **(own if kind is ENROLLMENT else {}),
        "attestation": attestation(form),
        "capabilities": {"iotEdge": True},
        "iotHubHostName": "hub-1.azure-devices.net",
        "initialTwin": {"tags": TWIN_COLLECTION, "properties": {"desired": TWIN_COLLECTION}},
        "etag": "AAAA",
        "provisioningStatus": "enabled",
        "reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": True},
        "allocationPolicy": "hashed",
        "iotHubs": ["hub-1.azure-devices.net"],
        "customAllocationDefinition": {"webhookUrl": "https://a.example/x", "apiVersion": version},
        **MEMBERS[version],
    }


@pytest.fixture(params=MEMBERS)
def version(request: pytest.FixtureRequest, app: httpx.Client) -> str:
    """Each version with examples in the specification, which the client then sends."""
    app.params = {"api-version": request.param}
    return str(request.param)


def common(document: Document) -> Document:
    """Returns the members that DPS shows as they were sent."""
    changed = {"attestation", "etag", "registrationState"}
    return {name: value for name, value in document.items() if name not in changed}


@pytest.mark.parametrize(("kind", "form"), SHAPES)
def test_full_document_is_taken(app: httpx.Client, version: str, kind: Kind, form: str) -> None:
    """By PUT with and without If-Match, and shown by GET and query, at its version."""
    document = full_document(kind, version, form)
    path = f"/{kind.path}/rec-1"

    created = app.put(path, json=document).raise_for_status().json()
    headers = {"If-Match": created["etag"]}
    updated = app.put(path, json=document, headers=headers).raise_for_status()
    read = app.get(path).raise_for_status().json()
    size = {"x-ms-max-item-count": "9"}
    (queried,) = app.post(f"/{kind.path}/query", json={"query": "*"}, headers=size).json()
    mechanism = app.post(f"{path}/attestationmechanism").raise_for_status().json()

    for shown in (created, updated.json(), read, queried):
        assert common(shown).items() >= common(document).items()
    assert "Warning" not in updated.headers
    assert mechanism["type"] == document["attestation"]["type"]
    deleted = app.delete(path, headers={"If-Match": read["etag"]})
    assert deleted.status_code == HTTPStatus.NO_CONTENT


@pytest.mark.parametrize(("kind", "form"), SHAPES)
@pytest.mark.parametrize("mode", ["create", "update", "updateIfMatchETag", "delete"])
def test_full_document_is_taken_in_bulk(
    app: httpx.Client, version: str, kind: Kind, form: str, mode: str
) -> None:
    """In every mode."""
    document = full_document(kind, version, form)
    path = f"/{kind.path}/rec-1"
    if mode != "create":
        document["etag"] = app.put(path, json=document).raise_for_status().json()["etag"]

    response = app.post(f"/{kind.path}", json={kind.path: [document], "mode": mode})

    assert response.json() == {"errors": [], "isSuccessful": True}
    if mode != "delete":
        assert common(app.get(path).json()).items() >= common(document).items()


@pytest.mark.parametrize("kind", [ENROLLMENT, GROUP], ids=lambda kind: kind.path)
def test_least_document_is_taken(app: httpx.Client, version: str, kind: Kind) -> None:
    """An id and a type of attestation; queries and registration states need even less."""
    document = {kind.id_member: "rec-1", "attestation": {"type": "none"}}

    assert app.put(f"/{kind.path}/rec-1", json=document).status_code == HTTPStatus.OK
    assert app.post(f"/{kind.path}", json={kind.path: [document], "mode": "update"}).is_success
    assert app.post(f"/{kind.path}/query", json={"query": "*"}).is_success, version


def test_registration_states_are_read_and_deleted(
    app: httpx.Client, stack: Stack, version: str
) -> None:
    """Alone, by group, and with If-Match."""
    state = {"registrationId": "dev-1", "enrollmentGroupId": "group-1"}
    httpx.post(f"{stack.dps.url}/_registrations", json=state).raise_for_status()

    read = app.get("/registrations/dev-1").raise_for_status().json()
    page = app.post("/registrations/group-1/query", headers={"x-ms-max-item-count": "22"})
    deleted = app.delete("/registrations/dev-1", headers={"If-Match": read["etag"]})

    assert page.json() == [read]
    assert deleted.status_code == HTTPStatus.NO_CONTENT, version


@pytest.mark.parametrize("kind", [ENROLLMENT, GROUP], ids=lambda kind: kind.path)
@pytest.mark.parametrize("version", ["2026-04-01", "2026-11-01"])
def test_names_are_taken_in_any_case(app: httpx.Client, kind: Kind, version: str) -> None:
    """They are written in DPS's spelling."""
    named = {name.upper(): value for name, value in MEMBERS[version].items()}

    stored = app.put(
        f"/{kind.path}/rec-1", json=kind.document(**named), params={"api-version": version}
    )

    assert stored.json().items() >= MEMBERS[version].items()


LOWER_CASE = "must be 3 to 64 lower-case letters, digits or dashes, no dash at either end"
LETTERS = "must be 3 to 63 letters, digits or dashes, no dash at the start"


@pytest.mark.usefixtures("no_dps_calls")
@pytest.mark.parametrize(
    ("member", "value", "fault"),
    [
        ("namespaceName", "ab", LOWER_CASE),
        ("namespaceName", "a" * 65, LOWER_CASE),
        ("namespaceName", "Factory", LOWER_CASE),
        ("namespaceName", "factory-", LOWER_CASE),
        ("namespaceName", "factory\n", LOWER_CASE),
        ("certificateAuthorityName", "-ca", LETTERS),
        ("certificateAuthorityName", "root_1", LETTERS),
        ("certificatePolicyName", "a" * 64, LETTERS),
        ("certificatePolicyName", 1, "must be a string"),
        ("credentialPolicyName", ["a"], "must be a string"),
    ],
)
def test_invalid_name_is_a_fault(app: httpx.Client, member: str, value: Any, fault: str) -> None:
    """Before DPS is asked, at any version."""
    response = app.put("/enrollments/dev-1", json=enrollment(**{member: value}))

    assert response.status_code == HTTPStatus.BAD_REQUEST
    assert response.json()["info"] == {f"/{member}": fault}


@pytest.mark.parametrize("value", ["abc", "a" * 63, "9-9", None])
def test_longest_and_shortest_names_are_valid(app: httpx.Client, value: str | None) -> None:
    """And null, as for every optional member."""
    document = enrollment(**dict.fromkeys(NAMES, value))

    assert app.put("/enrollments/dev-1", json=document, params=NEWEST).is_success


def written(app: httpx.Client, method: str, document: Document, version: str | None) -> Any:
    """Returns the `Warning` of a PUT of a record, or of a PATCH of a stored one."""
    params = {"api-version": version} if version else {}
    if method == "PATCH":
        app.put("/enrollments/dev-1", json=enrollment()).raise_for_status()
    response = app.request(method, "/enrollments/dev-1", json=enrollment(**document), params=params)
    return response.raise_for_status().headers.get("Warning")


@pytest.mark.parametrize(
    ("method", "version", "members", "warning"),
    [
        ("PUT", None, {"namespaceName": "ab1"}, ("2021-10-01", "namespaceName")),
        ("PUT", "2026-04-01", {"namespaceName": "ab1"}, ("2026-04-01", "namespaceName")),
        (
            "PUT",
            "2026-11-01",
            MEMBERS["2026-04-01"] | NAMES,
            ("2026-11-01", "credentialPolicyName"),
        ),
        ("PUT", "2026-11-01", NAMES, None),
        ("PUT", None, {"namespaceName": None}, None),
        ("PATCH", None, NAMES, None),
        ("PATCH", None, MEMBERS["2026-04-01"], ("2026-11-01", "credentialPolicyName")),
        ("PATCH", "2026-04-01", {}, ("2026-11-01", "credentialPolicyName")),
    ],
)
def test_members_that_the_version_does_not_store_are_a_warning(
    app: httpx.Client,
    method: str,
    version: str | None,
    members: Document,
    warning: tuple[str, str] | None,
) -> None:
    """A PUT has the version of the request, a PATCH the newest of DPS."""
    text = warning and "Written at API version {}, which does not store {}.".format(*warning)

    assert written(app, method, members, version) == (text and f'299 - "{text}"')


@pytest.mark.parametrize("version", [None, "2018-04-01", "2021-10-01", "2026-04-01"])
def test_patch_keeps_members_of_a_newer_version(app: httpx.Client, version: str | None) -> None:
    """Whatever version the request names; so does a bulk upsert."""
    params = {"api-version": version} if version else {}
    app.put("/enrollments/dev-1", json=enrollment(**NAMES), params=NEWEST).raise_for_status()
    patch = {"initialTwin": {"tags": {"plant": "graz"}}}

    app.patch("/enrollments/dev-1", json=patch, params=params).raise_for_status()
    upsert = {"enrollments": [enrollment(deviceId="d")], "mode": "upsert"}
    app.post("/enrollments", json=upsert, params=params).raise_for_status()

    stored = app.get("/enrollments/dev-1", params=NEWEST).json()
    assert stored.items() >= {**NAMES, "deviceId": "d"}.items()


def test_readiness_names_a_default_version_that_dps_does_not_know(
    app_with: Callable[..., httpx.Client], stack: Stack
) -> None:
    """And a request without a version gets the fault of the setting."""
    app = app_with(
        DPS_CONNECTION_STRING=stack.dps.connection_string,
        DPS_API_VERSIONS="2031-01-01",
        DPS_DEFAULT_API_VERSION="2031-01-01",
    )

    faults = app.get("/health/ready").json()["faults"]
    response = app.get("/enrollments/dev-1")

    expected = {"DPS_DEFAULT_API_VERSION": "names an API version that this DPS does not know"}
    assert {each["setting"]: each["fault"] for each in faults} == expected
    assert (response.status_code, response.json()["info"]) == (503, expected)


def stored_names(queues: Queues) -> Document:
    """Returns the names that DPS stores for `dev-1`."""
    url = f"{queues.stack.host.url}/enrollments/dev-1"
    stored = httpx.get(url, params=NEWEST).raise_for_status().json()
    return {name: stored[name] for name in NAMES if name in stored}


@pytest.mark.parametrize("operation", ["update", "upsert"])
@pytest.mark.parametrize("is_bulk", [False, True], ids=["single", "bulk"])
def test_message_keeps_members_of_a_newer_version(
    queues: Queues, operation: str, is_bulk: bool
) -> None:
    """A message replaces a record; what its version does not have it cannot omit."""
    url = f"{queues.stack.host.url}/enrollments/dev-1"
    httpx.put(url, json=enrollment(**NAMES), params=NEWEST).raise_for_status()
    changed = enrollment(deviceId="new")

    if is_bulk:
        queues.bulk(bulk_request(operation, changed))
    else:
        queues.request({"operation": operation, "enrollment": changed})

    assert [outcome["status"] for outcome in queues.outcomes()] == ["succeeded"]
    assert stored_names(queues) == NAMES


@pytest.mark.parametrize(
    ("default", "expected"), [("2021-10-01", {}), ("2026-11-01", NAMES)], ids=["old", "new"]
)
def test_messages_use_the_default_version(
    queues: Queues, monkeypatch: pytest.MonkeyPatch, default: str, expected: Document
) -> None:
    """Members of a newer version need the setting."""
    monkeypatch.setenv("DPS_DEFAULT_API_VERSION", default)
    queues.stack.restart_app()

    queues.request(request_for("create", **NAMES))

    assert [outcome["status"] for outcome in queues.outcomes()] == ["succeeded"]
    assert stored_names(queues) == expected
