"""Allocation of a device to a hub: the policies built into DPS and custom allocation webhooks."""

import asyncio
import base64
import hashlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from local.dps.device_authentication import AuthenticatedDevice, Enrollment
from local.dps.documents import show_enrollment
from local.dps.errors import ApiError
from local.dps.hubs import HubDevice
from local.dps.operations import parse_json_object
from local.dps.options import Options

DEFAULT_POLICY: Final = "hashed"  # documented
CUSTOM_POLICY: Final = "custom"

# Documented (concepts-custom-allocation): a webhook is called again after a status of 429 or above.
RETRY_FROM: Final = 429
RETRIES: Final = 10
FIRST_RETRY_SECONDS: Final = 1
RETRY_INCREMENT_SECONDS: Final = 9

# Assumed: the number of webhook calls that DPS makes at a time.
MAX_CONCURRENT_CALLS: Final = 100

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """The hub chosen for a device, and the twin and payload that a webhook returned."""

    hub: str
    initial_twin: Mapping[str, Any] | None = None
    payload: Any = None


class AllocationError(Exception):
    """A failed allocation; the registration state shows code and message to the device."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def allowed_hubs(enrollment: Enrollment, linked_hubs: Sequence[str]) -> Sequence[str]:
    """
    Returns the hubs of the enrollment or, if it names none, all linked ones (documented).

    SDK: iotHubHostName is the deprecated form of iotHubs, for a single hub.
    """
    deprecated = enrollment.get("iotHubHostName")
    return enrollment.get("iotHubs") or ([deprecated] if deprecated else linked_hubs)


def _allocate_hashed(registration_id: str, hubs: Sequence[str], _: Options) -> str:
    """
    Returns a hub by a hash of the registration id. Documented: each hub has an equal share.

    Assumed: the hash. Rendezvous hashing moves few devices when hubs are added or removed.
    """

    def weight(hub: str) -> bytes:
        return hashlib.sha256(f"{hub.lower()}\n{registration_id.lower()}".encode()).digest()

    return max(hubs, key=weight)


def _allocate_static(_: str, hubs: Sequence[str], __: Options) -> str:
    """Returns the enrollment's hub (documented). Assumed: the first if it has several or none."""
    return hubs[0]


def _allocate_by_latency(registration_id: str, hubs: Sequence[str], options: Options) -> str:
    """Returns the hub with the lowest latency (documented), by hash if several have it."""
    known = {hub.lower(): latency for hub, latency in options.hub_latencies.items()}
    latencies = [known.get(hub.lower(), math.inf) for hub in hubs]
    lowest = min(latencies)
    nearest = [hub for hub, latency in zip(hubs, latencies, strict=True) if latency == lowest]
    return _allocate_hashed(registration_id, nearest, options)


BUILT_IN_POLICIES: Final[Mapping[str, Callable[[str, Sequence[str], Options], str]]] = {
    "hashed": _allocate_hashed,
    "static": _allocate_static,
    "geoLatency": _allocate_by_latency,
}


@dataclass(frozen=True)
class WebhookResponse:
    """The status and body of a webhook's response."""

    status: int
    body: bytes


