"""What a policy answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.allocation.requests import AllocationRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """The device belongs to `hub`, which must be one of the request's `linked_hubs`."""

    hub: str
    initial_twin: Mapping[str, Any] | None = None
    """`{"tags": …, "properties": {"desired": …}}`; `None` leaves the enrollment's own."""
    payload: Any = None
    """What the device is told; `None` for nothing."""
    rule: str = ""
    """What decided, for the log."""

    @property
    def body(self) -> dict[str, Any]:
        """The answer as DPS reads it."""
        given = {
            "iotHubHostName": self.hub,
            "initialTwin": self.initial_twin,
            "payload": self.payload,
        }
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """The device may not be provisioned. `reason` is for operators: DPS shows it to nobody."""

    reason: str
    rule: str = ""


Decision = Assignment | Refusal

AllocationPolicy = Callable[[AllocationRequest], Decision]
"""
What decides; a device waits for it, so it computes and never asks over a network.

It raises `NoHubError` if it knows no hub: DPS asks again.
"""
