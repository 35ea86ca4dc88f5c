"""The examples do what they are there to show."""

from pathlib import Path

import pytest

from shared.allocation import AllocationRequest, Assignment, Refusal, decide
from shared.allocation.files import read
from tests.shared.allocation.asking import HUB_1, HUB_2, HUB_3, HUB_4

EXAMPLES = Path(__file__).parents[3] / "examples"
POLICIES = read(EXAMPLES / "allocation.json")
REQUESTS = {path.stem: path for path in (EXAMPLES / "allocation-requests").glob("*.json")}

# By the file: the policy it is for, the rule that decides, and the hub or the reason.
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


def test_policies_have_no_oddities():
    """What people copy is clean."""
    assert POLICIES.warnings == ()


def test_every_request_is_known():
    """No file is there that no test looks at."""
    assert REQUESTS.keys() == DECIDED.keys()


@pytest.mark.parametrize("name", DECIDED)
def test_request_is_decided(name):
    """Each request shows one rule."""
    policy, rule, result = DECIDED[name]
    request = AllocationRequest.parse(REQUESTS[name].read_bytes())

    match decide(POLICIES.named(policy), request):
        case Assignment() as found:
            assert (found.rule, found.hub) == (rule, result)
        case Refusal() as found:
            assert (found.rule, found.reason) == (rule, result)


def test_every_policy_has_a_request():
    """There is something to try with each policy."""
    assert {policy for policy, _, _ in DECIDED.values()} == set(POLICIES.by_name)
