"""
Operators: the tests a rule can apply to a fact, one table row each.

A value of a type that an operator does not support never passes, nor does an absent one; only
`exists` tests for absence.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Any

from shared.allocation.patterns import Pattern, PatternError
from shared.allocation.request import AllocationRequest

Test = Callable[[Any, AllocationRequest], bool]
"""Whether a value passes."""
Schema = Mapping[str, Any]

_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_SCALARS: Schema = {"type": "array", "items": _SCALAR, "minItems": 1}
_TEXTS: Schema = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
}
_BOOLEAN: Schema = {"type": "boolean"}
_BOUND: Schema = {"type": ["number", "string"]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Operator:
    """One operator: `find_fault` validates an operand, `create_test` makes a test from it."""

    description: str
    schema: Schema
    """JSON Schema of the operand."""
    find_fault: Callable[[Any], str | None]
    create_test: Callable[[Any], Test]
    create_test_ignoring_case: Callable[[Any], Test] | None = None
    """Set only if lower-casing operand and value is not enough."""

    def test_for(self, operand: Any, *, ignore_case: bool) -> Test:
        """Returns the test for an operand."""
        if not ignore_case:
            return self.create_test(operand)
        if self.create_test_ignoring_case:
            return self.create_test_ignoring_case(operand)
        test = self.create_test(_lower(operand))
        return lambda value, request: test(_lower(value), request)


def _lower(value: Any) -> Any:
    if isinstance(value, str):
        return value.lower()
    return [_lower(item) for item in value] if isinstance(value, list) else value


# Ordering: numbers, dotted versions, points in time

Order = Callable[[Any], Any]
"""Returns a sort key, or None for a value of another type."""
_MAX_LENGTH = 100  # longer than any version or time


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,9}")


def _version(text: str) -> tuple[int, ...] | None:
    """Parses a version such as `12.0.2`; trailing zeros are dropped, so `1.0` equals `1`."""
    if not _VERSION.fullmatch(text):
        return None
    parts = [int(part) for part in text.split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


_TIME = re.compile(r"\d{4}-\d\d-\d\d(T.{1,40})?", re.ASCII)


def _time(text: str) -> datetime | None:
    """Parses a date or time in ISO 8601; without an offset it is in UTC."""
    if not _TIME.fullmatch(text):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _of_text(parse: Callable[[str], Any]) -> Order:
    cached = lru_cache(maxsize=128)(parse)  # many rules compare the same value of a device
    return lambda value: (
        cached(value) if isinstance(value, str) and len(value) <= _MAX_LENGTH else None
    )


_ORDERS: tuple[Order, ...] = (_number, _of_text(_version), _of_text(_time))


def _order_of(bound: Any) -> Order | None:
    """Returns how to compare values with a bound, or None if the bound has no order."""
    return next((order for order in _ORDERS if order(bound) is not None), None)


# Validation of operands


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _are_texts(operand: Any) -> bool:
    texts = operand if isinstance(operand, list) else [operand]
    return bool(texts) and all(isinstance(text, str) for text in texts)


def _must(is_valid: Callable[[Any], bool], fault: str) -> Callable[[Any], str | None]:
    return lambda operand: None if is_valid(operand) else fault


_SCALAR_FAULT = _must(_is_scalar, "must be a string, a number, true or false")
_SCALARS_FAULT = _must(
    lambda operand: isinstance(operand, list) and bool(operand) and all(map(_is_scalar, operand)),
    "must be a non-empty list of strings, numbers, true or false",
)
_TEXTS_FAULT = _must(_are_texts, "must be a string or a non-empty list of strings")
_BOOLEAN_FAULT = _must(lambda operand: isinstance(operand, bool), "must be true or false")
_BOUND_FAULT = _must(
    lambda operand: _order_of(operand) is not None,
    "must be a number, a version such as 1.2.0, or a time such as 2027-01-31T08:00:00Z",
)


def _pattern_fault(operand: Any) -> str | None:
    if not isinstance(operand, str):
        return "must be a pattern, which is a string"
    try:
        Pattern(operand)
    except PatternError as error:
        return str(error)
    return None


# Tests


def _key(value: Any) -> Any:
    """Returns a key that equal JSON scalars share: in Python True equals 1, in JSON it does not."""
    if isinstance(value, str):
        return value
    return (isinstance(value, bool), value) if isinstance(value, int | float) else None


def _in(operand: list[Any]) -> Test:
    if _are_texts(operand):  # the most frequent case, without a call of `_key` per value
        texts = frozenset(operand)
        return lambda value, _: isinstance(value, str) and value in texts
    keys = frozenset(map(_key, operand))
    return lambda value, _: _key(value) in keys


def _not_in(operand: list[Any]) -> Test:
    keys = frozenset(map(_key, operand))
    return lambda value, _: value is not None and _key(value) not in keys


def _starts_with(operand: Any) -> Test:
    prefixes = tuple(operand) if isinstance(operand, list) else operand
    return lambda value, _: isinstance(value, str) and value.startswith(prefixes)


def _ends_with(operand: Any) -> Test:
    suffixes = tuple(operand) if isinstance(operand, list) else operand
    return lambda value, _: isinstance(value, str) and value.endswith(suffixes)


def _contains(operand: Any) -> Test:
    key = _key(operand)

    def test(value: Any, _: AllocationRequest) -> bool:
        if isinstance(value, list):
            return any(_key(item) == key for item in value)
        return isinstance(value, str) and isinstance(operand, str) and operand in value

    return test


def _matches(operand: str, *, ignore_case: bool = False) -> Test:
    pattern = Pattern(operand, ignore_case=ignore_case)
    return lambda value, _: isinstance(value, str) and pattern.matches(value)


def _compare(holds: Callable[[Any, Any], bool]) -> Callable[[Any], Test]:
    def create_test(operand: Any) -> Test:
        order = _order_of(operand) or (lambda _: None)
        bound = order(operand)

        def test(value: Any, _: AllocationRequest) -> bool:
            key = order(value)
            return key is not None and holds(key, bound)

        return test

    return create_test


def _comparison(relation: str, holds: Callable[[Any, Any], bool]) -> Operator:
    return Operator(
        description=f"Is {relation} this number, version or time.",
        schema=_BOUND,
        find_fault=_BOUND_FAULT,
        create_test=_compare(holds),
    )


OPERATORS: Mapping[str, Operator] = {
    "equals": Operator(
        description="Is equal to this value.",
        schema=_SCALAR,
        find_fault=_SCALAR_FAULT,
        create_test=lambda operand: _in([operand]),
    ),
    "in": Operator(
        description="Is one of these values.",
        schema=_SCALARS,
        find_fault=_SCALARS_FAULT,
        create_test=_in,
    ),
    "notIn": Operator(
        description="Is present and none of these values.",
        schema=_SCALARS,
        find_fault=_SCALARS_FAULT,
        create_test=_not_in,
    ),
    "matches": Operator(
        description="Is a string that matches this pattern as a whole.",
        schema={"type": "string"},
        find_fault=_pattern_fault,
        create_test=_matches,
        # Lower-casing would turn the class `\D` into `\d`.
        create_test_ignoring_case=lambda operand: _matches(operand, ignore_case=True),
    ),
    "startsWith": Operator(
        description="Is a string that starts with this string, or with one of these.",
        schema=_TEXTS,
        find_fault=_TEXTS_FAULT,
        create_test=_starts_with,
    ),
    "endsWith": Operator(
        description="Is a string that ends with this string, or with one of these.",
        schema=_TEXTS,
        find_fault=_TEXTS_FAULT,
        create_test=_ends_with,
    ),
    "contains": Operator(
        description="Is a string that contains this string, or a list that contains this value.",
        schema=_SCALAR,
        find_fault=_SCALAR_FAULT,
        create_test=_contains,
    ),
    "exists": Operator(
        description="`true`: is present. `false`: is absent or null.",
        schema=_BOOLEAN,
        find_fault=_BOOLEAN_FAULT,
        create_test=lambda operand: lambda value, _: (value is not None) is operand,
    ),
    "lt": _comparison("less than", lt),
    "lte": _comparison("at most", le),
    "gt": _comparison("greater than", gt),
    "gte": _comparison("at least", ge),
    "linked": Operator(
        description="`true`: is a hub that DPS offers in this request. `false`: is any other hub.",
        schema=_BOOLEAN,
        find_fault=_BOOLEAN_FAULT,
        create_test=lambda operand: (
            lambda value, request: (
                isinstance(value, str) and (request.linked(value) is not None) is operand
            )
        ),
    ),
}
