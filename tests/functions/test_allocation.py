"""The allocation webhook over HTTP: what DPS gets, and what stands in the log."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.functions.allocation_cases import API_2019, INITIAL, POLICIES, REPROVISION, Start
from tests.shared.allocation.asking import GROUP, HUB_2, HUB_3, HUBS, body

ALLOCATION_LOG = "functions._decision_log"


@pytest.fixture
def lines(caplog) -> Callable[[], list[dict[str, Any]]]:
    """The lines of the decision log, read."""
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
def test_question_of_dps_is_answered(with_policies: Start, request_body, answer):
    """With no setting but the policies, a device gets the hub, twin and payload of its rule."""
    reply = with_policies().post("/allocation", json=request_body)

    assert (reply.status_code, reply.json()) == (200, answer)


def test_what_dps_adds_one_day_does_no_harm(with_policies: Start):
    """Unknown members, another api version and content type, and another policy's shape are fine."""
    asked = body(newer={"a": 1}, group=GROUP | {"newest": [1]}) | {"more": None}

    reply = with_policies().post(
        "/allocation/STICKY?api-version=2030-01-01",
        content=json.dumps(asked),
        headers={"content-type": "text/plain"},
    )

    assert reply.status_code == 200
    assert reply.json()["iotHubHostName"] in HUBS


def test_refusal_is_403_and_its_reason_is_in_the_log(with_policies: Start, lines):
    """DPS fails the registration and tells nobody why: the log does."""
    reply = with_policies().post("/allocation", json=body(registrationId="stolen-7"))

    assert (reply.status_code, reply.json()["errorCode"]) == (403, 403001)
    (line,) = lines()
    assert (line["rule"], line["reason"], line["level"]) == ("stolen", "reported stolen", "WARNING")


def test_no_hub_is_503_and_an_error_in_the_log(with_policies: Start, lines):
    """An empty 200 would fail the registration for good; after 503 DPS asks again."""
    reply = with_policies().post("/allocation/only-hub-1", json=body(hubs=(HUB_2,)))

    assert (reply.status_code, reply.json()["errorCode"]) == (503, 503005)
    (line,) = lines()
    assert (line["status"], line["level"], line["registrationId"]) == (503, "ERROR", "dev-1")


def test_unreadable_question_is_400_with_its_reason(with_policies: Start, lines):
    """Every fault is in the answer and in the log; what was sent is in neither."""
    asked = {"deviceRuntimeContext": {"registrationId": 7, "payload": "private"}, "linkedHubs": ""}

    reply = with_policies().post("/allocation", json=asked)

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
    faults = {"", "/deviceRuntimeContext/registrationId", "/linkedHubs"}
    assert set(reply.json()["info"]) == faults
    (line,) = lines()
    assert set(line["faults"]) == faults
    assert "private" not in json.dumps(line)


def test_unknown_policy_is_404(with_policies: Start, lines):
    """A wrong address is never answered by another policy: the registration fails at once."""
    reply = with_policies().post("/allocation/nobody", json=INITIAL)

    assert (reply.status_code, reply.json()["errorCode"]) == (404, 404001)
    assert (lines()[0]["policy"], lines()[0]["status"]) == ("nobody", 404)


def test_decision_is_one_line_of_the_log(with_policies: Start, lines):
    """Policy, version, rule, hub, duration and device; no payload, no twin, no enrollment."""
    with_policies().post("/allocation", json=INITIAL)

    (line,) = lines()
    assert line.pop("milliseconds") >= 0
    assert len(line.pop("version")) == 12
    assert line == {
        "event": "allocation",
        "policy": "default",
        "registrationId": "dev-1",
        "rule": "north",
        "hub": HUB_3,
        "status": 200,
        "level": "INFO",
    }


def test_id_cannot_forge_a_line_of_the_log(with_policies: Start, caplog):
    """A line break in an id stays in its string."""
    caplog.set_level(logging.INFO, logger=ALLOCATION_LOG)

    with_policies().post("/allocation", json=body(registrationId="dev\n" + "x" * 500))

    (record,) = (record for record in caplog.records if record.name == ALLOCATION_LOG)
    assert "\n" not in record.getMessage()
    assert len(json.loads(record.getMessage())["registrationId"]) == 128


