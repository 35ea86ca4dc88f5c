"""The devices that a demo registers: a group, and the policy of the webhook that places them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class FleetDevice:
    """One device: what it sends along, and the rule that decides on it if the file says so."""

    id: str
    payload: Any
    rule: str | None


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """One file of `fleets/`."""

    policy: str
    group_id: str
    group: Mapping[str, Any]
    devices: tuple[FleetDevice, ...]

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Fleet":
        """Raises KeyError, TypeError or ValueError for a document that is no fleet."""
        group = document["enrollmentGroup"]
        devices = tuple(_device(device) for device in document["devices"])
        if not devices:
            raise ValueError("no devices")
        return cls(
            policy=_text(document["policy"]),
            group_id=_text(group["enrollmentGroupId"]),
            group=group,
            devices=devices,
        )


def _device(device: Mapping[str, Any]) -> FleetDevice:
    rule = device.get("rule")
    return FleetDevice(
        id=_text(device["registrationId"]),
        payload=device.get("payload"),
        rule=None if rule is None else _text(rule),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
