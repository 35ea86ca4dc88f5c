"""Explaining: the decision itself, each rule with its first condition that failed, and DPS's part."""

from http import HTTPStatus

import pytest

from shared.allocation import Assignment, consequences, decide, explain
from shared.errors import NoHubError
from tests.shared.allocation.asking import GROUP, HUB_1, HUB_2, HUB_3, asked, policy

GONE = "gone.azure-devices.net"


def test_each_rule_has_its_reason():
    """What failed first, what had no hub, what decided, what was not asked any more."""
    rules = policy(
        {"name": "a", "when": {"payload.x": {"gte": 1, "lt": 2}, "payload.y": {"equals": 1}}}
        | {"hub": HUB_1},
        {"name": "b", "hub": GONE},
        {"name": "c", "when": {"payload.x": {"equals": 5}}, "hub": HUB_2},
        {"name": "d", "hub": HUB_3},
        otherwise={"reject": "no"},
    )

    assert explain(rules, asked(payload={"x": 5})).rules == [
        {
            "name": "a",
            "result": "does not match",
            "failed": {"fact": "payload.x", "operator": "lt", "operand": 2, "value": 5},
        },
        {"name": "b", "result": "matches, but has no hub that is linked"},
        {"name": "c", "result": "decides"},
        {"name": "d", "result": "not reached"},
        {"name": "otherwise", "result": "not reached"},
    ]


def test_long_list_is_not_repeated_whole():
    """An allow-list of thousands does not fill the answer."""
    rules = policy({"when": {"registrationId": {"in": list(range(1000))}}, "hub": HUB_1})

    (rule, _) = explain(rules, asked()).rules

    assert rule["failed"]["operand"] == [*range(20), "… and 980 more"]


@pytest.mark.parametrize("hub", [HUB_1, GONE, {"keep": True}, {"hash": {HUB_2: 0, HUB_3: 2}}])
@pytest.mark.parametrize("otherwise", [None, {"reject": "no"}, {"hub": {"hash": {}}}])
@pytest.mark.parametrize("context", [{}, {"currentIotHubHostName": HUB_2}])
def test_explanation_is_what_is_decided(hub, otherwise, context):
    """Nobody is told one thing and then given another."""
    rules = policy({"hub": hub}, **({"otherwise": otherwise} if otherwise else {}))
    request = asked(**context)

    outcome = explain(rules, request).outcome

    if isinstance(outcome, NoHubError):
        with pytest.raises(NoHubError):
            decide(rules, request)
    else:
        assert decide(rules, request) == outcome


def test_own_policy_keeps_its_reasons():
    """Of a policy in Python the decision is known and no rules."""
    explanation = explain(lambda _: Assignment(hub=HUB_1, rule="mine"), asked())

    assert (explanation.outcome, explanation.rules) == (Assignment(hub=HUB_1, rule="mine"), [])


REPROVISIONING = [
    (True, True, "moves to hub-2.azure-devices.net and its twin with it"),
    (True, False, "its twin there begins as the rule's initialTwin"),
    (False, False, "see its reprovision policy"),
    (None, None, "has no reprovision policy"),
]


@pytest.mark.parametrize(("moves", "migrates", "words"), REPROVISIONING)
def test_consequence_of_another_hub(moves, migrates, words):
    """What becomes of the twin hangs on the enrollment's reprovision policy."""
    reprovisioning = {"updateHubAssignment": moves, "migrateDeviceData": migrates}
    request = asked(
        group=GROUP | {"reprovisionPolicy": reprovisioning}, currentIotHubHostName=HUB_1
    )

    said = consequences.of_assignment(Assignment(hub=HUB_2, initial_twin={}), request)

    assert words in said


@pytest.mark.parametrize("broken", [5, {"updateHubAssignment": []}, {"updateHubAssignment": {}}])
def test_consequence_of_an_unreadable_reprovision_policy(broken):
    """A record nobody foresaw breaks no explanation."""
    request = asked(group=GROUP | {"reprovisionPolicy": broken}, currentIotHubHostName=HUB_1)

    assert "moves" in consequences.of_assignment(Assignment(hub=HUB_2), request)


@pytest.mark.parametrize(
    ("context", "twin", "words"),
    [
        ({}, None, "its twin there begins as the enrollment's initialTwin"),
        ({}, {"tags": {}}, "its twin there begins as the rule's initialTwin"),
        ({"currentIotHubHostName": HUB_2.upper()}, {}, "stays on hub-2.azure-devices.net"),
    ],
)
def test_consequence_of_a_hub(context, twin, words):
    """A first hub, or the same again."""
    assignment = Assignment(hub=HUB_2, initial_twin=twin)

    assert words in consequences.of_assignment(assignment, asked(**context))


def test_consequence_of_a_payload():
    """The device is told whatever hub it gets."""
    said = consequences.of_assignment(Assignment(hub=HUB_2, payload=0), asked())

    assert said.endswith("It is told the payload.")


@pytest.mark.parametrize(("status", "words"), [(403, "fails with 400207"), (503, "asks again")])
def test_consequence_of_a_failure(status, words):
    """Below 429 the registration fails; from there on DPS tries again."""
    assert words in consequences.of_failure(HTTPStatus(status))
