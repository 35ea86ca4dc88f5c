"""What DPS posts to the webhook of a custom allocation (R: as logged by Microsoft's tutorial)."""

import base64
from collections.abc import Sequence
from typing import Any

from local.dps import documents
from local.dps.attested import Attested, Entry
from local.dps.devices import HubDevice


def allocation_request(
    device: Attested,
    entry: Entry,
    *,
    linked_hubs: Sequence[str],
    current: HubDevice | None,
    payload: Any,
) -> dict[str, Any]:
    """The body, its members in the recorded order."""
    name = "individualEnrollment" if entry.is_individual else "enrollmentGroup"
    return {
        name: _record(entry),
        "deviceRuntimeContext": _context(device, current, payload),
        "linkedHubs": list(linked_hubs),
    }


def _record(entry: Entry) -> dict[str, Any]:
    """R: as GET answers it, but the etag in clear, the webhook's query masked, and no null."""
    shown = documents.show(entry.kind, entry.record, mask_webhook_url=True)
    shown["etag"] = base64.b64decode(entry.record.etag).decode()
    return {name: value for name, value in shown.items() if value is not None}


def _context(device: Attested, current: HubDevice | None, payload: Any) -> dict[str, Any]:
    """R: the current hub only of a device that has one; the payload only if the device sent it."""
    context: dict[str, Any] = {"registrationId": device.registration_id}
    if current is not None:
        context["currentIotHubHostName"] = current.hub
        context["currentDeviceId"] = current.device_id
    context[device.attestation] = dict(device.context)
    if payload is not None:
        context["payload"] = payload
    return context
