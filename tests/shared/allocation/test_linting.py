"""The linter: what is odd in a file that is valid."""

import json
from typing import Any

import pytest

from shared.allocation.files import parsed
from tests.shared.allocation.asking import HUB_1, HUB_2

ALL = {"hash": {}}


def warnings(*rules: dict[str, Any], otherwise: Any = None, **more: Any) -> dict[str, str]:
    """What is odd about these rules, by the place below the policy."""
    named = [{"name": f"rule {number}"} | rule for number, rule in enumerate(rules, start=1)]
    policy = {"rules": named} | ({"otherwise": otherwise} if otherwise else {})
    found = parsed(json.dumps({"policies": {"p": policy}} | more).encode()).warnings
    return {odd.place.removeprefix("/policies/p"): odd.words for odd in found}


NEVER_REACHED = [
    ({}, {}),
    ({}, {"payload.x": {"equals": 1}}),
    ({"payload.x": {"equals": 1}}, {"payload.x": {"equals": 1}, "payload.y": {"equals": 2}}),
    ({"payload.x": {"in": [1, 2]}}, {"payload.x": {"equals": 1}}),
    ({"payload.x": {"in": [1, 2]}}, {"payload.x": {"in": [2, 1]}}),
    ({"payload.x": {"notIn": [1]}}, {"payload.x": {"equals": 2}}),
    ({"payload.x": {"notIn": [1]}}, {"payload.x": {"notIn": [1, 2]}}),
    ({"payload.x": {"exists": True}}, {"payload.x": {"gt": 2}}),
    ({"payload.x": {"startsWith": "a"}}, {"payload.x": {"startsWith": ["ab", "ac"]}}),
    ({"payload.x": {"endsWith": ["a", "b"]}}, {"payload.x": {"in": ["xa", "b"]}}),
    ({"registrationId": {"in": ["A", "B"]}}, {"registrationId": {"equals": "a"}}),
    ({"payload.x": {"matches": "a+"}}, {"payload.x": {"matches": "a+"}}),
]
REACHED = [
    ({"payload.x": {"equals": 1}}, {}),
    ({"payload.x": {"equals": 1}}, {"payload.x": {"equals": True}}),
    ({"payload.x": {"equals": 1}}, {"payload.y": {"equals": 1}}),
    ({"payload.x": {"in": [1]}}, {"payload.x": {"in": [1, 2]}}),
    ({"payload.x": {"exists": True}}, {"payload.x": {"exists": False}}),
    ({"payload.x": {"startsWith": "ab"}}, {"payload.x": {"startsWith": "a"}}),
    ({"payload.x": {"matches": "\\d"}}, {"payload.x": {"matches": "\\D"}}),
    ({"registrationId": {"matches": "\\d"}}, {"registrationId": {"matches": "\\D"}}),
]


@pytest.mark.parametrize(("first", "second"), NEVER_REACHED, ids=str)
@pytest.mark.parametrize("outcome", [{"reject": "no"}, {"hub": ALL}, {"hub": {"hash": {"*": 1}}}])
def test_rule_after_one_that_takes_all_its_devices(first, second, outcome):
    """What an earlier rule leaves nothing for is dead."""
    found = warnings({"when": first} | outcome, {"when": second, "hub": HUB_1})

    assert found["/rules/1"] == 'is never reached: the rule "rule 1" takes all its devices'


@pytest.mark.parametrize(("first", "second"), REACHED, ids=str)
def test_rule_that_gets_devices_is_not_called_dead(first, second):
    """The linter says nothing it cannot prove."""
    found = warnings({"when": first, "reject": "no"}, {"when": second, "hub": HUB_1})

    assert "/rules/1" not in found


@pytest.mark.parametrize("hub", [HUB_2, {"keep": True}, {"hash": {HUB_2: 1, "*": 0}}], ids=str)
def test_rule_after_one_that_may_have_no_hub_is_reached(hub):
    """A rule for a hub that may not be linked needs one behind it."""
    assert "/rules/1" not in warnings({"hub": hub}, {"hub": HUB_1}, otherwise={"hub": ALL})


def test_otherwise_after_a_rule_for_everyone():
    """`otherwise` can be dead too."""
    assert "is never reached" in warnings({"hub": ALL}, otherwise={"hub": HUB_1})["/otherwise"]


@pytest.mark.parametrize(
    "condition",
    [
        {"equals": 1, "in": [2, 3]},
        {"equals": "a", "notIn": ["a", "b"]},
        {"exists": False, "equals": 1},
    ],
    ids=str,
)
def test_condition_that_excludes_itself(condition):
    """No value passes."""
    found = warnings({"when": {"payload.x": condition}, "hub": HUB_1}, otherwise={"hub": ALL})

    assert found == {"/rules/0/when/payload.x": "never holds: what it asks excludes itself"}


def test_hub_that_no_rule_names():
    """A declared hub that gets no device may have been forgotten."""
    found = warnings({"hub": HUB_1}, otherwise={"hub": {"keep": True}}, hubs=[HUB_1, HUB_2])

    assert found == {"/hubs/1": "is named by no rule"}


def test_star_names_every_hub():
    """Where a rule is for all other hubs, none is forgotten."""
    assert warnings({"hub": {"hash": {"*": 1}}}, hubs=[HUB_1]) == {}


def test_template_on_a_fact_that_may_be_absent():
    """A device without the fact gets no such member: the rule should ask for it."""
    twin = {"tags": {"r": "${payload.region}", "id": "${registrationId}"}}
    found = warnings({"hub": ALL, "initialTwin": twin, "payload": "${payload.a}"})

    assert set(found) == {"/rules/0/initialTwin/tags/r", "/rules/0/payload"}
    assert "no condition asks for it" in found["/rules/0/payload"]


def test_template_on_a_fact_the_rule_asks_for():
    """A condition that holds only with the fact is enough."""
    rule = {"when": {"payload.a": {"notIn": ["x"]}}, "hub": HUB_1, "payload": "${payload.a}"}

    assert warnings(rule, otherwise={"hub": ALL}) == {}


def test_rule_on_the_certificate_of_a_device():
    """Nobody knows whether DPS sends it."""
    when = {"deviceCertificate.commonName": {"equals": "dev-1"}}
    found = warnings({"when": when, "hub": HUB_1}, otherwise={"hub": ALL})

    assert "not published" in found["/rules/0/when/deviceCertificate.commonName"]


def test_weights_that_drain_everything():
    """A rule whose hubs all have the weight 0 never has a hub."""
    found = warnings({"hub": {"hash": {HUB_1: 0, HUB_2: 0}}}, otherwise={"hub": ALL})

    assert "never has a candidate" in found["/rules/0/hub"]


def test_policy_without_otherwise():
    """A device that no rule is for is answered 503 for as long as DPS asks."""
    assert "has no `otherwise`" in warnings({"hub": HUB_1})[""]