class CustomAllocation:
    """
    Client of custom allocation webhooks; close it on the event loop that used it.

    Documented (concepts-custom-allocation, tutorial-custom-allocation-policies): the meaning of each
    status.
    """

    def __init__(self, options: Options) -> None:
        self._retry_scale = options.retry_scale
        # Assumed: no timeout is documented.
        self._timeout = aiohttp.ClientTimeout(total=options.webhook_seconds)
        self._call_limit = asyncio.Semaphore(MAX_CONCURRENT_CALLS)
        self._session: aiohttp.ClientSession | None = None

    async def allocate(self, url: str, request: Mapping[str, Any]) -> Allocation:
        """Returns the decision of the webhook; raises AllocationError."""
        response = await self._call(url, request)
        if response is None:
            # Assumed.
            raise AllocationError(400207, "Custom allocation failed: the webhook does not answer")
        if response.status == 200:  # noqa: PLR2004 - documented: no other status of 2xx
            return _read_decision(response.body, request["linkedHubs"])
        if response.status == 401:  # noqa: PLR2004 - documented; the message is assumed
            raise AllocationError(400209, "Custom allocation was not authorized")
        # Documented, and reported with this message.
        message = f"Custom allocation failed with status code: {response.status}"
        raise AllocationError(400207, message)

    async def close(self) -> None:
        """Closes the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _call(self, url: str, request: Mapping[str, Any]) -> WebhookResponse | None:
        """Returns the first response that requires no retry (documented), or else the last one."""
        response = await self._post(url, request)
        for retry in range(RETRIES):
            if response is not None and response.status < RETRY_FROM:
                break
            seconds = (FIRST_RETRY_SECONDS + retry * RETRY_INCREMENT_SECONDS) * self._retry_scale
            status = "no status" if response is None else response.status
            _log.info("a webhook answered %s; retry in %.1f s", status, seconds)
            await asyncio.sleep(seconds)
            response = await self._post(url, request)
        return response

    async def _post(self, url: str, request: Mapping[str, Any]) -> WebhookResponse | None:
        """
        Returns the response, or None if none arrived.

        Assumed: the content type, that redirects are not followed, and that a missing response is
        retried like a 5xx.
        """
        session = self._session = self._session or aiohttp.ClientSession(timeout=self._timeout)
        options: dict[str, Any] = {"json": request, "allow_redirects": False}
        try:
            async with self._call_limit, session.post(url, **options) as response:
                return WebhookResponse(response.status, await response.read())
        except (aiohttp.ClientError, OSError, ValueError):  # a timeout is an OSError
            return None


def _read_decision(body: bytes, linked_hubs: Sequence[str]) -> Allocation:
    """
    Returns the hub, twin and payload in the body of a response; raises AllocationError.

    Documented: 400208 for a body without a hub. Assumed: also for one that is not JSON, and that
    an initialTwin that is not an object is ignored.
    """
    try:
        decision = parse_json_object(body)
    except ApiError:
        decision = {}
    name = decision.get("iotHubHostName")
    if not isinstance(name, str) or not name:
        # The message is assumed.
        raise AllocationError(400208, "Custom allocation did not specify an IoT hub")
    hub = next((hub for hub in linked_hubs if hub.lower() == name.lower()), None)
    if hub is None:
        # Assumed.
        message = "Custom allocation failed: the IoT hub is not among linkedHubs"
        raise AllocationError(400207, message)
    twin = decision.get("initialTwin")
    initial_twin = twin if isinstance(twin, dict) else None
    return Allocation(hub=hub, initial_twin=initial_twin, payload=decision.get("payload"))


def create_webhook_request(
    device: AuthenticatedDevice,
    enrollment: Enrollment,
    *,
    linked_hubs: Sequence[str],
    current: HubDevice | None,
    payload: Any,
) -> dict[str, Any]:
    """
    Returns the body that DPS posts to a webhook, its members in order.

    Recorded: as logged by Microsoft's tutorial.
    """
    name = "individualEnrollment" if enrollment.is_individual else "enrollmentGroup"
    return {
        name: _show_to_webhook(enrollment),
        "deviceRuntimeContext": _runtime_context(device, current, payload),
        "linkedHubs": list(linked_hubs),
    }


def _show_to_webhook(enrollment: Enrollment) -> dict[str, Any]:
    """
    Returns the record as a webhook receives it.

    Recorded: as from GET, but with the etag decoded, the query of the webhook masked and no nulls.
    """
    version = enrollment.get("customAllocationDefinition")["apiVersion"]  # documented
    document = show_enrollment(
        enrollment.kind, enrollment.record, version=version, mask_webhook_url=True
    )
    document["etag"] = base64.b64decode(enrollment.record.etag).decode()
    return {name: value for name, value in document.items() if value is not None}


def _runtime_context(
    device: AuthenticatedDevice, current: HubDevice | None, payload: Any
) -> dict[str, Any]:
    """Returns the device's context. Recorded: without a current hub or payload if there is none."""
    context: dict[str, Any] = {"registrationId": device.registration_id}
    if current is not None:
        context["currentIotHubHostName"] = current.hub
        context["currentDeviceId"] = current.device_id
    context[device.attestation_type] = dict(device.details)
    if payload is not None:
        context["payload"] = payload
    return context
