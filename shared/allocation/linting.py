"""What is odd in a policy file that is valid: it decides, but perhaps not as its author thinks."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from shared.allocation.checking import Fault, hubs_in
from shared.allocation.facts import fact_of
from shared.allocation.implying import Said, contradicts, implies
from shared.allocation.language import (
    OTHERWISE,
    AssigningRule,
    Assigns,
    Hashed,
    PolicyFile,
    Refuses,
    Rules,
)
from shared.allocation.rules import OTHERS
from shared.allocation.templates import placeholders
from shared.documents import pointer

_DEVICE_CERTIFICATE = "deviceCertificate."
_MAY_NEVER_HOLD = (
    "never holds unless DPS sends the device's certificate; Microsoft has not published whether "
    "it does"
)


def oddities_in(file: PolicyFile, document: Any) -> Iterator[Fault]:
    """Each with its JSON Pointer; `document` is what `file` was read from."""
    yield from _hubs_without_rule(file, document)
    for name, policy in file.policies.items():
        if isinstance(policy, Rules):
            yield from _in_rules(policy, "policies", name)


def _hubs_without_rule(file: PolicyFile, document: Any) -> Iterator[Fault]:
    named = {hub.lower() for _, hub in hubs_in(document)}
    for index, hub in enumerate(file.hubs or ()):
        if hub.lower() not in named and OTHERS not in named:
            yield pointer("hubs", index), "is named by no rule"


def _in_rules(policy: Rules, *at: object) -> Iterator[Fault]:
    earlier: list[tuple[str, frozenset[Said]]] = []
    for index, rule in enumerate(policy.rules):
        steps = (*at, "rules", index)
        said = frozenset(_said(rule.when))
        yield from _unreachable(said, earlier, steps)
        yield from _in_conditions(said, steps)
        yield from _in_outcome(rule, said, steps)
        if _always_decides(rule):
            earlier.append((rule.name, said))
    if policy.otherwise:
        yield from _unreachable(frozenset(), earlier, (*at, OTHERWISE))
        yield from _in_outcome(policy.otherwise, frozenset(), (*at, OTHERWISE))
    elif not any(not said for _, said in earlier):
        yield pointer(*at), "has no `otherwise`: a device that no rule decides on is answered 503"


def _said(when: Mapping[str, Any]) -> Iterator[Said]:
    for fact, condition in when.items():
        for operator, operand in condition.model_dump(by_alias=True, exclude_unset=True).items():
            operands = operand if isinstance(operand, list) else [operand]
            yield Said(fact, operator, tuple(_as_compared(fact, operator, operands)))


def _as_compared(fact: str, operator: str, operands: list[Any]) -> Iterator[Any]:
    found = fact_of(fact)
    # In a pattern small letters and capitals may be different classes.
    ignores_case = found and found.ignores_case and operator != "matches"
    for operand in operands:
        yield operand.lower() if ignores_case and isinstance(operand, str) else operand


def _unreachable(
    said: frozenset[Said], earlier: list[tuple[str, frozenset[Said]]], steps: tuple[object, ...]
) -> Iterator[Fault]:
    for name, said_before in earlier:
        if all(any(implies(one, other) for one in said) for other in said_before):
            yield pointer(*steps), f'is never reached: the rule "{name}" takes all its devices'
            return


def _in_conditions(said: frozenset[Said], steps: tuple[object, ...]) -> Iterator[Fault]:
    for fact in sorted({one.fact for one in said}):
        of_fact = [one for one in said if one.fact == fact]
        place = pointer(*steps, "when", fact)
        if any(contradicts(one, other) for one in of_fact for other in of_fact):
            yield place, "never holds: what it asks excludes itself"
        if fact.startswith(_DEVICE_CERTIFICATE) and not _is_absent(of_fact):
            yield place, _MAY_NEVER_HOLD


def _is_absent(said: list[Said]) -> bool:
    return any(one.operator == "exists" and one.operands == (False,) for one in said)


def _in_outcome(
    outcome: Assigns | Refuses, said: frozenset[Said], steps: tuple[object, ...]
) -> Iterator[Fault]:
    if isinstance(outcome, Refuses):
        return
    if isinstance(outcome.hub, Hashed) and outcome.hub.hash and not any(outcome.hub.hash.values()):
        yield pointer(*steps, "hub"), "gives every hub the weight 0: it never has a candidate"
    there = {one.fact for one in said if not _is_absent([one])}
    twin = outcome.initial_twin.model_dump(by_alias=True) if outcome.initial_twin else None
    templates = chain(
        placeholders(twin, *steps, "initialTwin"),
        placeholders(outcome.payload, *steps, "payload"),
    )
    for place, name in templates:
        fact = fact_of(name)
        if name not in there and not (fact and fact.always):
            yield place, f"is left out where a device has no {name}: no condition asks for it"


def _always_decides(rule: AssigningRule | Refuses) -> bool:
    """Whether the rule has an answer for every request that it matches."""
    if isinstance(rule, Refuses):
        return True
    hub = rule.hub
    return isinstance(hub, Hashed) and (
        not hub.hash or (OTHERS in hub.hash and all(hub.hash.values()))
    )
