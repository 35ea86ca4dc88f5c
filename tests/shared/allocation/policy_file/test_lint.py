"""The linter: warnings about a valid policy file."""

import json
from typing import Any

import pytest

from shared.allocation.policy_file.load import parse_policies
from shared.errors import MAX_FAULTS
from tests.shared.allocation.samples import HUB_1, HUB_2

ALL: dict[str, Any] = {"hash": {}}


def warnings(*rules: dict[str, Any], otherwise: Any = None, **more: Any) -> dict[str, str]:
    """Returns the warnings about these rules, by the pointer below the policy."""
    named = [{"name": f"rule {number}"} | rule for number, rule in enumerate(rules, start=1)]
    policy = {"rules": named} | ({"otherwise": otherwise} if otherwise else {})
    policies = parse_policies(json.dumps({"policies": {"p": policy}} | more).encode())
    return {
        warning.pointer.removeprefix("/policies/p"): warning.message
        for warning in policies.warnings
    }


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
def test_rule_after_one_that_decides_about_all_its_devices(
    first: Any, second: Any, outcome: dict[str, Any]
) -> None:
    """A rule is unreachable if an earlier one decides about every request that it matches."""
    faults = warnings({"when": first} | outcome, {"when": second, "hub": HUB_1})

    assert faults["/rules/1"] == 'is never reached: rule "rule 1" decides about all its devices'


@pytest.mark.parametrize(("first", "second"), REACHED, ids=str)
def test_reachable_rule_has_no_warning(first: Any, second: Any) -> None:
    """The linter warns only if it can prove that a rule is unreachable."""
    faults = warnings({"when": first, "reject": "no"}, {"when": second, "hub": HUB_1})

    assert "/rules/1" not in faults


@pytest.mark.parametrize("hub", [HUB_2, {"keep": True}, {"hash": {HUB_2: 1, "*": 0}}], ids=str)
def test_rule_after_one_that_may_have_no_hub_is_reachable(hub: Any) -> None:
    """If the hub of a rule is not linked, the next rule decides."""
    assert "/rules/1" not in warnings({"hub": hub}, {"hub": HUB_1}, otherwise={"hub": ALL})


def test_otherwise_after_a_rule_for_all_devices() -> None:
    """`otherwise` can be unreachable too."""
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
def test_condition_that_contradicts_itself(condition: dict[str, Any]) -> None:
    """The linter warns about a condition that no value meets."""
    faults = warnings({"when": {"payload.x": condition}, "hub": HUB_1}, otherwise={"hub": ALL})

    assert faults == {"/rules/0/when/payload.x": "never holds: its operators contradict each other"}


def test_hub_that_no_rule_names() -> None:
    """A declared hub that no rule names may have been forgotten."""
    faults = warnings({"hub": HUB_1}, otherwise={"hub": {"keep": True}}, hubs=[HUB_1, HUB_2])

    assert faults == {"/hubs/1": "is not named by any rule"}


def test_star_names_every_hub() -> None:
    """`*` stands for all other hubs, so none is forgotten."""
    assert warnings({"hub": {"hash": {"*": 1}}}, hubs=[HUB_1]) == {}


def test_template_on_a_fact_that_may_be_absent() -> None:
    """The member is omitted for devices without the fact; a condition should require it."""
    twin = {"tags": {"r": "${payload.region}", "id": "${registrationId}"}}
    faults = warnings({"hub": ALL, "initialTwin": twin, "payload": "${payload.a}"})

    assert set(faults) == {"/rules/0/initialTwin/tags/r", "/rules/0/payload"}
    assert "which no condition requires" in faults["/rules/0/payload"]


def test_template_on_a_fact_that_a_condition_requires() -> None:
    """Any condition that holds only if the fact is present is enough."""
    rule = {"when": {"payload.a": {"notIn": ["x"]}}, "hub": HUB_1, "payload": "${payload.a}"}

    assert warnings(rule, otherwise={"hub": ALL}) == {}


def test_rule_on_the_certificate_of_a_device() -> None:
    """Microsoft has not documented whether DPS sends it."""
    when = {"deviceCertificate.commonName": {"equals": "dev-1"}}
    faults = warnings({"when": when, "hub": HUB_1}, otherwise={"hub": ALL})

    assert "not documented" in faults["/rules/0/when/deviceCertificate.commonName"]


def test_weights_that_drain_everything() -> None:
    """A rule whose weights are all 0 never has a hub."""
    faults = warnings({"hub": {"hash": {HUB_1: 0, HUB_2: 0}}}, otherwise={"hub": ALL})

    assert "never has a hub" in faults["/rules/0/hub"]


def test_policy_without_otherwise() -> None:
    """If no rule decides, the answer is 503, however often DPS retries."""
    assert "has no `otherwise`" in warnings({"hub": HUB_1})[""]


def test_number_of_compared_rules_is_limited() -> None:
    """Every rule is compared with the first hundred: the time does not grow with all pairs."""
    rules = [{"when": {"payload.x": {"equals": number}}, "reject": "x"} for number in range(102)]
    repeated = [rules[99], rules[100]]

    found = warnings(*rules, *repeated, otherwise={"hub": ALL})

    assert [place for place in found if "rules" in place] == ["/rules/102"]


def test_number_of_warnings_is_limited() -> None:
    """Each is logged."""
    rules = [{"hub": ALL}] * (MAX_FAULTS + 10)

    assert len(warnings(*rules)) == MAX_FAULTS
