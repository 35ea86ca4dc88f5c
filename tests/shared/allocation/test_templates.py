"""Templates in the initial twin and the payload."""

from typing import Any

import pytest

from tests.shared.allocation.samples import HUB_1, assign, make_policy

PAYLOAD = {"region": "de", "floor": 3, "edge": True, "at": {"lat": 1.5}, "list": [1], "none": None}


def render(template: object, **members: object) -> object:
    """Returns the payload of a rule with this template."""
    members.setdefault("payload", PAYLOAD)
    return assign(make_policy({"hub": HUB_1, "payload": template}), **members).payload


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
def test_template_is_filled(
    template: list[Any] | int | dict[str, Any] | str | bool,
    filled: list[Any] | int | dict[str, Any] | str | bool,
) -> None:
    """A placeholder alone keeps its type; within a string it is text; names do not change."""
    assert render(template) == filled


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
def test_member_with_an_absent_fact_is_omitted(
    template: str | dict[str, Any], filled: dict[str, Any] | None
) -> None:
    """Only the member or item that uses the fact is omitted; it never becomes "None" or "null"."""
    assert render(template) == filled


def test_twin_is_filled() -> None:
    """Tags and desired properties are templates."""
    twin = {
        "tags": {"r": "${payload.region}"},
        "properties": {"desired": {"f": "${payload.floor}"}},
    }

    assignment = assign(make_policy({"hub": HUB_1, "initialTwin": twin}), payload=PAYLOAD)

    assert assignment.initial_twin == {"tags": {"r": "de"}, "properties": {"desired": {"f": 3}}}


def test_answer_without_twin_and_payload_is_the_hub() -> None:
    """What a rule omits is omitted from the answer, so that the enrollment's twin applies."""
    assert assign(make_policy({"hub": HUB_1})).body == {"iotHubHostName": HUB_1}


def test_placeholder_in_a_fact_is_not_filled() -> None:
    """A device cannot read other facts by sending a placeholder."""
    assert render("${payload.x}", payload={"x": "${registrationId}"}) == "${registrationId}"
