"""From the checked model of a policy file to policies that decide."""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.allocation import rules
from shared.allocation.decisions import AllocationPolicy
from shared.allocation.facts import fact_of
from shared.allocation.language import (
    OTHERWISE,
    Assigns,
    Hashed,
    InitialTwin,
    Kept,
    PolicyFile,
    Python,
    Refuses,
    Rules,
)
from shared.allocation.operators import OPERATORS
from shared.allocation.plugging import load
from shared.allocation.templates import compiled

ONLY_HUB = "only linked hub"
"""Decides last where a policy has no `otherwise`: a device DPS lets stay where it is, stays."""


def policies_of(file: PolicyFile) -> dict[str, AllocationPolicy]:
    """Every policy of a file by its name."""
    return {name: _policy(policy) for name, policy in file.policies.items()}


def _policy(policy: Rules | Python) -> AllocationPolicy:
    if isinstance(policy, Python):
        return load(policy.python)
    declared = [
        rules.Rule(
            name=rule.name,
            conditions=tuple(_conditions(rule.when)),
            decide=_decide(rule.name, rule),
        )
        for rule in policy.rules
    ]
    return rules.RulePolicy((*declared, _last(policy.otherwise)))


def _last(otherwise: Assigns | Refuses | None) -> rules.Rule:
    if otherwise:
        decide = _decide(OTHERWISE, otherwise)
        return rules.Rule(name=OTHERWISE, conditions=(), decide=decide)
    stay = rules.assigning(ONLY_HUB, lambda _: None, lambda _: None, lambda _: None)
    return rules.Rule(name=ONLY_HUB, conditions=(), decide=stay)


def _conditions(when: Mapping[str, Any]) -> Iterator[rules.Condition]:
    for name, condition in when.items():
        fact = fact_of(name)
        operands = condition.model_dump(by_alias=True, exclude_unset=True)
        for operator, operand in operands.items():
            test = OPERATORS[operator].test_of(
                operand, ignore_case=fact is not None and fact.ignores_case
            )
            yield rules.Condition(fact=name, operator=operator, operand=operand, test=test)


def _decide(name: str, outcome: Assigns | Refuses) -> rules.Decide:
    if isinstance(outcome, Refuses):
        return rules.refusing(name, outcome.reject)
    return rules.assigning(
        name,
        _choice(outcome.hub),
        compiled(_twin(outcome.initial_twin)),
        compiled(outcome.payload),
    )


def _twin(twin: InitialTwin | None) -> dict[str, Any] | None:
    return twin.model_dump(by_alias=True, exclude_none=True) if twin else None


def _choice(hub: str | Kept | Hashed) -> rules.Choice:
    if isinstance(hub, Hashed):
        return rules.hashed(hub.hash)
    return rules.keep if isinstance(hub, Kept) else rules.named(hub)
