"""
What the webhook's answer makes DPS do, in words.

https://learn.microsoft.com/azure/iot-dps/concepts-custom-allocation and
https://learn.microsoft.com/azure/iot-dps/concepts-device-reprovision
"""

from collections.abc import Mapping
from http import HTTPStatus

from shared.allocation.decisions import Assignment
from shared.allocation.facts import at
from shared.allocation.requests import AllocationRequest


def of_failure(status: HTTPStatus) -> str:
    """What an answer other than 200 makes DPS do."""
    if status >= HTTPStatus.TOO_MANY_REQUESTS:
        return (
            "DPS asks again, ten times within about seven minutes; until then the device sees "
            '"assigning". After that the registration fails.'
        )
    return (
        "The registration fails with 400207: Custom allocation failed with status code: "
        f"{status.value}. The device is told no more than that."
    )


def of_assignment(assignment: Assignment, request: AllocationRequest) -> str:
    """What DPS does with a hub, a twin and a payload."""
    twin = "the rule's" if assignment.initial_twin is not None else "the enrollment's"
    words = _of_hub(assignment.hub, request).format(hub=assignment.hub, twin=twin)
    told = "" if assignment.payload is None else " It is told the payload."
    return words + told


def _of_hub(hub: str, request: AllocationRequest) -> str:
    if request.current_hub is None:
        return "The device is assigned to {hub}; its twin there begins as {twin} initialTwin."
    if request.current_hub.lower() == hub.lower():
        return "The device stays on {hub} and keeps its twin; an initialTwin is ignored."
    policy = at(request.enrollment, ("reprovisionPolicy",))
    known = policy if isinstance(policy, Mapping) else {}
    said = (known.get(name) for name in ("updateHubAssignment", "migrateDeviceData"))
    pair = tuple(value if isinstance(value, bool) else None for value in said)
    return _MOVES.get(pair, _UNSAID)


_NOT_TO_MOVE = "DPS was not to move the device, yet offered {hub}: see its reprovision policy."
_UNSAID = (
    "The device moves to {hub}; the enrollment has no reprovision policy that says what becomes of "
    "its twin."
)
# By updateHubAssignment and migrateDeviceData of the enrollment's reprovision policy.
_MOVES: Mapping[tuple[bool | None, ...], str] = {
    (True, True): "The device moves to {hub} and its twin with it; an initialTwin is ignored.",
    (True, False): "The device moves to {hub}; its twin there begins as {twin} initialTwin.",
    (False, True): _NOT_TO_MOVE,
    (False, False): _NOT_TO_MOVE,
}
