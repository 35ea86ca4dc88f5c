"""Property tests: random input never causes an internal error."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import azure.functions as func
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.host.app import load_functions
from local.stack import ROOT, Stack
from tests.functions.samples import API_2019, INITIAL, POLICIES, REPROVISION
from tests.shared.allocation.samples import GROUP, HUB_1, body

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=20)
)

JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)

KEYS = st.sampled_from(["", None, "MDEyMzQ1Njc4OTAxMjM0NTY3ODk=", "short", "MDEy"])


def either(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Returns mostly valid values, sometimes any JSON."""
    return st.one_of(good, good, good, JSON)


ATTESTATION = st.fixed_dictionaries(
    {"type": either(st.sampled_from(["none", "tpm", "x509", "symmetricKey"]))},
    optional={
        "tpm": either(
            st.fixed_dictionaries({}, optional={"endorsementKey": either(st.just("AA"))})
        ),
        "symmetricKey": either(
            st.fixed_dictionaries({}, optional={"primaryKey": KEYS, "secondaryKey": KEYS})
        ),
        "x509": either(
            st.dictionaries(
                st.sampled_from(["clientCertificates", "signingCertificates", "caReferences"]),
                either(st.fixed_dictionaries({}, optional={"primary": JSON, "secondary": JSON})),
            )
        ),
    },
)

TWIN = st.fixed_dictionaries(
    {},
    optional={
        "tags": either(st.dictionaries(st.text(max_size=8), JSON, max_size=4)),
        "properties": either(st.fixed_dictionaries({}, optional={"desired": JSON})),
    },
)

IDS = st.sampled_from(["dev-1", "DEV-1", "a:b", "", "bad id", "x" * 129]) | st.text(max_size=10)

ENROLLMENT = st.fixed_dictionaries(
    {},
    optional={
        "registrationId": either(IDS),
        "attestation": either(ATTESTATION),
        "deviceId": JSON,
        "allocationPolicy": either(st.sampled_from(["hashed", "static", "custom", "other"])),
        "customAllocationDefinition": either(
            st.fixed_dictionaries({}, optional={"webhookUrl": JSON, "apiVersion": JSON})
        ),
        "iotHubs": either(st.lists(st.sampled_from(["hub-1.azure-devices.net", "x"]), max_size=3)),
        "initialTwin": either(TWIN),
        "provisioningStatus": either(st.sampled_from(["enabled", "disabled", None])),
        "reprovisionPolicy": JSON,
        "capabilities": JSON,
        "etag": JSON,
        "unknown": JSON,
    },
)

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")

WITH_APP = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def send(method: Any, path: str, document: Any, **headers: str) -> httpx.Response:
    """Sends JSON in ASCII, the only way to send unpaired surrogates."""
    headers = {"Content-Type": "application/json", **headers}
    response: httpx.Response = method(path, content=json.dumps(document).encode(), headers=headers)
    return response


@WITH_APP
@given(document=either(ENROLLMENT))
def test_any_document_is_written_or_refused(app: httpx.Client, document: Any) -> None:
    """With a reason, never with a 5xx status."""
    response = send(app.put, "/enrollments/dev-1", document, **{"If-Match": "*"})

    assert response.status_code in {200, 400, 404}, response.text
    assert (
        response.status_code == 200 or response.json()["errorCode"] // 1000 == response.status_code
    )


@WITH_APP
@given(
    operation=either(
        st.fixed_dictionaries(
            {},
            optional={
                "mode": either(st.sampled_from(["create", "update", "delete", "upsert"])),
                "enrollments": either(st.lists(either(ENROLLMENT), max_size=12)),
            },
        )
    )
)
def test_any_bulk_operation_has_a_result_or_is_refused(app: httpx.Client, operation: Any) -> None:
    """With a reason, never with a 5xx status."""
    response = send(app.post, "/enrollments", operation)

    assert response.status_code in {200, 400}, response.text


@WITH_APP
@given(twin=TWIN.filter(lambda twin: all(isinstance(v, dict) for v in twin.values())), extra=JSON)
def test_any_twin_is_stored_unchanged(
    app: httpx.Client, stack: Stack, twin: Any, extra: Any
) -> None:
    """Unknown members too, except for nulls."""
    httpx.post(f"{stack.dps.url}/_reset").raise_for_status()
    document = {"registrationId": "dev-1", "attestation": {"type": "none"}}

    written = send(app.put, "/enrollments/dev-1", document | {"initialTwin": twin, "x": extra})

    read = app.get("/enrollments/dev-1")
    if written.status_code == 200:
        assert read.json().get("initialTwin", twin) == twin
        assert read.json().get("x") == extra
    else:
        assert written.status_code == 400


CERTIFICATE_INFO = {"subjectName": "CN=a", "notAfterUtc": "2030-01-01T00:00:00Z"}
X509 = {"signingCertificates": {"primary": {"info": CERTIFICATE_INFO}}}
CERTIFIED = body(group=GROUP | {"attestation": {"type": "x509", "x509": X509}})

