"""Conditions: which values pass each operator."""

from typing import Any

import pytest

from tests.shared.allocation.samples import HUB_1, matches

ABSENT = "<absent>"

HOLDS = [
    ("equals", "de", "de"),
    ("equals", 1, 1.0),
    ("equals", True, True),
    ("in", ["de", "at"], "at"),
    ("in", [1, True], True),
    ("notIn", ["de"], "fr"),
    ("notIn", ["de"], ["de"]),
    ("notIn", [1], True),
    ("matches", "thermo-.*", "thermo-12"),
    ("matches", "[a-f0-9]{4}", "00ff"),
    ("startsWith", "the", "thermo"),
    ("startsWith", ["x", "th"], "thermo"),
    ("endsWith", "mo", "thermo"),
    ("endsWith", ["x", "o"], "thermo"),
    ("contains", "erm", "thermo"),
    ("contains", 2, [1, 2]),
    ("exists", True, 0),
    ("exists", True, ""),
    ("exists", False, None),
    ("exists", False, ABSENT),
    ("lt", 5, 4.9),
    ("lte", 5, 5),
    ("gt", 5, 6),
    ("gte", 5, 5),
    ("gte", "12.1", "12.10.0"),
    ("gt", "9.9", "10"),
    ("gte", "1.0", "1"),
    ("lt", "2027-01-01", "2026-12-31T23:59:59Z"),
    ("gt", "2026-12-31T23:00:00Z", "2027-01-01T00:30:00.1234567+01:00"),
    ("linked", True, HUB_1),
    ("linked", True, HUB_1.upper()),
    ("linked", False, "gone.azure-devices.net"),
]
DOES_NOT_HOLD = [
    ("equals", "de", "DE"),
    ("equals", 1, True),
    ("equals", 0, False),
    ("equals", 1, "1"),
    ("in", ["de"], ["de"]),
    ("in", ["de"], {"de": 1}),
    ("notIn", ["de"], "de"),
    ("notIn", ["de"], None),
    ("notIn", ["de"], ABSENT),
    ("matches", "thermo", "thermo-12"),
    ("matches", ".*", 5),
    ("matches", ".*", "x" * 1025),
    ("startsWith", "th", ["th"]),
    ("endsWith", "o", 0),
    ("contains", "1", 1),
    ("contains", 1, [True, "1"]),
    ("contains", 1, "1"),
    ("exists", True, None),
    ("exists", False, 0),
    ("lt", 5, 5),
    ("lt", 5, "4"),
    ("lt", 5, True),
    ("gt", 5, ABSENT),
    ("gte", "12.1", "12.0.9"),
    ("gte", "1.2", "1.2-rc1"),
    ("gt", "2026-01-01", "2026-02-31"),
    ("gt", "2026-01-01", 9),
    ("linked", True, "gone.azure-devices.net"),
    ("linked", False, HUB_1),
    ("linked", False, ABSENT),
    ("linked", True, 5),
]


def members(value: object) -> dict[str, object]:
    """Returns a payload with the value as its member `x`."""
    return {"payload": {} if value is ABSENT else {"x": value}}


def shorten(value: object) -> str:
    """Returns a value as a part of a test's id."""
    return repr(value)[:40]


@pytest.mark.parametrize(("operator", "operand", "value"), HOLDS, ids=shorten)
def test_condition_holds(operator: str, operand: Any, value: Any) -> None:
    """The value passes."""
    assert matches({"payload.x": {operator: operand}}, **members(value))


@pytest.mark.parametrize(("operator", "operand", "value"), DOES_NOT_HOLD, ids=shorten)
def test_condition_does_not_hold(operator: str, operand: Any, value: Any) -> None:
    """The value does not pass: it differs, is absent, or has another type."""
    assert not matches({"payload.x": {operator: operand}}, **members(value))


def test_all_operators_of_a_fact_must_hold() -> None:
    """Two bounds make a range."""
    between = {"payload.x": {"gte": 1, "lt": 3}}

    assert [matches(between, payload={"x": x}) for x in (0, 1, 2, 3)] == [False, True, True, False]


def test_conditions_of_all_facts_must_hold() -> None:
    """One condition that does not hold is enough for a rule not to match."""
    both = {"payload.x": {"equals": 1}, "payload.y": {"equals": 2}}

    assert matches(both, payload={"x": 1, "y": 2})
    assert not matches(both, payload={"x": 1})


def test_rule_without_conditions_always_matches() -> None:
    """An empty `when` matches every request."""
    assert matches({})
