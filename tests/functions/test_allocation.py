"""The allocation webhook over HTTP: its answers, explanations, log, and imports."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.dps import DpsStandIn
from tests import secret_factory
from tests.functions.samples import (
    API_2019,
    INITIAL,
    POLICIES,
    REPROVISION,
    Document,
    StartApp,
)
from tests.shared.allocation.samples import GROUP, HUB_1, HUB_2, HUB_3, HUBS, body

ALLOCATION_LOG = "functions.allocation"


@pytest.fixture
def log_entries(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """Returns the entries of the decision log."""
    caplog.set_level(logging.INFO, logger=ALLOCATION_LOG)
    return lambda: [
        json.loads(record.getMessage()) | {"level": record.levelname}
        for record in caplog.records
        if record.name == ALLOCATION_LOG
    ]


@pytest.mark.parametrize(
    ("request_body", "answer"),
    [
        (
            INITIAL,
            {
                "iotHubHostName": HUB_3,
                "initialTwin": {"tags": {"region": "se"}},
                "payload": {"tier": "north"},
            },
        ),
        (REPROVISION, {"iotHubHostName": HUB_2}),
        (API_2019, {"iotHubHostName": HUB_2}),
    ],
    ids=["first registration", "reprovisioning with payload", "api version 2019-03-31"],
)
def test_device_gets_the_answer_of_its_rule(
    app_with_policies: StartApp, request_body: Any, answer: dict[str, Any]
) -> None:
    """Hub, twin and payload; the app has no settings but the policies."""
    response = app_with_policies().post("/allocation", json=request_body)

    assert (response.status_code, response.json()) == (200, answer)


def test_unknown_members_are_ignored(app_with_policies: StartApp) -> None:
    """Another API version, content type and policy name in another case are accepted too."""
    request = body(newer={"a": 1}, group=GROUP | {"newest": [1]}) | {"more": None}

    response = app_with_policies().post(
        "/allocation/STICKY?api-version=2030-01-01",
        content=json.dumps(request),
        headers={"content-type": "text/plain"},
    )

    assert response.status_code == 200
    assert response.json()["iotHubHostName"] in HUBS


def test_refusal_is_403_and_logged(
    app_with_policies: StartApp, log_entries: Callable[[], list[dict[str, Any]]]
) -> None:
    """DPS does not pass the reason on: only the log has it."""
    response = app_with_policies().post("/allocation", json=body(registrationId="stolen-7"))

    assert (response.status_code, response.json()["errorCode"]) == (403, 403001)
    (entry,) = log_entries()
    assert (entry["rule"], entry["reason"], entry["level"]) == (
        "stolen",
        "reported stolen",
        "WARNING",
    )


def test_no_hub_is_503_and_logged_as_error(
    app_with_policies: StartApp, log_entries: Callable[[], list[dict[str, Any]]]
) -> None:
    """After 503 DPS retries; an empty 200 would fail the registration."""
    response = app_with_policies().post("/allocation/only-hub-1", json=body(hubs=(HUB_2,)))

    assert (response.status_code, response.json()["errorCode"]) == (503, 503005)
    (entry,) = log_entries()
    assert (entry["status"], entry["level"], entry["registrationId"]) == (503, "ERROR", "dev-1")


def test_invalid_request_is_400_with_all_faults(
    app_with_policies: StartApp, log_entries: Callable[[], list[dict[str, Any]]]
) -> None:
    """In the response and in the log, without the values sent."""
    request = {
        "deviceRuntimeContext": {"registrationId": 7, "payload": "private"},
        "linkedHubs": "",
    }

    response = app_with_policies().post("/allocation", json=request)

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
    faults = {"", "/deviceRuntimeContext/registrationId", "/linkedHubs"}
    assert set(response.json()["info"]) == faults
    (entry,) = log_entries()
    assert set(entry["faults"]) == faults
    assert "private" not in json.dumps(entry)


def test_unknown_policy_is_404(
    app_with_policies: StartApp, log_entries: Callable[[], list[dict[str, Any]]]
) -> None:
    """No other policy decides instead."""
    response = app_with_policies().post("/allocation/nobody", json=INITIAL)

    assert (response.status_code, response.json()["errorCode"]) == (404, 404001)
    assert (log_entries()[0]["policy"], log_entries()[0]["status"]) == ("nobody", 404)


def test_decision_is_one_log_entry(
    app_with_policies: StartApp, log_entries: Callable[[], list[dict[str, Any]]]
) -> None:
    """Policy, version, rule, hub, duration and device; no payload, twin or enrollment."""
    app_with_policies().post("/allocation", json=INITIAL)

    (entry,) = log_entries()
    assert entry.pop("milliseconds") >= 0
    assert len(entry.pop("version")) == 12
    assert entry == {
        "event": "allocation",
        "policy": "default",
        "registrationId": "dev-1",
        "rule": "north",
        "hub": HUB_3,
        "status": 200,
        "level": "INFO",
    }


def test_registration_id_cannot_forge_a_log_entry(
    app_with_policies: StartApp, caplog: pytest.LogCaptureFixture
) -> None:
    """A line break is escaped, and a long id is cut."""
    caplog.set_level(logging.INFO, logger=ALLOCATION_LOG)

    app_with_policies().post("/allocation", json=body(registrationId="dev\n" + "x" * 500))

    (record,) = (record for record in caplog.records if record.name == ALLOCATION_LOG)
    assert "\n" not in record.getMessage()
    assert len(json.loads(record.getMessage())["registrationId"]) == 128


def test_default_policy_distributes_devices_over_linked_hubs(app_with: StartApp) -> None:
    """Without settings and without a policy file."""
    app = app_with()

    hubs = {
        app.post("/allocation", json=body(registrationId=f"dev-{number}")).json()["iotHubHostName"]
        for number in range(40)
    }

    assert hubs == set(HUBS)


INVALID_FILE = """{
"policies": {"default": {"rules": [
{"name": "a", "hub": "hub-1"},
{"name": "b", "when": {"payload.x": {"matches": "(a"}}, "hub": {"hash": {}}}],
"otherwise": {"hub": {"hash": {}}}}}}"""


@pytest.mark.parametrize(
    "path", ["/allocation", "/allocation/nobody", "/allocation/default/explain"]
)
def test_invalid_policy_file_is_503(app_with_policies: StartApp, path: str) -> None:
    """Even its valid policies decide nothing; DPS retries."""
    response = app_with_policies(INVALID_FILE).post(path, json=INITIAL)

    assert (response.status_code, response.json()["errorCode"]) == (503, 503006)
    assert len(response.json()["info"]) == 2


def test_app_with_an_invalid_policy_file_is_not_ready(
    app_with_policies: StartApp, dps: DpsStandIn
) -> None:
    """Every fault is reported with its pointer and line."""
    app = app_with_policies(INVALID_FILE, DPS_CONNECTION_STRING=dps.connection_string)

    response = app.get("/health/ready")

    assert response.status_code == 503
    faults = {fault["setting"]: fault["fault"] for fault in response.json()["faults"]}
    pointer = "ALLOCATION_POLICIES_FILE#/policies/default/rules"
    assert set(faults) == {f"{pointer}/0/hub", f"{pointer}/1/when/payload.x/matches"}
    assert faults[f"{pointer}/0/hub"].startswith("line 3: must be the host name of a hub")


def test_missing_policy_file_is_reported_with_other_faults(
    app_with: StartApp, tmp_path: Path
) -> None:
    """Readiness has the faults of settings and policies together."""
    app = app_with(ALLOCATION_POLICIES_FILE=str(tmp_path / "none.json"))

    faults = {fault["setting"] for fault in app.get("/health/ready").json()["faults"]}

    assert faults == {"DPS_CONNECTION_STRING, DPS_ENDPOINT", "ALLOCATION_POLICIES_FILE"}


def test_corrected_policy_file_is_loaded(app_with_policies: StartApp, tmp_path: Path) -> None:
    """At the next request."""
    app = app_with_policies(INVALID_FILE)
    assert app.post("/allocation", json=INITIAL).status_code == 503

    (tmp_path / "policies.json").write_text(json.dumps({"policies": POLICIES}))

    assert app.post("/allocation", json=INITIAL).status_code == 200


def test_invalid_policy_file_is_not_loaded_for_every_request(
    app_with_policies: StartApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """DPS retries ten times per device, and the file may be large."""
    monkeypatch.syspath_prepend(tmp_path)
    log = tmp_path / "log"
    source = f"with open({str(log)!r}, 'a') as log:\n    log.write('x')\nraise OSError\n"
    (tmp_path / "failing_policy.py").write_text(source)
    app = app_with_policies({"default": {"python": "failing_policy:decide"}})

    statuses = [app.post("/allocation", json=INITIAL).status_code for _ in range(3)]

    assert (statuses, log.read_text()) == ([503] * 3, "x")


def test_warnings_are_logged_when_the_file_is_loaded(
    app_with_policies: StartApp, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, each with its pointer."""
    app = app_with_policies()

    app.post("/allocation", json=INITIAL)
    app.post("/allocation", json=INITIAL)

    warnings = [
        record.getMessage() for record in caplog.records if "otherwise" in record.getMessage()
    ]
    assert len(warnings) == 1
    assert "/policies/only-hub-1" in warnings[0]


