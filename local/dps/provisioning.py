"""Provisioning: registrations in progress, assignment to a hub, and reprovisioning."""

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509

from local.dps.allocation import (
    BUILT_IN_POLICIES,
    CUSTOM_POLICY,
    DEFAULT_POLICY,
    Allocation,
    AllocationError,
    CustomAllocation,
    allowed_hubs,
    create_webhook_request,
)
from local.dps.device_authentication import AuthenticatedDevice, Enrollment
from local.dps.documents import GROUP_ID, show_registration
from local.dps.errors import ENROLLMENT_NOT_FOUND, REGISTRATION_IN_PROGRESS, ApiError
from local.dps.hubs import HubDevice, HubDevices
from local.dps.issuing import IssuingAuthority
from local.dps.options import Options
from local.dps.records import Records

MAX_OPERATIONS: Final = 10_000  # the latest ones that devices can poll
# Documented: the members of an enrollment that name the policy for issued certificates.
CERTIFICATE_POLICIES: Final = ("credentialPolicyName", "certificatePolicyName")

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class RegistrationOperation:
    """One registration of one device, in progress or finished."""

    id: str
    device: AuthenticatedDevice = field(repr=False)
    state: Mapping[str, Any]
    csr: x509.CertificateSigningRequest | None = None
    issued_certificates: Sequence[str] = ()

    @property
    def status(self) -> str:
        """One of assigning, assigned, failed and disabled."""
        return str(self.state["status"])

    @property
    def is_finished(self) -> bool:
        """Whether the state is final."""
        return self.status != "assigning"


@dataclass(frozen=True, kw_only=True)
class Provisioning:
    """The registrations of devices, each in its own task."""

    options: Options
    registrations: Records
    devices: HubDevices
    custom_allocation: CustomAllocation
    authority: IssuingAuthority
    _operations: dict[str, RegistrationOperation] = field(default_factory=dict)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def start(
        self,
        device: AuthenticatedDevice,
        payload: Any,
        csr: x509.CertificateSigningRequest | None = None,
    ) -> RegistrationOperation:
        """
        Starts the registration of a device, which may request a certificate.

        Raises ApiError 409 while another registration of the device is in progress (reported).
        """
        key = device.registration_id.lower()
        if key in self._tasks:
            raise ApiError(REGISTRATION_IN_PROGRESS)
        current = None
        if self.registrations.find(device.registration_id):
            current = self.devices.find(device.registration_id)
        else:  # assumed: after its registration was deleted, a device counts as new
            self._write(device, {"status": "assigning"})
        operation = RegistrationOperation(
            id=f"5.{uuid.uuid4().hex[:16]}.{uuid.uuid4()}",  # recorded: the format
            device=device,
            state={"registrationId": device.registration_id, "status": "assigning"},
            csr=csr,
        )
        self._keep(operation)
        self._tasks[key] = task = asyncio.create_task(self._run(operation, current, payload))
        task.add_done_callback(lambda _: self._tasks.pop(key, None))
        return operation

    def find(self, operation_id: str, registration_id: str) -> RegistrationOperation | None:
        """Returns the operation if it belongs to this device, else None."""
        operation = self._operations.get(operation_id)
        if operation and operation.device.registration_id.lower() == registration_id.lower():
            return operation
        return None

    def cancel(self) -> Sequence[asyncio.Task[None]]:
        """Cancels all registrations in progress and returns their tasks."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        return tasks

    def _keep(self, operation: RegistrationOperation) -> None:
        self._operations[operation.id] = operation
        if len(self._operations) > MAX_OPERATIONS:
            del self._operations[next(iter(self._operations))]

    async def _run(
        self, operation: RegistrationOperation, current: HubDevice | None, payload: Any
    ) -> None:
        device = operation.device
        try:
            members = await self._register(device, current, payload)
            operation.issued_certificates = self._issue(operation, members)
        except AllocationError as error:
            members = _failed(error.code, error.message)
        except Exception:  # noqa: BLE001 - otherwise the device would poll forever
            _log.exception("a registration failed unexpectedly")
            members = _failed(500000, "Internal Server Error")
        operation.state = device_view(device, self._write(device, members))

    async def _register(
        self, device: AuthenticatedDevice, current: HubDevice | None, payload: Any
    ) -> dict[str, Any]:
        """Registers the device and returns the members of its registration state."""
        enrollment = device.enrollment
        if enrollment is None:
            # Tested: the code.
            raise AllocationError(ENROLLMENT_NOT_FOUND.code, ENROLLMENT_NOT_FOUND.message)
        if not enrollment.is_enabled:
            return {"status": "disabled"}  # tested; assumed: without a call of a webhook
        allocation = await self._allocate(device, enrollment, current, payload)
        assigned = assign(device, enrollment, allocation, current)
        self.devices.put(assigned)
        return {
            "assignedHub": assigned.hub,
            "deviceId": assigned.device_id,
            "status": "assigned",
            "substatus": assigned.substatus,
            "payload": assigned.payload,
        }

    async def _allocate(
        self,
        device: AuthenticatedDevice,
        enrollment: Enrollment,
        current: HubDevice | None,
        payload: Any,
    ) -> Allocation:
        hubs = allowed_hubs(enrollment, self.options.linked_hubs)
        if current is not None and not _reprovision_policy(enrollment, "updateHubAssignment"):
            hubs = [current.hub]  # documented: the hub stays; a webhook may choose no other
        if not hubs:
            # Tested: that it fails. Assumed: code and message.
            raise AllocationError(400000, "No IoT hub is linked to the provisioning service")
        policy = enrollment.get("allocationPolicy", DEFAULT_POLICY)
        if policy != CUSTOM_POLICY:
            allocate = BUILT_IN_POLICIES[policy]
            return Allocation(hub=allocate(device.registration_id, hubs, self.options))
        request = create_webhook_request(
            device, enrollment, linked_hubs=hubs, current=current, payload=payload
        )
        url = enrollment.get("customAllocationDefinition")["webhookUrl"]
        return await self.custom_allocation.allocate(url, request)

    def _issue(self, operation: RegistrationOperation, members: Mapping[str, Any]) -> Sequence[str]:
        """
        Returns the certificates for the request of a device, if it has one and is assigned.

        Documented: a policy that the enrollment names rules them. Assumed: without one none is
        issued.
        """
        enrollment = operation.device.enrollment
        if operation.csr is None or enrollment is None or members["status"] != "assigned":
            return ()
        has_policy = any(enrollment.get(name) for name in CERTIFICATE_POLICIES)
        return self.authority.issue(operation.csr) if has_policy else ()

    def _write(self, device: AuthenticatedDevice, members: Mapping[str, Any]) -> dict[str, Any]:
        group_id = device.enrollment.group_id if device.enrollment else None
        group = {} if group_id is None else {GROUP_ID: group_id}
        record = self.registrations.write(device.registration_id, {**group, **members})
        return show_registration(record)


def device_view(device: AuthenticatedDevice, state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a registration state as its device sees it. SDK: two members if it is disabled."""
    if state["status"] == "disabled":
        return {name: state[name] for name in ("registrationId", "status")}
    return {**device.shown_attestation, **state}


