"""The devices that hubs would hold by now: where each has landed, and with which twin."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class HubDevice:
    """One device in the hub that it is assigned to."""

    registration_id: str
    group_id: str | None
    hub: str
    device_id: str
    substatus: str
    twin: Any
    payload: Any  # what the webhook had for it

    def as_json(self) -> dict[str, Any]:
        """The device as GET /_devices answers it."""
        shown = {
            "registrationId": self.registration_id,
            "enrollmentGroupId": self.group_id,
            "assignedHub": self.hub,
            "deviceId": self.device_id,
            "substatus": self.substatus,
            "twin": self.twin,
            "payload": self.payload,
        }
        return {name: value for name, value in shown.items() if value is not None}


class Devices:
    """All of them, by registration id; each is in one hub at a time (D: it leaves the other)."""

    def __init__(self) -> None:
        self._by_id: dict[str, HubDevice] = {}

    def __iter__(self) -> Iterator[HubDevice]:
        return iter(self._by_id.values())

    def find(self, registration_id: str) -> HubDevice | None:
        """The device that registered under this id, if any did."""
        return self._by_id.get(registration_id.lower())

    def place(self, device: HubDevice) -> None:
        """Puts a device into its hub."""
        self._by_id[device.registration_id.lower()] = device
