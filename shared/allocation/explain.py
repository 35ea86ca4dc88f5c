"""Explanations of decisions: the result of each rule, and what DPS does with the answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from shared.allocation.decision import AllocationPolicy, Assignment, Decision, decide
from shared.allocation.engine import RulePolicy, RuleResult
from shared.allocation.facts import value_at
from shared.allocation.request import AllocationRequest
from shared.errors import NoHubError

MAX_OPERANDS = 20
"""How many items of a list an explanation repeats."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """The outcome, which is what `decide` returns or raises, and the result of each rule."""

    outcome: Decision | NoHubError
    rules: list[dict[str, Any]]


def explain(policy: AllocationPolicy, request: AllocationRequest) -> Explanation:
    """Returns the policy's decision with the result of each rule; a Python policy has none."""
    rules = list(_explain_rules(policy, request)) if isinstance(policy, RulePolicy) else []
    try:
        return Explanation(outcome=decide(policy, request), rules=rules)
    except NoHubError as error:
        return Explanation(outcome=error, rules=rules)


def _explain_rules(policy: RulePolicy, request: AllocationRequest) -> Iterator[dict[str, Any]]:
    results = list(policy.evaluate(request))
    for result in results:
        yield {"name": result.rule.name} | _explain_result(result)
    for rule in policy.rules[len(results) :]:
        yield {"name": rule.name, "result": "not reached"}


def _explain_result(result: RuleResult) -> dict[str, Any]:
    if result.decision:
        return {"result": "decides"}
    if not result.failed:
        return {"result": "matches, but has no hub that is linked"}
    failed = {
        "fact": result.failed.fact,
        "operator": result.failed.operator,
        "operand": _shorten(result.failed.operand),
        "value": result.value,
    }
    return {"result": "does not match", "failed": failed}


def _shorten(operand: Any) -> Any:
    if not isinstance(operand, list) or len(operand) <= MAX_OPERANDS:
        return operand
    return [*operand[:MAX_OPERANDS], f"… and {len(operand) - MAX_OPERANDS} more"]


# What DPS does with an answer:
# https://learn.microsoft.com/azure/iot-dps/concepts-custom-allocation and
# https://learn.microsoft.com/azure/iot-dps/concepts-device-reprovision


def describe_failure(status: HTTPStatus) -> str:
    """Says what DPS does after an answer other than 200."""
    if status >= HTTPStatus.TOO_MANY_REQUESTS:
        return (
            "DPS retries ten times within about seven minutes; until then the device sees the "
            'status "assigning". After that the registration fails.'
        )
    return (
        "The registration fails with 400207: Custom allocation failed with status code: "
        f"{status.value}. The device receives no other details."
    )


def describe_assignment(assignment: Assignment, request: AllocationRequest) -> str:
    """Says what DPS does with a hub, an initial twin and a payload."""
    twin = "the rule's" if assignment.initial_twin is not None else "the enrollment's"
    description = _hub_effect(assignment.hub, request).format(hub=assignment.hub, twin=twin)
    payload = "" if assignment.payload is None else " The device receives the payload."
    return description + payload


def _hub_effect(hub: str, request: AllocationRequest) -> str:
    if request.current_hub is None:
        return "The device is assigned to {hub}; its twin is created from {twin} initialTwin."
    if request.current_hub.lower() == hub.lower():
        return "The device stays on {hub} and keeps its twin; an initialTwin is ignored."
    policy = value_at(request.enrollment, ("reprovisionPolicy",))
    members = policy if isinstance(policy, Mapping) else {}
    flags = (members.get(name) for name in ("updateHubAssignment", "migrateDeviceData"))
    key = tuple(flag if isinstance(flag, bool) else None for flag in flags)
    return _MOVES.get(key, _NO_REPROVISION_POLICY)


_MUST_NOT_MOVE = (
    "The enrollment's reprovision policy forbids moving the device, yet DPS offered {hub}."
)
_NO_REPROVISION_POLICY = (
    "The device moves to {hub}; the enrollment has no reprovision policy that says whether its "
    "twin moves too."
)
# By updateHubAssignment and migrateDeviceData of the enrollment's reprovision policy.
_MOVES: Mapping[tuple[bool | None, ...], str] = {
    (True, True): "The device moves to {hub} with its twin; an initialTwin is ignored.",
    (True, False): "The device moves to {hub}; its twin is created from {twin} initialTwin.",
    (False, True): _MUST_NOT_MOVE,
    (False, False): _MUST_NOT_MOVE,
}
