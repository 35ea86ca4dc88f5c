"""The JSON documents of enrollments, groups and registration states: validation and display."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from local.dps.api_versions import ALL_POLICY_MEMBERS, foreign_members
from local.dps.attestation import show_attestation
from local.dps.errors import INVALID_REQUEST, ApiError
from local.dps.records import Kind, Record, Records, is_valid_id
from local.dps.spelling import (
    ALLOCATION_POLICIES,
    ATTESTATION,
    PROVISIONING_STATUSES,
    Shape,
    spell,
)

# Recorded: the order of the members after the id. Members that are not listed come last.
ENROLLMENT_ORDER: Final = (
    "deviceId",
    "registrationState",
    "optionalDeviceInformation",
    "attestation",
    "capabilities",
    "iotHubHostName",
    *ALL_POLICY_MEMBERS,  # assumed
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
# Recorded: DPS orders the members of these and drops nulls. It stores initialTwin and
# optionalDeviceInformation as they were sent.
INNER_ORDER: Final = {
    "capabilities": ("iotEdge",),
    "reprovisionPolicy": ("updateHubAssignment", "migrateDeviceData"),
    "customAllocationDefinition": ("webhookUrl", "apiVersion"),
}
# Recorded, except errorCode, errorMessage and payload, which are placed as documented.
REGISTRATION_ORDER: Final = (
    "registrationId",
    "createdDateTimeUtc",
    "assignedHub",
    "deviceId",
    "status",
    "substatus",
    "errorCode",
    "errorMessage",
    "lastUpdatedDateTimeUtc",
    "etag",
    "payload",
)
# Tested: ignored in a PUT, so that a document from GET can be sent back.
READ_ONLY: Final = frozenset(
    {"registrationState", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "etag"}
)
# A member of stored registrations that responses do not show.
GROUP_ID: Final = "enrollmentGroupId"

# Documented: the device ids of IoT Hub.
_DEVICE_ID = re.compile(r"[A-Za-z0-9\-.%_*?!(),:=@$'+#]{1,128}")

_Check = Callable[[Any], bool]


def _one_of(*names: str) -> _Check:
    return lambda value: isinstance(value, str) and value in names


def _matches(pattern: str) -> _Check:
    return lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value))


_IS_POLICY_NAME = _matches(r"[0-9a-zA-Z][a-zA-Z0-9-]{2,62}")


def _is_device_id(value: Any) -> bool:
    return isinstance(value, str) and (value == "" or bool(_DEVICE_ID.fullmatch(value)))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _object_with(members: Mapping[str, type]) -> _Check:
    def check(value: Any) -> bool:
        return isinstance(value, dict) and all(
            isinstance(value.get(name), type_) and value[name] != ""
            for name, type_ in members.items()
        )

    return check


# Member, check, message of DPS. The rules are documented, the messages assumed.
_CHECKS: tuple[tuple[str, _Check, str], ...] = (
    ("deviceId", _is_device_id, "Invalid DeviceId"),
    (
        "allocationPolicy",
        _one_of(*ALLOCATION_POLICIES),  # recorded: static without a hub
        "Invalid AllocationPolicy",
    ),
    ("provisioningStatus", _one_of(*PROVISIONING_STATUSES), "Invalid ProvisioningStatus"),
    ("capabilities", _object_with({"iotEdge": bool}), "Invalid Capabilities"),
    (
        "reprovisionPolicy",
        _object_with({"updateHubAssignment": bool, "migrateDeviceData": bool}),
        "Invalid ReprovisionPolicy",
    ),
    (
        "customAllocationDefinition",
        _object_with({"webhookUrl": str, "apiVersion": str}),  # tested: with any allocationPolicy
        "Invalid CustomAllocationDefinition",
    ),
    # Documented with the API versions 2026-04-01 and 2026-11-01.
    ("credentialPolicyName", lambda value: isinstance(value, str), "Invalid CredentialPolicyName"),
    ("namespaceName", _matches(r"[a-z0-9][a-z0-9-]{1,62}[a-z0-9]"), "Invalid NamespaceName"),
    ("certificateAuthorityName", _IS_POLICY_NAME, "Invalid CertificateAuthorityName"),
    ("certificatePolicyName", _IS_POLICY_NAME, "Invalid CertificatePolicyName"),
    # The types of these are assumed too.
    ("iotHubHostName", lambda value: isinstance(value, str), "Invalid IotHubHostName"),
    ("initialTwin", _is_object, "Invalid InitialTwin"),
    ("optionalDeviceInformation", _is_object, "Invalid OptionalDeviceInformation"),
)


# The objects within an enrollment that DPS reads member by member: not the free-form ones.
_SHAPES: Mapping[str, Shape] = {
    **{name: dict.fromkeys(members) for name, members in INNER_ORDER.items()},
    "attestation": ATTESTATION,
    "allocationPolicy": ALLOCATION_POLICIES,
    "provisioningStatus": PROVISIONING_STATUSES,
}


def read_document(kind: Kind, document: Mapping[str, Any], version: str) -> dict[str, Any]:
    """
    Returns an enrollment or group as an API version reads it, in DPS's spelling.

    Assumed: the members that only other versions have are ignored.
    """
    names = dict.fromkeys((kind.id_member, *ENROLLMENT_ORDER))
    spelled: dict[str, Any] = spell(document, {**names, **_SHAPES})
    return _without(spelled, foreign_members(version))


def _without(members: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in names}


def check_id(kind: Kind, document: Mapping[str, Any], path_id: str) -> None:
    """
    Raises ApiError 400 unless the id is valid and equals that of the path.

    Assumed: the code for an id that differs.
    """
    id_ = document.get(kind.id_member)
    if not is_valid_id(id_) or str(id_).lower() != path_id.lower():
        raise ApiError(INVALID_REQUEST, kind.invalid_id)


def check_document(document: Mapping[str, Any], linked_hubs: Collection[str]) -> None:
    """Raises ApiError 400 if a member other than id and attestation is invalid."""
    for member, is_valid, message in _CHECKS:
        value = document.get(member)
        # Recorded: a null counts as missing.
        if value is not None and not is_valid(value):
            raise ApiError(INVALID_REQUEST, message)
    definition = document.get("customAllocationDefinition")
    if document.get("allocationPolicy") == "custom" and definition is None:
        # Reported: azure-docs#17690, azure-iot-sdk-c#405.
        message = (
            "A CustomAllocationDefinition is required when the allocation policy is set to 'Custom'"
        )
        raise ApiError(INVALID_REQUEST, message)
    _check_hubs(document, {hub.lower() for hub in linked_hubs})


def _check_hubs(document: Mapping[str, Any], linked: set[str]) -> None:
    """
    Raises ApiError 400 for hubs without a policy and for a hub that is not linked.

    Reported (azure-sdk-for-python#35368): the first. Documented: the second; its error is assumed,
    and that an empty list counts as no hubs.
    """
    hubs = document.get("iotHubs")
    if hubs is None or hubs == []:
        return
    if not isinstance(hubs, list) or not all(isinstance(hub, str) for hub in hubs):
        raise ApiError(INVALID_REQUEST, "Invalid IotHubs")
    if document.get("allocationPolicy") is None:
        message = "Enrollment allocationPolicy must be specified when iotHubs are specified."
        raise ApiError(INVALID_REQUEST, message)
    if not {hub.lower() for hub in hubs} <= linked:
        message = "The IotHubs are not linked to the provisioning service"
        raise ApiError(INVALID_REQUEST, message)


def stored_members(kind: Kind, document: Mapping[str, Any]) -> dict[str, Any]:
    """
    Returns the members of a valid document that DPS stores.

    Recorded: nulls are dropped, except that of provisioningStatus; defaults of reprovisionPolicy
    and provisioningStatus are not filled in. Assumed: that of allocationPolicy is not either.
    """
    dropped = READ_ONLY | {kind.id_member}
    members = {
        name: _order_inner(name, value)
        for name, value in document.items()
        if name not in dropped and (value is not None or name == "provisioningStatus")
    }
    if members.get("deviceId") == "":
        del members["deviceId"]
    return members


def _order_inner(name: str, value: Any) -> Any:
    if name not in INNER_ORDER:
        return value
    present = {inner: member for inner, member in value.items() if member is not None}
    return _order(present, INNER_ORDER[name])


def _order(members: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    names = [name for name in order if name in members]
    return {name: members[name] for name in [*names, *(n for n in members if n not in order)]}


def show_enrollment(
    kind: Kind,
    record: Record,
    *,
    version: str,
    with_keys: bool = False,
    mask_webhook_url: bool = False,
    registration_state: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    Returns an enrollment or group as in responses. Recorded: only a PUT returns its keys.

    Assumed: without the members that only other API versions have.
    """
    shown = _without(record.members, foreign_members(version))
    members: dict[str, Any] = {kind.id_member: record.id, **shown, **record.system_members()}
    if registration_state is not None:
        members["registrationState"] = registration_state
    members["attestation"] = show_attestation(members["attestation"], with_keys=with_keys)
    definition = record.members.get("customAllocationDefinition")
    if mask_webhook_url and definition:
        # Reported (azure-powershell#12154), and recorded in allocation requests.
        masked = re.sub(r"\?.*", "?****", definition["webhookUrl"], flags=re.DOTALL)
        members["customAllocationDefinition"] = {**definition, "webhookUrl": masked}
    return _order(members, (kind.id_member, *ENROLLMENT_ORDER))


def show_registration(record: Record) -> dict[str, Any]:
    """Returns a registration state as in responses of the service API."""
    members = {"registrationId": record.id, **record.members, **record.system_members()}
    present = {n: value for n, value in members.items() if n != GROUP_ID and value is not None}
    return _order(present, REGISTRATION_ORDER)


def registration_state_of(registrations: Records, registration_id: str) -> Mapping[str, Any]:
    """
    Returns the registration state to show with an enrollment.

    Recorded: it is "unassigned" if the device has never registered.
    """
    record = registrations.find(registration_id)
    if record is None:
        return {"registrationId": registration_id, "status": "unassigned"}
    return show_registration(record)
