"""Templates in twin and payload."""

import pytest

from tests.shared.allocation.asking import HUB_1, decision, policy

PAYLOAD = {"region": "de", "floor": 3, "edge": True, "at": {"lat": 1.5}, "list": [1], "none": None}


def told(template: object, **question: object) -> object:
    """What a device is told by a rule with this template as its payload."""
    question.setdefault("payload", PAYLOAD)
    return decision(policy({"hub": HUB_1, "payload": template}), **question).payload


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("${payload.region}", "de"),
        ("${payload.floor}", 3),
        ("${payload.edge}", True),
        ("${payload.at}", {"lat": 1.5}),
        ("${payload.list}", [1]),
        ("floor ${payload.floor}, ${payload.region}", "floor 3, de"),
        ("${payload.region}${payload.edge}", "detrue"),
        ("${registrationId}", "dev-1"),
        ("$${payload.region}", "${payload.region}"),
        ("$${a} ${payload.region} $${b}", "${a} de ${b}"),
        ("costs 5$ {net}", "costs 5$ {net}"),
        (["${payload.region}", 1], ["de", 1]),
        ({"a": {"b": "${payload.floor}"}}, {"a": {"b": 3}}),
        ({"${payload.region}": 1}, {"${payload.region}": 1}),
        (7, 7),
        (False, False),
    ],
    ids=str,
)
def test_template_is_filled(template, filled):
    """A placeholder alone keeps its type; inside a text it becomes text; names are left alone."""
    assert told(template) == filled


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ({"a": "${payload.gone}", "b": 1}, {"b": 1}),
        ({"a": "x ${payload.gone}", "b": 1}, {"b": 1}),
        ({"a": "x ${payload.at}", "b": 1}, {"b": 1}),
        ({"a": "${payload.none}", "b": 1}, {"b": 1}),
        ({"a": ["${payload.gone}", 2]}, {"a": [2]}),
        ({"a": {"b": "${payload.gone}"}}, {"a": {}}),
        ("${payload.gone}", None),
    ],
    ids=str,
)
def test_what_needs_an_absent_fact_is_left_out(template, filled):
    """The member that needs it goes, the rest stays; nobody is told "None" or "null"."""
    assert told(template) == filled


def test_twin_is_filled():
    """Tags and desired properties are templates."""
    twin = {
        "tags": {"r": "${payload.region}"},
        "properties": {"desired": {"f": "${payload.floor}"}},
    }

    found = decision(policy({"hub": HUB_1, "initialTwin": twin}), payload=PAYLOAD)

    assert found.initial_twin == {"tags": {"r": "de"}, "properties": {"desired": {"f": 3}}}


def test_answer_leaves_out_what_the_rule_does():
    """Without twin and payload the answer is the hub alone: the enrollment's twin counts."""
    assert decision(policy({"hub": HUB_1})).body == {"iotHubHostName": HUB_1}


def test_placeholder_in_a_fact_is_not_filled_again():
    """What a device sends is data: it cannot make a template ask for more."""
    assert told("${payload.x}", payload={"x": "${registrationId}"}) == "${registrationId}"