EVERY_KIND_OF_CONDITION = {
    "rules": [
        {
            "name": f"{fact} {operator}",
            "when": {fact: {operator: operand}},
            "hub": HUB_1,
            "payload": {"text": f"about ${{{fact}}}", "all": f"${{{fact}}}"},
        }
        for fact in (
            "registrationId",
            "attestation",
            "iotEdge",
            "currentHub",
            "payload",
            "payload.region",
            "tags.a",
            "signingCertificates.primary.commonName",
            "signingCertificates.primary.notAfter",
            "deviceCertificate.subject",
        )
        for operator, operand in {
            "in": ["a", 1, True],
            "matches": "x(a|b)*",
            "endsWith": "zz",
            "contains": 77,
            "gt": "2031-01-01",
            "lt": -5,
            "linked": False,
        }.items()
    ],
    "otherwise": {"hub": {"hash": {}}},
}


@pytest.fixture
def call_trigger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Calls a trigger as the host does; returns status and JSON."""
    path = tmp_path / "policies.json"
    path.write_text(json.dumps({"policies": POLICIES | {"every": EVERY_KIND_OF_CONDITION}}))
    monkeypatch.setenv("ALLOCATION_POLICIES_FILE", str(path))
    triggers = {function.name: function.call for function in load_functions(ROOT)}

    async def call(name: str, raw: bytes, policy: str) -> tuple[int, dict[str, Any]]:
        request = func.HttpRequest(
            method="POST", url="/", body=raw, route_params={"policy": policy}
        )
        response = await triggers[name](request)
        return response.status_code, json.loads(response.get_body())

    return call


@st.composite
def mutated_request(draw: Any) -> Any:
    """Returns a request of DPS with a few values replaced, removed or added."""
    request = copy.deepcopy(draw(st.sampled_from([INITIAL, REPROVISION, API_2019, CERTIFIED])))
    for _ in range(draw(st.integers(1, 3))):
        node: Any = request
        while isinstance(node, dict | list) and node:
            keys = list(node) if isinstance(node, dict) else range(len(node))
            key = draw(st.sampled_from(keys))
            if not isinstance(node[key], dict | list) or draw(st.booleans()):
                break
            node = node[key]
        if isinstance(node, dict | list) and node:
            match draw(st.sampled_from(["replace", "remove", "add"])):
                case "replace":
                    node[key] = draw(JSON)
                case "remove":
                    del node[key]
                case "add" if isinstance(node, dict):
                    node[draw(st.text(max_size=5))] = draw(JSON)
    return request


IN_PROCESS = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(request=mutated_request(), policy=st.sampled_from([*POLICIES, "every"]))
@IN_PROCESS
async def test_mutated_request(call_trigger: Callable[..., Any], request: Any, policy: Any) -> None:
    """Is 400 with faults or a decision with a linked hub, as explain predicts."""
    raw = json.dumps(request).encode()

    status, answer = await call_trigger("allocation_decide_by_policy", raw, policy)
    explain_status, explanation = await call_trigger("allocation_explain", raw, policy)

    assert status in {200, 400, 403, 503}
    if status == 200:
        assert answer["iotHubHostName"] in request["linkedHubs"]
    if status == 400:
        assert answer["info"]
    assert status == (explanation["answer"]["status"] if explain_status == 200 else explain_status)


@given(request=JSON, policy=st.sampled_from([*POLICIES, "every"]))
@IN_PROCESS
async def test_any_json_is_no_allocation_request(
    call_trigger: Callable[..., Any], request: Any, policy: Any
) -> None:
    """It is 400 with faults."""
    raw = json.dumps(request).encode()

    status, answer = await call_trigger("allocation_decide_by_policy", raw, policy)

    assert (status, bool(answer["info"])) == (400, True)


@given(data=st.data())
@IN_PROCESS
async def test_damaged_request(call_trigger: Callable[..., Any], data: Any) -> None:
    """Is 400, or decided by what is left of it."""
    raw = bytearray(json.dumps(INITIAL).encode())
    position = data.draw(st.integers(0, len(raw) - 1))
    damage = data.draw(st.binary(max_size=3))
    raw[position : position + data.draw(st.integers(0, len(raw)))] = damage

    status, _ = await call_trigger("allocation_decide_by_policy", bytes(raw), "every")

    assert status in {200, 400, 503}


@given(payload=st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False), st.lists))
@IN_PROCESS
async def test_any_payload_of_a_device(call_trigger: Callable[..., Any], payload: Any) -> None:
    """It is data, and causes no error."""
    raw = json.dumps(body(payload={"region": payload})).encode("utf-8", "surrogatepass")

    status, _ = await call_trigger("allocation_decide_by_policy", raw, "every")

    assert status in {200, 400}