def _failed(code: int, message: str) -> dict[str, Any]:
    return {"status": "failed", "errorCode": code, "errorMessage": message}


def assign(
    device: AuthenticatedDevice,
    enrollment: Enrollment,
    allocation: Allocation,
    current: HubDevice | None,
) -> HubDevice:
    """
    Returns the device in the hub it is allocated to; `current` is the same device before that.

    Documented (concepts-device-reprovision): if the hub changes, migrateDeviceData decides whether
    the device keeps its device id and twin. Tested: in the same hub it also keeps its substatus.
    Assumed: reprovisionedToInitialAssignment never occurs; no public source says when it does.
    """
    if current is not None and current.hub.lower() == allocation.hub.lower():
        substatus, device_id, twin = current.substatus, current.device_id, current.twin
    elif current is not None and _reprovision_policy(enrollment, "migrateDeviceData"):
        substatus, device_id, twin = "deviceDataMigrated", current.device_id, current.twin
    else:
        substatus = "initialAssignment" if current is None else "deviceDataReset"
        device_id, twin = _initial_data(device, enrollment, allocation)
    return HubDevice(
        registration_id=device.registration_id,
        group_id=enrollment.group_id,
        hub=allocation.hub,
        device_id=device_id,
        substatus=substatus,
        twin=twin,
        payload=allocation.payload,
    )


def _initial_data(
    device: AuthenticatedDevice, enrollment: Enrollment, allocation: Allocation
) -> tuple[str, Any]:
    """
    Returns the device id and twin of a device that is new in its hub.

    Documented: an individual enrollment may name a device id, and the twin of a webhook takes
    precedence over that of the enrollment.
    """
    own_id = enrollment.get("deviceId") if enrollment.is_individual else None
    twin = allocation.initial_twin
    if twin is None:
        twin = enrollment.get("initialTwin", {})
    return own_id or device.registration_id, twin


def _reprovision_policy(enrollment: Enrollment, member: str) -> bool:
    """Returns a member of the reprovision policy. Documented: both members default to true."""
    return bool((enrollment.get("reprovisionPolicy") or {}).get(member, True))
