"""The rule engine: the first rule that matches and has a hub decides."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from shared.allocation import hashing
from shared.allocation.decision import Assignment, Decision, Refusal
from shared.allocation.facts import Facts
from shared.allocation.operators import Test
from shared.allocation.request import AllocationRequest
from shared.allocation.templates import OMITTED, Render
from shared.errors import NoHubError

ChooseHub = Callable[[AllocationRequest], str | None]
"""Returns one of the linked hubs, or None if no candidate is linked."""

Decide = Callable[[Facts], Decision | None]
"""Returns the decision of a rule that matches, or None if it has no hub."""

OTHER_HUBS = "*"
"""In weights: every linked hub without its own weight."""


def choose_named(hub: str) -> ChooseHub:
    """Returns a function that chooses this hub, if it is linked."""
    return lambda request: request.linked(hub)


def choose_current(request: AllocationRequest) -> str | None:
    """Returns the current hub if it is linked, else None."""
    return request.linked(request.current_hub)


def choose_by_weight(weights: Mapping[str, float]) -> ChooseHub:
    """Returns a function that chooses a linked hub by weight; no weights mean equal weights."""
    weight_of = {hub.lower(): weight for hub, weight in (weights or {OTHER_HUBS: 1}).items()}
    default = weight_of.pop(OTHER_HUBS, 0)

    def choose(request: AllocationRequest) -> str | None:
        hubs = {hub: weight_of.get(hub.lower(), default) for hub in request.linked_hubs}
        return hashing.choose_hub(request.registration_id, hubs)

    return choose


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One operator applied to one fact."""

    fact: str
    operator: str
    operand: Any
    test: Test


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A rule: if all conditions hold, `decide` decides, unless it has no hub."""

    name: str
    conditions: tuple[Condition, ...]
    decide: Decide

    def find_failed(self, facts: Facts) -> Condition | None:
        """Returns the first condition that does not hold, else None."""
        request = facts.request
        for condition in self.conditions:
            if not condition.test(facts[condition.fact], request):
                return condition
        return None


class RuleResult(NamedTuple):
    """
    The evaluation of one rule.

    Without a failed condition and without a decision, the rule matched but had no hub.
    """

    rule: Rule
    failed: Condition | None
    value: Any
    """The fact that the failed condition tested."""
    decision: Decision | None


class RulePolicy:
    """A policy that evaluates rules in order."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules

    def __call__(self, request: AllocationRequest) -> Decision:
        facts = Facts(request)
        for rule in self.rules:
            if not rule.find_failed(facts) and (decision := rule.decide(facts)):
                return decision
        raise NoHubError

    def evaluate(self, request: AllocationRequest) -> Iterator[RuleResult]:
        """Yields the result of each rule, up to and including the one that decides."""
        facts = Facts(request)
        for rule in self.rules:
            failed = rule.find_failed(facts)
            decision = None if failed else rule.decide(facts)
            yield RuleResult(rule, failed, facts[failed.fact] if failed else None, decision)
            if decision:
                return


def assign(rule: str, choose: ChooseHub, initial_twin: Render, payload: Render) -> Decide:
    """Returns a function that assigns the chosen hub or, if there is none, `only_hub`."""

    def decide(facts: Facts) -> Decision | None:
        hub = choose(facts.request) or facts.request.only_hub
        if not hub:
            return None
        rendered = payload(facts)
        return Assignment(
            hub=hub,
            initial_twin=initial_twin(facts),
            payload=None if rendered is OMITTED else rendered,
            rule=rule,
        )

    return decide


def refuse(rule: str, reason: str) -> Decide:
    """Returns a function that refuses the device."""
    refusal = Refusal(reason=reason, rule=rule)
    return lambda _: refusal