def test_without_a_file_devices_are_spread_over_the_linked_hubs(app_with: Start):
    """Nothing set, nothing there: the webhook works, by hashing."""
    app = app_with()

    hubs = {
        app.post("/allocation", json=body(registrationId=f"dev-{number}")).json()["iotHubHostName"]
        for number in range(40)
    }

    assert hubs == set(HUBS)


BROKEN = """{
"policies": {"default": {"rules": [
{"name": "a", "hub": "hub-1"},
{"name": "b", "when": {"payload.x": {"matches": "(a"}}, "hub": {"hash": {}}}],
"otherwise": {"hub": {"hash": {}}}}}}"""


@pytest.mark.parametrize(
    "path", ["/allocation", "/allocation/nobody", "/allocation/default/explain"]
)
def test_broken_file_is_503_and_nothing_is_allocated(with_policies: Start, path):
    """Half-read rules decide nothing, not even what is whole in them; DPS asks again."""
    reply = with_policies(BROKEN).post(path, json=INITIAL)

    assert (reply.status_code, reply.json()["errorCode"]) == (503, 503006)
    assert len(reply.json()["info"]) == 2


def test_broken_file_turns_readiness_red(with_policies: Start, dps):
    """Every fault of the file is named with its place and line; DPS itself is well."""
    app = with_policies(BROKEN, DPS_CONNECTION_STRING=dps.connection_string)

    reply = app.get("/health/ready")

    assert reply.status_code == 503
    faults = {fault["setting"]: fault["fault"] for fault in reply.json()["faults"]}
    place = "ALLOCATION_POLICIES_FILE#/policies/default/rules"
    assert set(faults) == {f"{place}/0/hub", f"{place}/1/when/payload.x/matches"}
    assert faults[f"{place}/0/hub"].startswith("line 3: must be the host name of a hub")


def test_file_that_is_missing_is_named_beside_other_faults(app_with: Start, tmp_path):
    """Readiness names what is wrong with the settings and with the policies at once."""
    app = app_with(ALLOCATION_POLICIES_FILE=str(tmp_path / "none.json"))

    faults = {fault["setting"] for fault in app.get("/health/ready").json()["faults"]}

    assert faults == {"DPS_CONNECTION_STRING, DPS_ENDPOINT", "ALLOCATION_POLICIES_FILE"}


def test_mended_file_is_read(with_policies: Start, tmp_path):
    """A fault is not kept: the next question finds the file mended."""
    app = with_policies(BROKEN)
    assert app.post("/allocation", json=INITIAL).status_code == 503

    (tmp_path / "policies.json").write_text(json.dumps({"policies": POLICIES}))

    assert app.post("/allocation", json=INITIAL).status_code == 200


def test_wrong_file_is_not_read_for_every_question(with_policies: Start, monkeypatch, tmp_path):
    """DPS asks ten times for a device, and a file may be large."""
    monkeypatch.syspath_prepend(tmp_path)
    read = tmp_path / "read"
    source = f"with open({str(read)!r}, 'a') as read:\n    read.write('x')\nraise OSError\n"
    (tmp_path / "failing_policy.py").write_text(source)
    app = with_policies({"default": {"python": "failing_policy:decide"}})

    answers = [app.post("/allocation", json=INITIAL).status_code for _ in range(3)]

    assert (answers, read.read_text()) == ([503] * 3, "x")


def test_oddities_are_logged_when_the_file_is_read(with_policies: Start, caplog):
    """What the linter finds is told once, with its place."""
    app = with_policies()

    app.post("/allocation", json=INITIAL)
    app.post("/allocation", json=INITIAL)

    told = [record.getMessage() for record in caplog.records if "otherwise" in record.getMessage()]
    assert len(told) == 1
    assert "/policies/only-hub-1" in told[0]


def test_bug_in_an_own_policy_is_500_without_details(
    with_policies: Start, lines, monkeypatch, tmp_path
):
    """DPS asks again after 500; what went wrong is in the log and not in the answer."""
    (tmp_path / "buggy_policy.py").write_text("def decide(request):\n    raise ValueError('inner')")
    monkeypatch.syspath_prepend(tmp_path)
    app = with_policies({"default": {"python": "buggy_policy:decide"}})

    reply = app.post("/allocation", json=INITIAL)

    assert (reply.status_code, reply.json()["errorCode"]) == (500, 500001)
    assert "inner" not in reply.text
    assert (lines()[0]["reason"], lines()[0]["level"]) == ("ValueError", "ERROR")
