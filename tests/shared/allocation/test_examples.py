"""The policies and requests in examples/ work as described."""

from pathlib import Path

import pytest

from shared.allocation import AllocationRequest, Assignment, Refusal, decide
from shared.allocation.policy_file.load import load_policies
from tests.shared.allocation.samples import HUB_1, HUB_2, HUB_3, HUB_4

EXAMPLES = Path(__file__).parents[3] / "examples"
POLICIES = load_policies(EXAMPLES / "allocation.json")
REQUESTS = {path.stem: path for path in (EXAMPLES / "allocation-requests").glob("*.json")}

# By file name: the policy, the rule that decides, and the hub or the reason of the refusal.
DECIDED = {
    "by-depot-van": ("by-depot", "benelux", HUB_1),
    "by-tenant-camera": ("by-tenant", "fabrikam", HUB_3),
    "default-api-2019": ("default", "heat pumps elsewhere", HUB_3),
    "default-canary": ("default", "canary", HUB_4),
    "default-first-registration": ("default", "europe", HUB_1),
    "default-refused": ("default", "model not sold", "the model is not sold"),
    "default-reprovision-drained": ("default", "europe", HUB_1),
    "default-reprovision-never": ("default", "europe", HUB_2),
    "default-reprovision-stays": ("default", "stay, unless on hub-2", HUB_3),
    "pilot-stranger": ("pilot", "otherwise", "not on the list of the pilot"),
    "sticky-first-registration": ("sticky", "sticky", HUB_4),
}


def test_policies_have_no_warnings() -> None:
    """Users copy them, so the linter has nothing to say."""
    assert POLICIES.warnings == ()


def test_every_request_is_tested() -> None:
    """No file lacks an expected decision."""
    assert REQUESTS.keys() == DECIDED.keys()


@pytest.mark.parametrize("name", DECIDED)
def test_request_is_decided(name: str) -> None:
    """Each request is decided by the rule that it is an example of."""
    policy, rule, result = DECIDED[name]
    request = AllocationRequest.parse(REQUESTS[name].read_bytes())

    match decide(POLICIES.get(policy), request):
        case Assignment() as decision:
            assert (decision.rule, decision.hub) == (rule, result)
        case Refusal() as decision:
            assert (decision.rule, decision.reason) == (rule, result)


def test_every_policy_has_a_request() -> None:
    """Each policy can be tried with at least one request."""
    assert {policy for policy, _, _ in DECIDED.values()} == set(POLICIES.by_name)
