"""Asking a policy: for its decision, or for its reasons as well."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from shared.allocation.decisions import AllocationPolicy, Assignment, Decision, Refusal
from shared.allocation.requests import AllocationRequest
from shared.allocation.rules import RulePolicy, Trial
from shared.errors import NoHubError

MAX_OPERANDS = 20
"""How much of a long list an explanation repeats."""


def decide(policy: AllocationPolicy, request: AllocationRequest) -> Decision:
    """
    What a policy decides, its hub spelt as DPS spells it.

    Raises `NoHubError` if it knows no hub, or knows one that is not linked: DPS is never given a
    hub that it did not offer.
    """
    decision = policy(request)
    if isinstance(decision, Refusal):
        return decision
    if not isinstance(decision, Assignment):
        raise TypeError("a policy gives an Assignment or a Refusal")
    hub = request.linked(decision.hub)
    if hub is None:
        raise NoHubError("The policy chose a hub that is not linked.")
    return decision if hub == decision.hub else replace(decision, hub=hub)


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """`outcome` is what `decide` gives or raises; `rules` has each rule with what became of it."""

    outcome: Decision | NoHubError
    rules: list[dict[str, Any]]


def explain(policy: AllocationPolicy, request: AllocationRequest) -> Explanation:
    """What a policy decides, and why; a policy in Python keeps its reasons to itself."""
    rules = list(_rules(policy, request)) if isinstance(policy, RulePolicy) else []
    try:
        return Explanation(outcome=decide(policy, request), rules=rules)
    except NoHubError as error:
        return Explanation(outcome=error, rules=rules)


def _rules(policy: RulePolicy, request: AllocationRequest) -> Iterator[dict[str, Any]]:
    trials = list(policy.trials(request))
    for trial in trials:
        yield {"name": trial.rule.name} | _result(trial)
    for rule in policy.rules[len(trials) :]:
        yield {"name": rule.name, "result": "not reached"}


def _result(trial: Trial) -> dict[str, Any]:
    if trial.decision:
        return {"result": "decides"}
    if not trial.failed:
        return {"result": "matches, but has no hub that is linked"}
    failed = {
        "fact": trial.failed.fact,
        "operator": trial.failed.operator,
        "operand": _shortened(trial.failed.operand),
        "value": trial.value,
    }
    return {"result": "does not match", "failed": failed}


def _shortened(operand: Any) -> Any:
    if not isinstance(operand, list) or len(operand) <= MAX_OPERANDS:
        return operand
    return [*operand[:MAX_OPERANDS], f"… and {len(operand) - MAX_OPERANDS} more"]
