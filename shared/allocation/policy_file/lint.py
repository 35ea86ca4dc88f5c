"""Finds likely mistakes in a valid policy file."""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

from shared.allocation.engine import OTHER_HUBS
from shared.allocation.facts import find_fact
from shared.allocation.policy_file.models import (
    OTHERWISE,
    AssigningRule,
    Assigns,
    Hashed,
    PolicyFile,
    Refuses,
    Rules,
)
from shared.allocation.policy_file.validate import Fault, find_hubs
from shared.allocation.templates import find_placeholders
from shared.json_documents import pointer

_MAX_COMPARED_RULES = 100  # with each later rule: the time is that of all pairs
_DEVICE_CERTIFICATE = "deviceCertificate."
_MAY_NEVER_HOLD = (
    "never holds unless DPS sends the device's certificate, which Microsoft has not documented"
)


class Constraint(NamedTuple):
    """An operator that must hold for a fact; a single operand is a tuple of one."""

    fact: str
    operator: str
    operands: tuple[Any, ...]
    keys: frozenset[Any]
    """The operands, by what makes them equal in JSON."""


def find_warnings(file: PolicyFile, document: Any) -> Iterator[Fault]:
    """Yields all warnings; `document` is the JSON that `file` was read from."""
    yield from _unused_hubs(file, document)
    for name, policy in file.policies.items():
        if isinstance(policy, Rules):
            yield from _in_rules(policy, "policies", name)


def _unused_hubs(file: PolicyFile, document: Any) -> Iterator[Fault]:
    named = {hub.lower() for _, hub in find_hubs(document)}
    for index, hub in enumerate(file.hubs or ()):
        if hub.lower() not in named and OTHER_HUBS not in named:
            yield pointer("hubs", index), "is not named by any rule"


def _in_rules(policy: Rules, *path: object) -> Iterator[Fault]:
    earlier: list[tuple[str, frozenset[Constraint]]] = []
    has_catch_all = False
    for index, rule in enumerate(policy.rules):
        rule_path = (*path, "rules", index)
        constraints = frozenset(_constraints(rule.when))
        yield from _unreachable(constraints, earlier, rule_path)
        yield from _in_conditions(constraints, rule_path)
        yield from _in_outcome(rule, constraints, rule_path)
        has_catch_all = has_catch_all or (_always_decides(rule) and not constraints)
        if _always_decides(rule) and len(earlier) < _MAX_COMPARED_RULES:
            earlier.append((rule.name, constraints))
    if policy.otherwise:
        yield from _unreachable(frozenset(), earlier, (*path, OTHERWISE))
        yield from _in_outcome(policy.otherwise, frozenset(), (*path, OTHERWISE))
    elif not has_catch_all:
        yield pointer(*path), "has no `otherwise`: a device that no rule decides about gets a 503"


def _constraints(when: Mapping[str, Any]) -> Iterator[Constraint]:
    for fact, condition in when.items():
        for operator, operand in condition.model_dump(by_alias=True, exclude_unset=True).items():
            operands = operand if isinstance(operand, list) else [operand]
            normal = tuple(_normalize(fact, operator, operands))
            # In Python True equals 1, in JSON it does not.
            keys = frozenset((isinstance(operand, bool), operand) for operand in normal)
            yield Constraint(fact, operator, normal, keys)


def _normalize(name: str, operator: str, operands: list[Any]) -> Iterator[Any]:
    fact = find_fact(name)
    # In a pattern case may matter: \d and \D are different classes.
    ignores_case = fact and fact.ignores_case and operator != "matches"
    for operand in operands:
        yield operand.lower() if ignores_case and isinstance(operand, str) else operand


def _unreachable(
    constraints: frozenset[Constraint],
    earlier: list[tuple[str, frozenset[Constraint]]],
    path: tuple[object, ...],
) -> Iterator[Fault]:
    for name, others in earlier:
        if all(any(_implies(constraint, other) for constraint in constraints) for other in others):
            yield pointer(*path), f'is never reached: rule "{name}" decides about all its devices'
            return


