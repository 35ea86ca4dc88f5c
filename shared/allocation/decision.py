"""Allocation decisions, and what a policy is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from shared.allocation.request import AllocationRequest
from shared.errors import NoHubError


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """Assigns the device to `hub`, which must be one of the request's `linked_hubs`."""

    hub: str
    initial_twin: Mapping[str, Any] | None = None
    """`{"tags": …, "properties": {"desired": …}}`; `None` keeps the enrollment's initial twin."""
    payload: Any = None
    """JSON that DPS returns to the device; `None` for none."""
    rule: str = ""
    """Name of the rule that decided, for the log."""

    @property
    def body(self) -> dict[str, Any]:
        """The response body that DPS expects."""
        members = {
            "iotHubHostName": self.hub,
            "initialTwin": self.initial_twin,
            "payload": self.payload,
        }
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Refuses to provision the device. `reason` is for the log: DPS does not pass it on."""

    reason: str
    rule: str = ""


Decision = Assignment | Refusal

AllocationPolicy = Callable[[AllocationRequest], Decision]
"""
Decides about a request. A device is waiting, so a policy computes and does no I/O.

Raises `NoHubError` if it finds no hub; DPS then retries.
"""


def decide(policy: AllocationPolicy, request: AllocationRequest) -> Decision:
    """
    Returns the policy's decision, with the hub in DPS's spelling.

    Raises `NoHubError` if the policy finds no hub or chooses one that is not linked.
    """
    decision = policy(request)
    if isinstance(decision, Refusal):
        return decision
    if not isinstance(decision, Assignment):
        raise TypeError("a policy must return an Assignment or a Refusal")
    hub = request.linked(decision.hub)
    if hub is None:
        raise NoHubError("The policy chose a hub that is not linked.")
    return decision if hub == decision.hub else replace(decision, hub=hub)
