"""Makes the questions of DPS's, and the policies that answer them."""

import json
from collections.abc import Mapping
from typing import Any

from shared.allocation import AllocationPolicy, AllocationRequest, Assignment, Refusal, decide
from shared.allocation.files import parsed

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
    """A question as DPS sends it, about the device `dev-1` unless `context` says otherwise."""
    record = {"individualEnrollment": individual} if individual else {"enrollmentGroup": group}
    known = {"registrationId": "dev-1", "symmetricKey": {}}
    return {**record, "deviceRuntimeContext": known | context, "linkedHubs": list(hubs)}


def asked(**question: Any) -> AllocationRequest:
    """The same, read."""
    return AllocationRequest.parse(json.dumps(body(**question)).encode())


def policy(*rules: Any, **more: Any) -> AllocationPolicy:
    """The policy of these rules; each gets a name if it has none."""
    named = [{"name": f"rule {number}"} | rule for number, rule in enumerate(rules, start=1)]
    file = {"policies": {"default": {"rules": named} | more}}
    return parsed(json.dumps(file).encode()).named("default")


def decision(policy: AllocationPolicy, **question: Any) -> Assignment | Refusal:
    """What a policy decides on a question."""
    return decide(policy, asked(**question))


def matches(when: Mapping[str, Any], **question: Any) -> bool:
    """Whether these conditions hold of a question."""
    found = decision(
        policy({"when": when, "hub": HUB_1}, otherwise={"hub": HUB_2}),
        **question,
    )
    assert isinstance(found, Assignment)
    return found.hub == HUB_1
