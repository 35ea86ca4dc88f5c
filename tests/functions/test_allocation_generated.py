"""Questions nobody thought of: an answer, a refusal or 400, never 500 and never a foreign hub."""

import copy
import json
from collections.abc import Callable
from typing import Any

import azure.functions as func
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.host.loading import load_functions
from local.stack import ROOT
from tests.functions.allocation_cases import API_2019, INITIAL, POLICIES, REPROVISION
from tests.functions.test_generated_documents import JSON
from tests.shared.allocation.asking import GROUP, HUB_1, body

INFO = {"subjectName": "CN=a", "notAfterUtc": "2030-01-01T00:00:00Z"}
X509 = {"signingCertificates": {"primary": {"info": INFO}}}
CERTIFIED = body(group=GROUP | {"attestation": {"type": "x509", "x509": X509}})
EVERY_KIND_OF_CONDITION = {
    "rules": [
        {
            "name": f"{fact} {operator}",
            "when": {fact: {operator: operand}},
            "hub": HUB_1,
            "payload": {"told": f"about ${{{fact}}}", "all": f"${{{fact}}}"},
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
def post(monkeypatch, tmp_path) -> Callable[..., Any]:
    """Calls a trigger as the host does; gives status and answer."""
    path = tmp_path / "policies.json"
    path.write_text(json.dumps({"policies": POLICIES | {"every": EVERY_KIND_OF_CONDITION}}))
    monkeypatch.setenv("ALLOCATION_POLICIES_FILE", str(path))
    triggers = {function.name: function.call for function in load_functions(ROOT)}

    async def call(name: str, question: bytes, policy: str) -> tuple[int, dict[str, Any]]:
        request = func.HttpRequest(
            method="POST", url="/", body=question, route_params={"policy": policy}
        )
        reply = await triggers[name](request)
        return reply.status_code, json.loads(reply.get_body())

    return call


@st.composite
def mutated(draw) -> Any:
    """A question of DPS's with a few of its values replaced, removed or renamed."""
    question = copy.deepcopy(draw(st.sampled_from([INITIAL, REPROVISION, API_2019, CERTIFIED])))
    for _ in range(draw(st.integers(1, 3))):
        node: Any = question
        while isinstance(node, dict | list) and node:
            places = list(node) if isinstance(node, dict) else range(len(node))
            place = draw(st.sampled_from(places))
            if not isinstance(node[place], dict | list) or draw(st.booleans()):
                break
            node = node[place]
        if isinstance(node, dict | list) and node:
            match draw(st.sampled_from(["replace", "remove", "add"])):
                case "replace":
                    node[place] = draw(JSON)
                case "remove":
                    del node[place]
                case "add" if isinstance(node, dict):
                    node[draw(st.text(max_size=5))] = draw(JSON)
    return question


QUICK = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(question=mutated(), policy=st.sampled_from([*POLICIES, "every"]))
@QUICK
async def test_mutated_question(post, question, policy):
    """400 with its reason, or a decision within what DPS offers, and explain foretells it."""
    sent = json.dumps(question).encode()

    status, answer = await post("allocation_decide_by_policy", sent, policy)
    told, foretold = await post("allocation_explain", sent, policy)

    assert status in {200, 400, 403, 503}
    if status == 200:
        assert answer["iotHubHostName"] in question["linkedHubs"]
    if status == 400:
        assert answer["info"]
    assert status == (foretold["answer"]["status"] if told == 200 else told)


@given(question=JSON, policy=st.sampled_from([*POLICIES, "every"]))
@QUICK
async def test_any_json(post, question, policy):
    """JSON that is no question is 400."""
    sent = json.dumps(question).encode()

    status, answer = await post("allocation_decide_by_policy", sent, policy)

    assert (status, bool(answer["info"])) == (400, True)


@given(data=st.data())
@QUICK
async def test_damaged_bytes(post, data):
    """Bytes that were cut, changed or are none of JSON: 400, or what they still say."""
    sent = bytearray(json.dumps(INITIAL).encode())
    position = data.draw(st.integers(0, len(sent) - 1))
    damage = data.draw(st.binary(max_size=3))
    sent[position : position + data.draw(st.integers(0, len(sent)))] = damage

    status, _ = await post("allocation_decide_by_policy", bytes(sent), "every")

    assert status in {200, 400, 503}


@given(payload=st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False), st.lists))
@QUICK
async def test_any_payload_of_a_device(post, payload):
    """A device may send what it likes: it is data, and breaks nothing."""
    sent = json.dumps(body(payload={"region": payload})).encode("utf-8", "surrogatepass")

    status, _ = await post("allocation_decide_by_policy", sent, "every")

    assert status in {200, 400}