def test_exception_in_a_python_policy_is_500_without_details(
    app_with_policies: StartApp,
    log_entries: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """DPS retries; the log has the exception's class."""
    (tmp_path / "buggy_policy.py").write_text("def decide(request):\n    raise ValueError('inner')")
    monkeypatch.syspath_prepend(tmp_path)
    app = app_with_policies({"default": {"python": "buggy_policy:decide"}})

    response = app.post("/allocation", json=INITIAL)

    assert (response.status_code, response.json()["errorCode"]) == (500, 500001)
    assert "inner" not in response.text
    assert (log_entries()[0]["reason"], log_entries()[0]["level"]) == ("ValueError", "ERROR")


PYTHON = "from shared.allocation import Assignment, Refusal\nimport sys\n"
UNANSWERABLE = {
    "nan": ("Assignment(hub='a', payload={'x': [float('nan')]})", "payload is not JSON"),
    "infinity": ("Assignment(hub='a', initial_twin={'tags': {'x': 1e999}})", "initial_twin is not"),
    "object": ("Assignment(hub='a', payload=object())", "payload is not JSON"),
    "rule": ("Assignment(hub='a', rule=float('nan'))", "rule is not JSON"),
    "reason": ("Refusal(reason='a', rule=object())", "rule is not JSON"),
    "exit": ("sys.exit(1)", "the policy raised SystemExit"),
    "interrupt": (
        "(_ for _ in ()).throw(KeyboardInterrupt)",
        "the policy raised KeyboardInterrupt",
    ),
}


@pytest.fixture
def app_with_module(
    app_with_policies: StartApp,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Callable[[str], httpx.Client]:
    """Starts the app with the function `decide` of a new module as its policy."""

    def start(source: str) -> httpx.Client:
        module = re.sub(r"\W", "_", request.node.name)
        (tmp_path / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        return app_with_policies({"default": {"python": f"{module}:decide"}})

    return start


@pytest.mark.parametrize(("decision", "reason"), UNANSWERABLE.values(), ids=UNANSWERABLE)
@pytest.mark.parametrize("path", ["/allocation", "/allocation/default/explain"])
def test_decision_that_cannot_be_answered_is_500(
    app_with_module: Callable[[str], httpx.Client],
    caplog: pytest.LogCaptureFixture,
    path: str,
    decision: str,
    reason: str,
) -> None:
    """DPS would not understand invalid JSON; the log says what is wrong."""
    app = app_with_module(f"{PYTHON}def decide(request):\n    return {decision}\n")

    response = app.post(path, json=body(hubs=("a",)))

    assert (response.status_code, response.json()["errorCode"]) == (500, 500001)
    assert reason in caplog.text
    assert app.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    "statement", ["sys.exit()", "raise KeyboardInterrupt", "raise GeneratorExit"]
)
def test_module_that_exits_is_a_fault_of_the_policy_file(
    app_with_module: Callable[[str], httpx.Client], statement: str
) -> None:
    """For the webhook and for readiness, which name the class."""
    app = app_with_module(f"import sys\n{statement}\n")

    decided, ready = app.post("/allocation", json=INITIAL), app.get("/health/ready")

    location = "ALLOCATION_POLICIES_FILE#/policies/default/python"
    assert (decided.status_code, decided.json()["errorCode"]) == (503, 503006)
    assert "cannot be imported" in decided.json()["info"][location]
    assert ready.status_code == 503
    assert location in {fault["setting"] for fault in ready.json()["faults"]}


def test_request_with_too_many_hubs_is_refused(app_with_policies: StartApp) -> None:
    """DPS links 50 at most, and every rule may hash all of them."""
    app = app_with_policies()
    hubs = tuple(f"hub-{number}.azure-devices.net" for number in range(100_000))

    responses = [app.post("/allocation", json=body(hubs=hubs[:count])) for count in (1001, 100_000)]

    assert [response.status_code for response in responses] == [400, 413]
    assert responses[0].json()["info"] == {"/linkedHubs": "must be a list of at most 1000 hubs"}


def test_common_name_cannot_be_imitated(app_with_policies: StartApp) -> None:
    """A comma in another part of the subject is escaped."""
    info = {"subjectName": r"O=a\, CN=trusted, CN=stranger"}
    x509 = {"signingCertificates": {"primary": {"info": info}}}
    group = GROUP | {"attestation": {"type": "x509", "x509": x509}}
    when = {"signingCertificates.primary.commonName": {"equals": "trusted"}}
    rules = [{"name": "trusted", "when": when, "hub": HUB_1}]
    app = app_with_policies({"default": {"rules": rules, "otherwise": {"reject": "stranger"}}})

    assert app.post("/allocation", json=body(group=group)).status_code == 403


def test_policy_file_with_many_faults_lists_a_thousand(app_with_policies: StartApp) -> None:
    """The file may be large, and each of DPS's retries is answered with its faults."""
    rules = [{"name": f"rule {number}", "hub": "no-host"} for number in range(3000)]
    app = app_with_policies({"default": {"rules": rules}})

    info = app.post("/allocation", json=INITIAL).json()["info"]

    assert len(info) == 1000
    assert info["ALLOCATION_POLICIES_FILE#"] == "has more faults than are listed"


REQUESTS = {
    "first registration": INITIAL,
    "reprovisioning": REPROVISION,
    "2019-03-31": API_2019,
    "hash": body(registrationId="DEV-9"),
    "refused": body(registrationId="stolen-1"),
    "refused though assigned": body(registrationId="stolen-1", currentIotHubHostName="gone"),
    "not allowed": body(hubs=(HUB_2,), currentIotHubHostName=HUB_2),
    "no hub": body(hubs=()),
    "one hub": body(hubs=(HUB_2,)),
    "individual": body(individual={"registrationId": "dev-1"}, payload=[1, 2]),
    "no object": [],
    "no hubs": {"linkedHubs": 5},
}


@pytest.mark.parametrize("policy", [*POLICIES, "nobody"])
def test_explanation_predicts_the_webhooks_response(
    app_with_policies: StartApp, policy: str
) -> None:
    """For every request, including errors."""
    app = app_with_policies()

    for name, request in REQUESTS.items():
        explained = app.post(f"/allocation/{policy}/explain", json=request)
        actual = app.post(f"/allocation/{policy}", json=request)
        assert explained_content(explained) == response_content(actual), name


def explained_content(response: httpx.Response) -> Any:
    """Returns the status and content that an explanation predicts."""
    if response.status_code != 200:
        return response_content(response)
    answer = response.json()["answer"]
    error = {name: value for name, value in answer.items() if name != "status"}
    return answer["status"], error.get("body", error)


def response_content(response: httpx.Response) -> Any:
    """Returns status and content, without what differs between calls."""
    content = response.json()
    if response.status_code != 200:
        content = {name: content[name] for name in ("errorCode", "message")}
    return response.status_code, content


def test_explanation_is_complete(app_with_policies: StartApp) -> None:
    """Policy, version, rule, response, effect in DPS, reason of each rule, warnings."""
    explanation = app_with_policies().post("/allocation/default/explain", json=INITIAL).json()

    assert len(explanation.pop("version")) == 12
    assert explanation == {
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
        "dps": f"The device is assigned to {HUB_3}; its twin is created from the rule's "
        "initialTwin. The device receives the payload.",
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


def test_explanation_of_a_refusal_has_the_effect_in_dps(app_with_policies: StartApp) -> None:
    """The error that the device's registration shows."""
    explanation = (
        app_with_policies()
        .post("/allocation/default/explain", json=body(registrationId="stolen-1"))
        .json()
    )

    assert explanation["answer"] == {
        "status": 403,
        "errorCode": 403001,
        "message": "reported stolen",
    }
    assert "400207: Custom allocation failed with status code: 403" in explanation["dps"]


def test_explanation_has_the_warnings_of_its_policy(app_with_policies: StartApp) -> None:
    """And of no other."""
    app = app_with_policies()

    warnings = app.post("/allocation/only-hub-1/explain", json=INITIAL).json()["warnings"]

    assert [warning["place"] for warning in warnings] == ["/policies/only-hub-1"]


@pytest.mark.parametrize("path", ["/allocation", "/allocation/default/explain"])
def test_keys_in_a_request_are_not_disclosed(
    app_with_policies: StartApp, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """DPS sends none; if it did, they would be in no response and no log."""
    keys = {
        "primaryKey": secret_factory.symmetric_key(),
        "secondaryKey": secret_factory.symmetric_key(),
    }
    tpm = {"endorsementKey": secret_factory.endorsement_key()}
    attestation = {"type": "symmetricKey", "symmetricKey": keys}
    request = body(group=GROUP | {"attestation": attestation}, symmetricKey=keys, tpm=tpm)

    response = app_with_policies().post(path, json=request)

    assert response.status_code == 200
    for secret in (*keys.values(), *tpm.values()):
        assert secret not in response.text
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
def test_keys_are_not_facts(app_with_policies: StartApp, name: str) -> None:
    """Neither a condition nor a template can use them."""
    rules = [
        {"name": "a", "when": {name: {"exists": True}}, "hub": HUB_1, "payload": f"${{{name}}}"}
    ]

    response = app_with_policies({"default": {"rules": rules}}).post("/allocation", json=INITIAL)

    assert response.status_code == 503
    assert len(response.json()["info"]) == 2


APP_FOLDER = Path(__file__).parents[2]
COSTLY = {"httpx", "aiohttp", "azure.identity", "azure.servicebus", "cryptography"}
CALL = """
import asyncio, json, socket, sys
import azure.functions as func
import function_app

def refuse(*_):
    raise AssertionError("a decision went to the network")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
trigger = next(
    function.get_user_function()
    for function in function_app.app.get_functions()
    if function.get_function_name() == "allocation_decide"
)
request = func.HttpRequest(method="POST", url="/allocation", body=sys.stdin.buffer.read())
response = asyncio.run(trigger(request))
print(json.dumps([response.status_code, json.loads(response.get_body()), sorted(sys.modules)]))
"""


@pytest.fixture
def decide_in_new_process(tmp_path: Path) -> Any:
    """Calls the webhook in a new Python process; returns status, answer and loaded modules."""

    def decide(rule: Document, request: Document) -> tuple[int, Document, set[str]]:
        path = tmp_path / "policies.json"
        rules = [{"name": "a"} | rule]
        path.write_text(json.dumps({"policies": {"default": {"rules": rules}}}))
        variables = {name: value for name, value in os.environ.items() if "DPS_" not in name}  # noqa: TID251  for the new process
        process = subprocess.run(  # noqa: S603  this Python
            [sys.executable, "-W", "error", "-c", CALL],
            cwd=APP_FOLDER,
            env=variables | {"ALLOCATION_POLICIES_FILE": str(path)},
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        status, answer, modules = json.loads(process.stdout.splitlines()[-1])
        return status, answer, set(modules)

    return decide


def test_decision_loads_no_costly_module_and_uses_no_network(decide_in_new_process: Any) -> None:
    """No HTTP client, identity, Service Bus or cryptography: a device is waiting."""
    status, answer, modules = decide_in_new_process({"hub": {"hash": {}}}, body(payload={"a": 1}))

    assert status == 200
    assert answer["iotHubHostName"] in HUBS
    assert COSTLY & modules == set()


def test_cryptography_is_loaded_for_the_device_certificate(decide_in_new_process: Any) -> None:
    """Only if a rule uses it, and without network."""
    when = {"deviceCertificate.commonName": {"exists": False}}
    status, _, modules = decide_in_new_process(
        {"when": when, "hub": {"hash": {}}}, body(x509={"clientCertificate": "AAAA"})
    )

    assert status == 200
    assert COSTLY & modules == {"cryptography"}


def test_parsed_certificates_need_no_cryptography(decide_in_new_process: Any) -> None:
    """DPS sends their content in `info`."""
    when = {"signingCertificates.primary.commonName": {"equals": "a"}}
    certificates = {"signingCertificates": {"primary": {"info": {"subjectName": "CN=a"}}}}
    group = {"enrollmentGroupId": "g", "attestation": {"type": "x509", "x509": certificates}}
    status, _, modules = decide_in_new_process(
        {"when": when, "hub": {"hash": {}}}, body(group=group)
    )

    assert status == 200
    assert COSTLY & modules == set()