def _in_conditions(constraints: frozenset[Constraint], path: tuple[object, ...]) -> Iterator[Fault]:
    for fact in sorted({constraint.fact for constraint in constraints}):
        of_fact = [constraint for constraint in constraints if constraint.fact == fact]
        location = pointer(*path, "when", fact)
        if any(_contradicts(constraint, other) for constraint in of_fact for other in of_fact):
            yield location, "never holds: its operators contradict each other"
        if fact.startswith(_DEVICE_CERTIFICATE) and not any(map(_is_absence, of_fact)):
            yield location, _MAY_NEVER_HOLD


def _is_absence(constraint: Constraint) -> bool:
    return constraint.operator == "exists" and constraint.operands == (False,)


def _in_outcome(
    outcome: Assigns | Refuses, constraints: frozenset[Constraint], path: tuple[object, ...]
) -> Iterator[Fault]:
    if isinstance(outcome, Refuses):
        return
    if isinstance(outcome.hub, Hashed) and outcome.hub.hash and not any(outcome.hub.hash.values()):
        yield pointer(*path, "hub"), "has only weights of 0: the rule never has a hub"
    present = {constraint.fact for constraint in constraints if not _is_absence(constraint)}
    twin = outcome.initial_twin.model_dump(by_alias=True) if outcome.initial_twin else None
    placeholders = chain(
        find_placeholders(twin, *path, "initialTwin"),
        find_placeholders(outcome.payload, *path, "payload"),
    )
    for location, name in placeholders:
        fact = find_fact(name)
        if name not in present and not (fact and fact.is_always_present):
            yield location, f"is omitted for a device without {name}, which no condition requires"


def _always_decides(rule: AssigningRule | Refuses) -> bool:
    """Returns whether the rule decides about every request that it matches."""
    if isinstance(rule, Refuses):
        return True
    hub = rule.hub
    return isinstance(hub, Hashed) and (
        not hub.hash or (OTHER_HUBS in hub.hash and all(hub.hash.values()))
    )


# Static analysis of constraints: does one imply or contradict another?


_ONE_OF = {"equals", "in"}


def _is_subset(constraint: Constraint, other: Constraint) -> bool:
    return constraint.operator in _ONE_OF and constraint.keys <= other.keys


def _is_disjoint(constraint: Constraint, other: Constraint) -> bool:
    if constraint.operator == "notIn":
        return constraint.keys >= other.keys
    return constraint.operator in _ONE_OF and not constraint.keys & other.keys


def _starts_with(constraint: Constraint, other: Constraint) -> bool:
    return constraint.operator in {*_ONE_OF, "startsWith"} and all(
        isinstance(text, str) and text.startswith(other.operands) for text in constraint.operands
    )


def _ends_with(constraint: Constraint, other: Constraint) -> bool:
    return constraint.operator in {*_ONE_OF, "endsWith"} and all(
        isinstance(text, str) and text.endswith(other.operands) for text in constraint.operands
    )


def _is_present(constraint: Constraint, other: Constraint) -> bool:
    return other.operands == (True,) and constraint.operator != "exists"


# By the operator of `other`: whether `constraint` implies it.
_IMPLIES: Mapping[str, Callable[[Constraint, Constraint], bool]] = {
    "equals": _is_subset,
    "in": _is_subset,
    "notIn": _is_disjoint,
    "startsWith": _starts_with,
    "endsWith": _ends_with,
    "exists": _is_present,
}


def _implies(constraint: Constraint, other: Constraint) -> bool:
    """Returns whether `other` certainly holds wherever `constraint` does."""
    if constraint.fact != other.fact:
        return False
    if constraint.operator == other.operator and constraint.keys == other.keys:
        return True
    return other.operator in _IMPLIES and _IMPLIES[other.operator](constraint, other)


def _contradicts(constraint: Constraint, other: Constraint) -> bool:
    """Returns whether certainly no value meets both constraints of one fact."""
    if _is_absence(constraint):
        return other != constraint
    if constraint.operator not in _ONE_OF:
        return False
    if other.operator == "notIn":
        return constraint.keys <= other.keys
    return other.operator in _ONE_OF and not constraint.keys & other.keys
