"""Compiles a validated policy file to policies."""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.allocation import engine
from shared.allocation.decision import AllocationPolicy
from shared.allocation.facts import find_fact
from shared.allocation.operators import OPERATORS
from shared.allocation.policy_file.models import (
    OTHERWISE,
    Assigns,
    Hashed,
    Kept,
    PolicyFile,
    Python,
    Refuses,
    Rules,
)
from shared.allocation.python_policy import PythonPolicy
from shared.allocation.templates import compile_template

ONLY_HUB = "only linked hub"
"""The last rule of a policy without `otherwise`: keeps a device on the only linked hub."""


def compile_policies(file: PolicyFile) -> dict[str, AllocationPolicy]:
    """Returns all policies of a file by name."""
    return {name: _compile_policy(policy) for name, policy in file.policies.items()}


def _compile_policy(policy: Rules | Python) -> AllocationPolicy:
    if isinstance(policy, Python):
        return PythonPolicy(policy.python)
    rules = [
        engine.Rule(
            name=rule.name,
            conditions=tuple(_compile_conditions(rule.when)),
            decide=_compile_outcome(rule.name, rule),
        )
        for rule in policy.rules
    ]
    return engine.RulePolicy((*rules, _compile_otherwise(policy.otherwise)))


def _compile_otherwise(otherwise: Assigns | Refuses | None) -> engine.Rule:
    if otherwise:
        decide = _compile_outcome(OTHERWISE, otherwise)
        return engine.Rule(name=OTHERWISE, conditions=(), decide=decide)
    keep = engine.assign(ONLY_HUB, lambda _: None, lambda _: None, lambda _: None)
    return engine.Rule(name=ONLY_HUB, conditions=(), decide=keep)


def _compile_conditions(when: Mapping[str, Any]) -> Iterator[engine.Condition]:
    for name, condition in when.items():
        fact = find_fact(name)
        operands = condition.model_dump(by_alias=True, exclude_unset=True)
        for operator, operand in operands.items():
            test = OPERATORS[operator].test_for(
                operand, ignore_case=fact is not None and fact.ignores_case
            )
            yield engine.Condition(fact=name, operator=operator, operand=operand, test=test)


def _compile_outcome(name: str, outcome: Assigns | Refuses) -> engine.Decide:
    if isinstance(outcome, Refuses):
        return engine.refuse(name, outcome.reject)
    twin = outcome.initial_twin
    return engine.assign(
        name,
        _compile_hub(outcome.hub),
        compile_template(twin.model_dump(by_alias=True, exclude_none=True) if twin else None),
        compile_template(outcome.payload),
    )


def _compile_hub(hub: str | Kept | Hashed) -> engine.ChooseHub:
    if isinstance(hub, Hashed):
        return engine.choose_by_weight(hub.hash)
    return engine.choose_current if isinstance(hub, Kept) else engine.choose_named(hub)
