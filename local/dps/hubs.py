"""The devices registered in the linked IoT hubs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class HubDevice:
    """A device in the hub that it is assigned to."""

    registration_id: str
    group_id: str | None
    hub: str
    device_id: str
    substatus: str
    twin: Any
    payload: Any  # from the webhook of a custom allocation

    def as_json(self) -> dict[str, Any]:
        """Returns the device as GET /_devices shows it."""
        members = {
            "registrationId": self.registration_id,
            "enrollmentGroupId": self.group_id,
            "assignedHub": self.hub,
            "deviceId": self.device_id,
            "substatus": self.substatus,
            "twin": self.twin,
            "payload": self.payload,
        }
        return {name: value for name, value in members.items() if value is not None}


class HubDevices:
    """
    All devices, by registration id.

    Documented: a device is in one hub at a time; reprovisioning removes it from the other.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, HubDevice] = {}

    def __iter__(self) -> Iterator[HubDevice]:
        return iter(self._by_id.values())

    def find(self, registration_id: str) -> HubDevice | None:
        """Returns the device that registered under this id, or None."""
        return self._by_id.get(registration_id.lower())

    def put(self, device: HubDevice) -> None:
        """Stores a device in its hub; replaces the one with the same registration id."""
        self._by_id[device.registration_id.lower()] = device
