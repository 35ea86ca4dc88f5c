"""A policy of rules, compiled: the first rule that matches and has a hub decides."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from shared.allocation import hashing
from shared.allocation.decisions import Assignment, Decision, Refusal
from shared.allocation.facts import Facts
from shared.allocation.operators import Test
from shared.allocation.requests import AllocationRequest
from shared.allocation.templates import LEFT_OUT, Render
from shared.errors import NoHubError

Choice = Callable[[AllocationRequest], str | None]
"""Gives one of the linked hubs; `None` if it has no candidate among them."""

Decide = Callable[[Facts], Decision | None]

OTHERS = "*"
"""In weights: every linked hub that is not named."""


def named(hub: str) -> Choice:
    """That hub, where it is linked."""
    return lambda request: request.linked(hub)


def keep(request: AllocationRequest) -> str | None:
    """The current hub, where it is linked."""
    return request.linked(request.current_hub)


def hashed(weights: Mapping[str, float]) -> Choice:
    """One of the linked hubs by weight; without weights all are alike."""
    weight_of = {hub.lower(): weight for hub, weight in (weights or {OTHERS: 1}).items()}
    of_others = weight_of.pop(OTHERS, 0)

    def choose(request: AllocationRequest) -> str | None:
        hubs = {hub: weight_of.get(hub.lower(), of_others) for hub in request.linked_hubs}
        return hashing.choose(request.registration_id, hubs)

    return choose


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One thing a rule says of one fact."""

    fact: str
    operator: str
    operand: Any
    test: Test


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """All conditions must hold; then `decide` decides, unless it has no candidate."""

    name: str
    conditions: tuple[Condition, ...]
    decide: Decide

    def first_failed(self, facts: Facts) -> Condition | None:
        """The first condition that does not hold."""
        for condition in self.conditions:
            if not condition.test(facts[condition.fact], facts.request):
                return condition
        return None


class Trial(NamedTuple):
    """What became of one rule; neither a failure nor a decision: it matched and had no hub."""

    rule: Rule
    failed: Condition | None
    value: Any
    """Of the fact in the failed condition."""
    decision: Decision | None


class RulePolicy:
    """A policy that tries rules in turn."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules

    def __call__(self, request: AllocationRequest) -> Decision:
        facts = Facts(request)
        for rule in self.rules:
            if not rule.first_failed(facts) and (decision := rule.decide(facts)):
                return decision
        raise NoHubError

    def trials(self, request: AllocationRequest) -> Iterator[Trial]:
        """Every rule as it is tried; the last one decided, if any did."""
        facts = Facts(request)
        for rule in self.rules:
            failed = rule.first_failed(facts)
            decision = None if failed else rule.decide(facts)
            yield Trial(rule, failed, facts[failed.fact] if failed else None, decision)
            if decision:
                return


def assigning(rule: str, choice: Choice, initial_twin: Render, payload: Render) -> Decide:
    """Decides for the hub of `choice`, or for the only one there can be."""

    def decide(facts: Facts) -> Decision | None:
        hub = choice(facts.request) or facts.request.only_hub
        if not hub:
            return None
        told = payload(facts)
        return Assignment(
            hub=hub,
            initial_twin=initial_twin(facts),
            payload=None if told is LEFT_OUT else told,
            rule=rule,
        )

    return decide


def refusing(rule: str, reason: str) -> Decide:
    """Decides against the device."""
    refusal = Refusal(reason=reason, rule=rule)
    return lambda _: refusal
