"""What conditions say about each other, as far as that can be told without deciding anything."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Said(NamedTuple):
    """That one fact passes one operator; a single operand is a tuple of one."""

    fact: str
    operator: str
    operands: tuple[Any, ...]


_ONE_OF = {"equals", "in"}
_PREFIXED = {*_ONE_OF, "startsWith"}
_SUFFIXED = {*_ONE_OF, "endsWith"}


def _key(operand: Any) -> Any:
    return (isinstance(operand, bool), operand)


def _keys(said: Said) -> frozenset[Any]:
    return frozenset(map(_key, said.operands))


def _within(one: Said, other: Said) -> bool:
    return one.operator in _ONE_OF and _keys(one) <= _keys(other)


def _outside(one: Said, other: Said) -> bool:
    if one.operator == "notIn":
        return _keys(one) >= _keys(other)
    return one.operator in _ONE_OF and not _keys(one) & _keys(other)


def _prefixed(one: Said, other: Said) -> bool:
    return one.operator in _PREFIXED and all(
        isinstance(text, str) and text.startswith(other.operands) for text in one.operands
    )


def _suffixed(one: Said, other: Said) -> bool:
    return one.operator in _SUFFIXED and all(
        isinstance(text, str) and text.endswith(other.operands) for text in one.operands
    )


def _there(one: Said, other: Said) -> bool:
    return other.operands == (True,) and one.operator != "exists"


# By the operator of the condition that is to follow from the other.
_FOLLOWS: Mapping[str, Callable[[Said, Said], bool]] = {
    "equals": _within,
    "in": _within,
    "notIn": _outside,
    "startsWith": _prefixed,
    "endsWith": _suffixed,
    "exists": _there,
}


def implies(one: Said, other: Said) -> bool:
    """Whether `other` holds wherever `one` does; `False` where that is not plain."""
    if one.fact != other.fact:
        return False
    if one.operator == other.operator and _keys(one) == _keys(other):
        return True
    return other.operator in _FOLLOWS and _FOLLOWS[other.operator](one, other)


def contradicts(one: Said, other: Said) -> bool:
    """Whether no value passes both conditions of one fact; `False` where that is not plain."""
    if one.operator == "exists" and one.operands == (False,):
        return other != one
    if one.operator not in _ONE_OF:
        return False
    if other.operator == "notIn":
        return _keys(one) <= _keys(other)
    return other.operator in _ONE_OF and not _keys(one) & _keys(other)
