"""What becomes of a device that comes again (D: concepts-device-reprovision).

updateHubAssignment, migrateDeviceData; both true unless the entry says otherwise (D):
true, true     the hub may change; device id and twin go along
true, false    the hub may change; the device starts anew with the initial twin
false, either  the hub stays
"""

from typing import Any, NamedTuple

from local.dps.allocation import Allocation
from local.dps.attested import Attested, Entry
from local.dps.devices import HubDevice


class _Kept(NamedTuple):
    substatus: str
    device_id: str
    twin: Any


def hub_stays(entry: Entry, current: HubDevice | None) -> bool:
    """Whether the device keeps its hub, whatever a policy would choose now."""
    return current is not None and not _policy(entry, "updateHubAssignment")


def settle(
    device: Attested, entry: Entry, allocation: Allocation, current: HubDevice | None
) -> HubDevice:
    """The device in the hub that it is allocated to.

    E: in the hub where it was, it also keeps its substatus. ?: reprovisionedToInitialAssignment is
    never the case, for nothing public tells when it is.
    """
    if current is None:
        kept = _anew(device, entry, allocation, "initialAssignment")
    elif current.hub.lower() == allocation.hub.lower():
        kept = _Kept(current.substatus, current.device_id, current.twin)
    elif _policy(entry, "migrateDeviceData"):
        kept = _Kept("deviceDataMigrated", current.device_id, current.twin)
    else:
        kept = _anew(device, entry, allocation, "deviceDataReset")
    return HubDevice(
        registration_id=device.registration_id,
        group_id=entry.group_id,
        hub=allocation.hub,
        device_id=kept.device_id,
        substatus=kept.substatus,
        twin=kept.twin,
        payload=allocation.payload,
    )


def _policy(entry: Entry, member: str) -> bool:
    return bool((entry.member("reprovisionPolicy") or {}).get(member, True))


def _anew(device: Attested, entry: Entry, allocation: Allocation, substatus: str) -> _Kept:
    """D: the id is the registration's unless an enrollment names one, the twin the webhook's."""
    own_id = entry.member("deviceId") if entry.is_individual else None
    twin = allocation.initial_twin
    if twin is None:
        twin = entry.member("initialTwin", {})
    return _Kept(substatus, own_id or device.registration_id, twin)
