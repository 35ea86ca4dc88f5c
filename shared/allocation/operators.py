"""
Operators: what a rule may say about a fact, one row each.

A value of a kind the operator does not know, or no value at all, never passes; only `exists` asks
whether there is one. So a rule that says nothing of a missing fact does not match without it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any

from shared.allocation.ordering import order_of
from shared.allocation.patterns import Pattern
from shared.allocation.requests import AllocationRequest
from shared.allocation.syntax import PatternError

Test = Callable[[Any, AllocationRequest], bool]
Schema = Mapping[str, Any]

_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_SCALARS: Schema = {"type": "array", "items": _SCALAR, "minItems": 1}
_TEXTS: Schema = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
}
_TRUTH: Schema = {"type": "boolean"}
_BOUND: Schema = {"type": ["number", "string"]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Operator:
    """`fault` says what is wrong with an operand, `test` makes the test from a good one."""

    meaning: str
    schema: Schema
    fault: Callable[[Any], str | None]
    test: Callable[[Any], Test]
    test_without_case: Callable[[Any], Test] | None = None
    """Where small letters in the operand do not make the test blind for capitals."""

    def test_of(self, operand: Any, *, ignore_case: bool) -> Test:
        """The test of a value, which comes in small letters where case is ignored."""
        if not ignore_case:
            return self.test(operand)
        if self.test_without_case:
            return self.test_without_case(operand)
        test = self.test(_small(operand))
        return lambda value, request: test(_small(value), request)


def _small(value: Any) -> Any:
    if isinstance(value, str):
        return value.lower()
    return [_small(item) for item in value] if isinstance(value, list) else value


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _must(is_good: Callable[[Any], bool], words: str) -> Callable[[Any], str | None]:
    return lambda operand: None if is_good(operand) else words


def _are_texts(operand: Any) -> bool:
    texts = operand if isinstance(operand, list) else [operand]
    return bool(texts) and all(isinstance(text, str) for text in texts)


_SCALAR_FAULT = _must(_is_scalar, "must be a string, a number, true or false")
_SCALARS_FAULT = _must(
    lambda operand: isinstance(operand, list) and bool(operand) and all(map(_is_scalar, operand)),
    "must be a list of strings, numbers, true or false, and not empty",
)
_TEXTS_FAULT = _must(_are_texts, "must be a string, or a list of strings that is not empty")
_TRUTH_FAULT = _must(lambda operand: isinstance(operand, bool), "must be true or false")
_BOUND_FAULT = _must(
    lambda operand: order_of(operand) is not None,
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


def _key(value: Any) -> Any:
    """What equal scalars share: to Python `true` is 1, in JSON it is not."""
    if isinstance(value, str):
        return value
    return (isinstance(value, bool), value) if isinstance(value, int | float) else None


def _in(operand: list[Any]) -> Test:
    if _are_texts(operand):  # nearly always, and every rule asks
        texts = frozenset(operand)
        return lambda value, _: isinstance(value, str) and value in texts
    keys = frozenset(map(_key, operand))
    return lambda value, _: _key(value) in keys


def _not_in(operand: list[Any]) -> Test:
    keys = frozenset(map(_key, operand))
    return lambda value, _: value is not None and _key(value) not in keys


def _begins(operand: Any) -> Test:
    texts = tuple(operand) if isinstance(operand, list) else operand
    return lambda value, _: isinstance(value, str) and value.startswith(texts)


def _ends(operand: Any) -> Test:
    texts = tuple(operand) if isinstance(operand, list) else operand
    return lambda value, _: isinstance(value, str) and value.endswith(texts)


def _contains(operand: Any) -> Test:
    wanted = _key(operand)

    def test(value: Any, _: AllocationRequest) -> bool:
        if isinstance(value, list):
            return any(_key(item) == wanted for item in value)
        return isinstance(value, str) and isinstance(operand, str) and operand in value

    return test


def _matches(operand: str, *, ignore_case: bool = False) -> Test:
    pattern = Pattern(operand, ignore_case=ignore_case)
    return lambda value, _: isinstance(value, str) and pattern.matches(value)


def _compares(holds: Callable[[Any, Any], bool]) -> Callable[[Any], Test]:
    def make(operand: Any) -> Test:
        order = order_of(operand) or (lambda _: None)
        bound = order(operand)

        def test(value: Any, _: AllocationRequest) -> bool:
            found = order(value)
            return found is not None and holds(found, bound)

        return test

    return make


def _ordering(words: str, holds: Callable[[Any, Any], bool]) -> Operator:
    return Operator(
        meaning=f"Is {words} this number, version or time.",
        schema=_BOUND,
        fault=_BOUND_FAULT,
        test=_compares(holds),
    )


OPERATORS: Mapping[str, Operator] = {
    "equals": Operator(
        meaning="Is this.",
        schema=_SCALAR,
        fault=_SCALAR_FAULT,
        test=lambda operand: _in([operand]),
    ),
    "in": Operator(meaning="Is one of these.", schema=_SCALARS, fault=_SCALARS_FAULT, test=_in),
    "notIn": Operator(
        meaning="Is there, and none of these.",
        schema=_SCALARS,
        fault=_SCALARS_FAULT,
        test=_not_in,
    ),
    "matches": Operator(
        meaning="Is a text that this pattern describes from its beginning to its end.",
        schema={"type": "string"},
        fault=_pattern_fault,
        test=_matches,
        test_without_case=lambda operand: _matches(operand, ignore_case=True),
    ),
    "startsWith": Operator(
        meaning="Is a text that begins with this, or with one of these.",
        schema=_TEXTS,
        fault=_TEXTS_FAULT,
        test=_begins,
    ),
    "endsWith": Operator(
        meaning="Is a text that ends with this, or with one of these.",
        schema=_TEXTS,
        fault=_TEXTS_FAULT,
        test=_ends,
    ),
    "contains": Operator(
        meaning="Is a text with this in it, or a list with this among its items.",
        schema=_SCALAR,
        fault=_SCALAR_FAULT,
        test=_contains,
    ),
    "exists": Operator(
        meaning="`true`: is there. `false`: is not there, or null.",
        schema=_TRUTH,
        fault=_TRUTH_FAULT,
        test=lambda operand: lambda value, _: (value is not None) is operand,
    ),
    "lt": _ordering("less than", lt),
    "lte": _ordering("at most", le),
    "gt": _ordering("more than", gt),
    "gte": _ordering("at least", ge),
    "linked": Operator(
        meaning="`true`: is one of the hubs DPS accepts now. `false`: is another hub.",
        schema=_TRUTH,
        fault=_TRUTH_FAULT,
        test=lambda operand: (
            lambda value, request: (
                isinstance(value, str) and (request.linked(value) is not None) is operand
            )
        ),
    ),
}
