"""Sample allocation requests, and policies made of rules."""

import json
from collections.abc import Mapping
from typing import Any

from shared.allocation import AllocationPolicy, AllocationRequest, Assignment, Decision, decide
from shared.allocation.policy_file.load import parse_policies

HUBS = tuple(f"hub-{number}.azure-devices.net" for number in range(1, 5))
HUB_1, HUB_2, HUB_3, HUB_4 = HUBS

GROUP = {
    "enrollmentGroupId": "Heating",
    "attestation": {"type": "symmetricKey"},
    "capabilities": {"iotEdge": False},
    "etag": '"5d01a7c2-0000-0d00-0000-690000000000"',
    "allocationPolicy": "custom",
    "customAllocationDefinition": {
        "webhookUrl": "https://a.example/allocation?****",
        "apiVersion": "2021-10-01",
    },
}


def body(
    *,
    hubs: tuple[str, ...] = HUBS,
    group: Mapping[str, Any] | None = GROUP,
    individual: Mapping[str, Any] | None = None,
    **context: Any,
) -> dict[str, Any]:
    """Returns a request body as DPS sends it; `context` are members of `deviceRuntimeContext`."""
    record = {"individualEnrollment": individual} if individual else {"enrollmentGroup": group}
    defaults = {"registrationId": "dev-1", "symmetricKey": {}}
    return {**record, "deviceRuntimeContext": defaults | context, "linkedHubs": list(hubs)}


def make_request(**members: Any) -> AllocationRequest:
    """Returns the request of this body."""
    return AllocationRequest.parse(json.dumps(body(**members)).encode())


def make_policy(*rules: Any, **more: Any) -> AllocationPolicy:
    """Returns the policy of these rules; rules without a name are numbered."""
    named = [{"name": f"rule {number}"} | rule for number, rule in enumerate(rules, start=1)]
    file = {"policies": {"default": {"rules": named} | more}}
    return parse_policies(json.dumps(file).encode()).get("default")


def decide_for(policy: AllocationPolicy, **members: Any) -> Decision:
    """Returns what a policy decides about the request of this body."""
    return decide(policy, make_request(**members))


def assign(policy: AllocationPolicy, **members: Any) -> Assignment:
    """Returns the same decision, which must be an assignment."""
    decision = decide_for(policy, **members)
    assert isinstance(decision, Assignment)
    return decision


def matches(when: Mapping[str, Any], **members: Any) -> bool:
    """Returns whether these conditions hold for the request of this body."""
    policy = make_policy({"when": when, "hub": HUB_1}, otherwise={"hub": HUB_2})
    return assign(policy, **members).hub == HUB_1
