"""What the app adds to DPS's API."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from local.stack import Stack
from tests.contract.targets import TLS
from tests.local.dps.calls import Kind

PROBLEM = "application/problem+json"


@pytest.fixture
async def record_path(app_client: httpx.AsyncClient, kind: Kind, new_id: Callable[..., str]) -> str:
    """The path of an existing record."""
    document = kind.document(new_id())
    reply = await app_client.put(f"/{kind.path}/{document[kind.id_member]}", json=document)
    assert reply.status_code == 200, reply.text
    return f"/{kind.path}/{document[kind.id_member]}"


@pytest.fixture
async def client_without_key(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client without a function key."""
    async with httpx.AsyncClient(base_url=stack.host.url, verify=TLS) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/enrollments/x"),
        ("POST", "/enrollments/x/attestationmechanism"),
        ("POST", "/enrollmentGroups/query"),
        ("DELETE", "/registrations/x"),
        ("GET", "/health/ready"),
    ],
)
async def test_function_key_is_required(
    client_without_key: httpx.AsyncClient, stack: Stack, method: str, path: str
) -> None:
    """Without a function key the response is an empty 401, and DPS is not called."""
    reply = await client_without_key.request(method, path)

    assert (reply.status_code, reply.content) == (401, b"")
    assert stack.dps.requests == []


async def test_liveness_needs_no_key(client_without_key: httpx.AsyncClient) -> None:
    """`GET /health/live` needs no function key."""
    reply = await client_without_key.get("/health/live")

    assert reply.status_code == 200


async def test_signature_of_the_caller_is_ignored(
    app_client: httpx.AsyncClient, record_path: str
) -> None:
    """The app signs its DPS calls itself: an invalid signature of the caller has no effect."""
    reply = await app_client.get(
        record_path, headers={"Authorization": "SharedAccessSignature sr=x&sig=y"}
    )

    assert reply.status_code == 200


@pytest.mark.parametrize("rest", ["", "-that-is-not-there", "/attestationmechanism"])
async def test_every_response_has_a_request_id(
    app_client: httpx.AsyncClient, record_path: str, rest: str
) -> None:
    """Successes and errors have x-ms-request-id."""
    method = "POST" if rest.startswith("/") else "GET"

    reply = await app_client.request(method, record_path + rest)

    assert reply.headers["x-ms-request-id"]


async def test_client_request_id_is_returned(
    app_client: httpx.AsyncClient, record_path: str
) -> None:
    """The response has the x-ms-client-request-id of the request."""
    reply = await app_client.get(
        record_path, headers={"x-ms-client-request-id": "order 66, line 2"}
    )

    assert reply.headers["x-ms-client-request-id"] == "order 66, line 2"


async def test_attestation_mechanism_is_not_cacheable(
    app_client: httpx.AsyncClient, record_path: str
) -> None:
    """The attestation mechanism has `Cache-Control: no-store`."""
    reply = await app_client.post(f"{record_path}/attestationmechanism")

    assert reply.headers["cache-control"] == "no-store"


async def test_dps_error_is_passed_on(
    app_client: httpx.AsyncClient, kind: Kind, new_id: Callable[..., str]
) -> None:
    """An error has the code, message and tracking id of DPS, and the code also as a header."""
    reply = await app_client.get(f"/{kind.path}/{new_id()}")

    body = reply.json()
    assert (body["errorCode"], reply.headers["x-ms-error-code"]) == (
        kind.missing,
        str(kind.missing),
    )
    assert body["trackingId"] != reply.headers["x-ms-request-id"]
    assert body["message"].endswith("not found.")


async def test_problem_details_on_request(
    app_client: httpx.AsyncClient, kind: Kind, new_id: Callable[..., str]
) -> None:
    """With `Accept: application/problem+json` an error has the format of RFC 9457."""
    reply = await app_client.get(f"/{kind.path}/{new_id()}", headers={"Accept": PROBLEM})

    problem = reply.json()
    assert reply.headers["content-type"] == PROBLEM
    assert (problem["status"], problem["title"]) == (404, "Not Found")
    assert problem["errorCode"] == kind.missing
    assert problem["detail"].endswith("not found.")


async def test_all_faults_are_reported_together(
    app_client: httpx.AsyncClient, stack: Stack, kind: Kind, new_id: Callable[..., str]
) -> None:
    """One response reports the faults of headers and document, by pointer; DPS is not called."""
    id_ = new_id()
    document = kind.document(
        id_,
        allocationPolicy="custom",
        provisioningStatus="perhaps",
        attestation={"type": "symmetricKey", "symmetricKey": {"primaryKey": "short"}},
    )

    reply = await app_client.put(
        f"/{kind.path}/{id_}", json=document, headers={"If-Match": "no etag at all"}
    )

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
    assert reply.json()["info"].keys() == {
        "If-Match",
        "/attestation/symmetricKey/primaryKey",
        "/customAllocationDefinition",
        "/provisioningStatus",
    }
    assert stack.dps.requests == []


async def test_faults_do_not_contain_values(
    app_client: httpx.AsyncClient, kind: Kind, new_id: Callable[..., str]
) -> None:
    """A refused value, which may be a key, is not in the response."""
    id_ = new_id()
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": "nearly-a-secret"}}

    reply = await app_client.put(
        f"/{kind.path}/{id_}", json=kind.document(id_, attestation=attestation)
    )

    assert reply.status_code == 400
    assert "nearly-a-secret" not in reply.text + str(reply.headers)
