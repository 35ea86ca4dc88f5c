"""Enrollment documents: what is checked when they come in, how they look going out."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from local.dps import attestation
from local.dps.errors import Refused
from local.dps.records import Kind, Record, ordered
from local.dps.rules import CUSTOM_NEEDS_DEFINITION, DEVICE_ID, ID, INVALID, INVALID_ID

# R: the order of the members; the id comes first, what we do not know comes last.
ORDER = (
    "deviceId",
    "registrationState",
    "optionalDeviceInformation",
    "attestation",
    "capabilities",
    "iotHubHostName",
    "initialTwin",
    "etag",
    "provisioningStatus",
    "reprovisionPolicy",
    "createdDateTimeUtc",
    "lastUpdatedDateTimeUtc",
    "allocationPolicy",
    "iotHubs",
    "customAllocationDefinition",
)
# R: these are written anew by the service, in its own order. Twins and the device's
# information are free-form and stay as they came, nulls and all.
INNER_ORDER = {
    "capabilities": ("iotEdge",),
    "reprovisionPolicy": ("updateHubAssignment", "migrateDeviceData"),
    "customAllocationDefinition": ("webhookUrl", "apiVersion"),
}
# E: tolerated when a document from GET comes back; the service writes them, not the caller.
READ_ONLY = frozenset({"registrationState", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "etag"})

Test = Callable[[Any], bool]


def _one_of(*names: str) -> Test:
    return lambda value: isinstance(value, str) and value in names


def _matches(pattern: re.Pattern[str]) -> Test:
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


def _object(members: Mapping[str, type]) -> Test:
    def test(value: Any) -> bool:
        return isinstance(value, dict) and all(
            isinstance(value.get(name), type_) and value[name] != ""
            for name, type_ in members.items()
        )

    return test


# Member, test, DPS's words (?: for all of them). Null counts as absent (R).
CHECKS: tuple[tuple[str, Test, str], ...] = (
    ("deviceId", lambda value: value == "" or _matches(DEVICE_ID)(value), "Invalid DeviceId"),  # D
    (
        "allocationPolicy",
        _one_of("hashed", "geoLatency", "static", "custom"),  # D; R: static needs no hub
        "Invalid AllocationPolicy",
    ),
    ("provisioningStatus", _one_of("enabled", "disabled"), "Invalid ProvisioningStatus"),  # D
    ("capabilities", _object({"iotEdge": bool}), "Invalid Capabilities"),  # D
    (
        "reprovisionPolicy",
        _object({"updateHubAssignment": bool, "migrateDeviceData": bool}),  # D
        "Invalid ReprovisionPolicy",
    ),
    (
        "customAllocationDefinition",
        _object({"webhookUrl": str, "apiVersion": str}),  # D; E: with any policy
        "Invalid CustomAllocationDefinition",
    ),
    ("iotHubHostName", lambda value: isinstance(value, str), "Invalid IotHubHostName"),
    ("initialTwin", lambda value: isinstance(value, dict), "Invalid InitialTwin"),
    (
        "optionalDeviceInformation",
        lambda value: isinstance(value, dict),
        "Invalid OptionalDeviceInformation",
    ),
)


def check_id(kind: Kind, document: Mapping[str, Any], path_id: str) -> None:
    """The id must be a legal one, and the same in path and body (?: code of a mismatch)."""
    id_ = document.get(kind.id_member)
    if not isinstance(id_, str) or not ID.fullmatch(id_) or id_.lower() != path_id.lower():
        raise Refused(INVALID, INVALID_ID[kind.id_member])


def check(document: Mapping[str, Any], linked_hubs: Collection[str]) -> None:
    """Refuses a document that the service would not take; the attestation is not looked at."""
    for member, test, words in CHECKS:
        value = document.get(member)
        if value is not None and not test(value):
            raise Refused(INVALID, words)
    policy, definition = (
        document.get("allocationPolicy"),
        document.get("customAllocationDefinition"),
    )
    if policy == "custom" and definition is None:
        raise Refused(INVALID, CUSTOM_NEEDS_DEFINITION)  # I
    _check_hubs(document.get("iotHubs"), {hub.lower() for hub in linked_hubs})


def _check_hubs(hubs: Any, linked: set[str]) -> None:
    """D: a subset of the linked hubs; ?: the code of the refusal."""
    if hubs is None:
        return
    if not isinstance(hubs, list) or not all(isinstance(hub, str) for hub in hubs):
        raise Refused(INVALID, "Invalid IotHubs")
    if not {hub.lower() for hub in hubs} <= linked:
        raise Refused(INVALID, "The IotHubs are not linked to the provisioning service")


def keep(kind: Kind, document: Mapping[str, Any]) -> dict[str, Any]:
    """What of a checked document is stored: no nulls but that of provisioningStatus (R).

    Defaults are not filled in: R for reprovisionPolicy and provisioningStatus, ? for allocationPolicy.
    """
    dropped = READ_ONLY | {kind.id_member}
    kept = {
        name: _keep_inner(name, value)
        for name, value in document.items()
        if name not in dropped and (value is not None or name == "provisioningStatus")
    }
    if kept.get("deviceId") == "":
        del kept["deviceId"]
    return kept


def _keep_inner(name: str, value: Any) -> Any:
    order = INNER_ORDER.get(name)
    return value if order is None else ordered(value, order, keep_nulls=False)


def show(
    kind: Kind,
    record: Record,
    *,
    with_keys: bool = False,
    mask_webhook_url: bool = False,
    state: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A record as the service answers it: keys after a PUT, none from GET and query (R)."""
    members = {kind.id_member: record.id, **record.members, **record.written()}
    if state is not None:
        members["registrationState"] = state
    members["attestation"] = attestation.shown(members["attestation"], with_keys=with_keys)
    definition = record.members.get("customAllocationDefinition")
    if mask_webhook_url and definition:
        masked = re.sub(r"\?.*", "?****", definition["webhookUrl"])
        members["customAllocationDefinition"] = {**definition, "webhookUrl": masked}
    return ordered(members, (kind.id_member, *ORDER))
