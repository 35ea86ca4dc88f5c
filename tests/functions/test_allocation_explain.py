"""Explain over HTTP: what the webhook would do, and why; true in every case of the suite."""

from typing import Any

import httpx
import pytest

from tests import secret_factory
from tests.functions.allocation_cases import API_2019, INITIAL, POLICIES, REPROVISION, Start
from tests.shared.allocation.asking import GROUP, HUB_1, HUB_2, HUB_3, body

QUESTIONS = {
    "first registration": INITIAL,
    "reprovisioning": REPROVISION,
    "2019-03-31": API_2019,
    "hash": body(registrationId="DEV-9"),
    "refused": body(registrationId="stolen-1"),
    "refused though assigned": body(registrationId="stolen-1", currentIotHubHostName="gone"),
    "never": body(hubs=(HUB_2,), currentIotHubHostName=HUB_2),
    "no hub": body(hubs=()),
    "one hub": body(hubs=(HUB_2,)),
    "individual": body(individual={"registrationId": "dev-1"}, payload=[1, 2]),
    "no object": [],
    "no hubs": {"linkedHubs": 5},
}


@pytest.mark.parametrize("policy", [*POLICIES, "nobody"])
def test_explanation_is_what_the_webhook_does(with_policies: Start, policy: str):
    """For each question, what explain foretells is what is then answered, or the same error."""
    app = with_policies()

    for name, question in QUESTIONS.items():
        foretold = app.post(f"/allocation/{policy}/explain", json=question)
        answered = app.post(f"/allocation/{policy}", json=question)
        assert foretold_answer(foretold) == answer(answered), name


def foretold_answer(reply: httpx.Response) -> Any:
    """What the explanation says the webhook answers; an error of its own is the webhook's too."""
    if reply.status_code != 200:
        return answer(reply)
    foretold = reply.json()["answer"]
    named = {name: value for name, value in foretold.items() if name != "status"}
    return foretold["status"], named.get("body", named)


def answer(reply: httpx.Response) -> Any:
    """An answer, without what is different each time."""
    errors = {"errorCode", "message"}
    found = reply.json()
    if reply.status_code != 200:
        found = {name: value for name, value in found.items() if name in errors}
    return reply.status_code, found


def test_explanation_has_all_an_operator_asks(with_policies: Start):
    """Policy, version, rule, answer, DPS's part, each rule with its reason, the linter's words."""
    found = with_policies().post("/allocation/default/explain", json=INITIAL).json()

    assert len(found.pop("version")) == 12
    assert found == {
        "policy": "default",
        "rule": "north",
        "answer": {
            "status": 200,
            "body": {
                "iotHubHostName": HUB_3,
                "initialTwin": {"tags": {"region": "se"}},
                "payload": {"tier": "north"},
            },
        },
        "dps": f"The device is assigned to {HUB_3}; its twin there begins as the rule's "
        "initialTwin. It is told the payload.",
        "rules": [
            {
                "name": "stay",
                "result": "does not match",
                "failed": {
                    "fact": "currentHub",
                    "operator": "linked",
                    "operand": True,
                    "value": None,
                },
            },
            {"name": "north", "result": "decides"},
            {"name": "stolen", "result": "not reached"},
            {"name": "otherwise", "result": "not reached"},
        ],
        "warnings": [],
    }


def test_explanation_of_a_refusal_says_what_dps_does(with_policies: Start):
    """The status and the words that a device's registration then shows."""
    found = (
        with_policies()
        .post("/allocation/default/explain", json=body(registrationId="stolen-1"))
        .json()
    )

    assert found["answer"] == {"status": 403, "errorCode": 403001, "message": "reported stolen"}
    assert "400207: Custom allocation failed with status code: 403" in found["dps"]


def test_explanation_holds_the_warnings_of_its_policy(with_policies: Start):
    """What the linter says of another policy is not repeated."""
    app = with_policies()

    warned = app.post("/allocation/only-hub-1/explain", json=INITIAL).json()["warnings"]

    assert [warning["place"] for warning in warned] == ["/policies/only-hub-1"]


@pytest.mark.parametrize("path", ["/allocation", "/allocation/default/explain"])
def test_keys_in_a_question_go_nowhere(with_policies: Start, caplog, path):
    """DPS sends no symmetric keys; if it did, they would be in no answer and in no log."""
    keys = {
        "primaryKey": secret_factory.symmetric_key(),
        "secondaryKey": secret_factory.symmetric_key(),
    }
    tpm = {"endorsementKey": secret_factory.endorsement_key()}
    attestation = {"type": "symmetricKey", "symmetricKey": keys}
    question = body(group=GROUP | {"attestation": attestation}, symmetricKey=keys, tpm=tpm)

    reply = with_policies().post(path, json=question)

    assert reply.status_code == 200
    for secret in (*keys.values(), *tpm.values()):
        assert secret not in reply.text
        assert secret not in caplog.text


@pytest.mark.parametrize(
    "name",
    [
        "symmetricKey",
        "deviceRuntimeContext.symmetricKey.primaryKey",
        "attestation.symmetricKey.primaryKey",
        "enrollment.attestation",
        "tpm.endorsementKey",
    ],
)
def test_no_rule_can_ask_for_a_key(with_policies: Start, name: str):
    """Key material is no fact: neither a condition nor a template can name it."""
    rules = [
        {"name": "a", "when": {name: {"exists": True}}, "hub": HUB_1, "payload": f"${{{name}}}"}
    ]

    reply = with_policies({"default": {"rules": rules}}).post("/allocation", json=INITIAL)

    assert reply.status_code == 503
    assert len(reply.json()["info"]) == 2
