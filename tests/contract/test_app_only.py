"""What the app adds to DPS's own API, beside it."""

import httpx
import pytest

from tests.contract.targets import TLS

PROBLEM = "application/problem+json"


@pytest.fixture
async def path(app_client, kind, new_id):
    """The path of a record that is there."""
    document = kind.document(new_id())
    reply = await app_client.put(f"/{kind.path}/{document[kind.id_member]}", json=document)
    assert reply.status_code == 200, reply.text
    return f"/{kind.path}/{document[kind.id_member]}"


@pytest.fixture
async def stranger(stack):
    """A client that has no key."""
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
async def test_callers_need_a_key(stranger, stack, method, path):
    """Without a function key the answer is an empty 401, and DPS is not asked."""
    reply = await stranger.request(method, path)

    assert (reply.status_code, reply.content) == (401, b"")
    assert stack.dps.requests == []


async def test_liveness_needs_no_key(stranger):
    """Whether the worker lives may be asked by anybody."""
    reply = await stranger.get("/health/live")

    assert reply.status_code == 200


async def test_signature_of_the_caller_is_not_passed_on(app_client, path):
    """The app signs for itself: a caller with a key and a wrong signature is served."""
    reply = await app_client.get(
        path, headers={"Authorization": "SharedAccessSignature sr=x&sig=y"}
    )

    assert reply.status_code == 200


@pytest.mark.parametrize("rest", ["", "-that-is-not-there", "/attestationmechanism"])
async def test_every_answer_has_a_request_id(app_client, path, rest):
    """Successes and errors alike carry x-ms-request-id."""
    method = "POST" if rest.startswith("/") else "GET"

    reply = await app_client.request(method, path + rest)

    assert reply.headers["x-ms-request-id"]


async def test_client_request_id_is_echoed(app_client, path):
    """The caller's own name for a request comes back with the answer."""
    reply = await app_client.get(path, headers={"x-ms-client-request-id": "order 66, line 2"})

    assert reply.headers["x-ms-client-request-id"] == "order 66, line 2"


async def test_keys_are_not_to_be_stored(app_client, path):
    """The attestation mechanism says that no cache may keep it."""
    reply = await app_client.post(f"{path}/attestationmechanism")

    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("change", [str.upper, str.lower, "{}/".format], ids=["A", "a", "slash"])
async def test_spelling_of_the_path_is_tolerated(app_client, path, change):
    """The case of a path, and a slash at its end, do not matter."""
    reply = await app_client.get(change(path))

    assert reply.status_code == 200


async def test_error_of_dps_passes_through(app_client, kind, new_id):
    """The code, the words and the tracking id of DPS reach the caller, the code as a header too."""
    reply = await app_client.get(f"/{kind.path}/{new_id()}")

    body = reply.json()
    assert (body["errorCode"], reply.headers["x-ms-error-code"]) == (
        kind.missing,
        str(kind.missing),
    )
    assert body["trackingId"] != reply.headers["x-ms-request-id"]
    assert body["message"].endswith("not found.")


async def test_problem_details_on_request(app_client, kind, new_id):
    """Who accepts problem+json gets the same error as RFC 9457 has it."""
    reply = await app_client.get(f"/{kind.path}/{new_id()}", headers={"Accept": PROBLEM})

    problem = reply.json()
    assert reply.headers["content-type"] == PROBLEM
    assert (problem["status"], problem["title"]) == (404, "Not Found")
    assert problem["errorCode"] == kind.missing
    assert problem["detail"].endswith("not found.")


async def test_all_faults_come_at_once(app_client, stack, kind, new_id):
    """Faults of header and document are named together, each by its place; DPS is not asked."""
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


async def test_faults_do_not_repeat_what_was_sent(app_client, kind, new_id):
    """A value that was refused, which may be a key, stands nowhere in the answer."""
    id_ = new_id()
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": "nearly-a-secret"}}

    reply = await app_client.put(
        f"/{kind.path}/{id_}", json=kind.document(id_, attestation=attestation)
    )

    assert reply.status_code == 400
    assert "nearly-a-secret" not in reply.text + str(reply.headers)
