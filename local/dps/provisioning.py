"""Registrations under way: each is a task in the background that its device asks about."""

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from local.dps.allocation import BUILT_IN, CUSTOM, DEFAULT, Allocation, NotAllocated, hubs_for
from local.dps.allocation_request import allocation_request
from local.dps.attested import Attested, Entry
from local.dps.custom_allocation import CustomAllocation
from local.dps.devices import Devices, HubDevice
from local.dps.errors import Refused
from local.dps.options import Options
from local.dps.records import Records
from local.dps.registrations import GROUP, show
from local.dps.reprovisioning import hub_stays, settle
from local.dps.rules import BROKEN, BUSY, NO_HUB, UNKNOWN_TPM

REMEMBERED: Final = 10_000

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class RegistrationOperation:
    """One registration of one device, from its request to its end."""

    id: str
    device: Attested = field(repr=False)
    state: Mapping[str, Any]

    @property
    def status(self) -> str:
        """assigning, until it is assigned, failed or disabled."""
        return str(self.state["status"])

    @property
    def is_over(self) -> bool:
        """Whether the state is final."""
        return self.status != "assigning"


@dataclass(frozen=True, kw_only=True)
class Provisioning:
    """Registers devices; what is not over at `cancel` never will be."""

    options: Options
    registrations: Records
    devices: Devices
    custom: CustomAllocation
    _operations: dict[str, RegistrationOperation] = field(default_factory=dict)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def begin(self, device: Attested, payload: Any) -> RegistrationOperation:
        """Starts to register; I: refused while another registration of the same id goes on."""
        key = device.registration_id.lower()
        if key in self._tasks:
            raise Refused(BUSY)
        current = None
        if self.registrations.find(device.registration_id):
            current = self.devices.find(device.registration_id)
        else:  # ?: without its registration, DPS does not know that a device has been here
            self._write(device, {"status": "assigning"})
        operation = RegistrationOperation(
            id=f"5.{uuid.uuid4().hex[:16]}.{uuid.uuid4()}",  # R: of this form
            device=device,
            state={"registrationId": device.registration_id, "status": "assigning"},
        )
        self._remember(operation)
        self._tasks[key] = task = asyncio.create_task(self._run(operation, current, payload))
        task.add_done_callback(lambda _: self._tasks.pop(key, None))
        return operation

    def find(self, operation_id: str, registration_id: str) -> RegistrationOperation | None:
        """The operation, if there is one and it is that of this device."""
        operation = self._operations.get(operation_id)
        if operation and operation.device.registration_id.lower() == registration_id.lower():
            return operation
        return None

    def cancel(self) -> Sequence[asyncio.Task[None]]:
        """Ends what goes on; the tasks, for who wants to see the end."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        return tasks

    def _remember(self, operation: RegistrationOperation) -> None:
        self._operations[operation.id] = operation
        if len(self._operations) > REMEMBERED:
            del self._operations[next(iter(self._operations))]

    async def _run(
        self, operation: RegistrationOperation, current: HubDevice | None, payload: Any
    ) -> None:
        device = operation.device
        try:
            members = await self._outcome(device, current, payload)
        except NotAllocated as failed:
            members = _failed(failed.code, failed.message)
        except Exception:  # noqa: BLE001 - else the device would wait for ever
            _log.exception("a registration broke")
            members = _failed(*BROKEN)
        operation.state = device_view(device, self._write(device, members))

    async def _outcome(
        self, device: Attested, current: HubDevice | None, payload: Any
    ) -> dict[str, Any]:
        """What the registration state says of how it ended."""
        entry = device.entry
        if entry is None:
            raise NotAllocated(*UNKNOWN_TPM)
        if not entry.is_enabled:
            return {"status": "disabled"}  # E; ?: a webhook is not asked
        allocation = await self._allocate(device, entry, current, payload)
        placed = settle(device, entry, allocation, current)
        self.devices.place(placed)
        return {
            "assignedHub": placed.hub,
            "deviceId": placed.device_id,
            "status": "assigned",
            "substatus": placed.substatus,
            "payload": placed.payload,
        }

    async def _allocate(
        self, device: Attested, entry: Entry, current: HubDevice | None, payload: Any
    ) -> Allocation:
        hubs = hubs_for(entry, self.options.linked_hubs)
        if current is not None and hub_stays(entry, current):
            hubs = [current.hub]  # D: then it is the only one that a webhook may choose
        if not hubs:
            raise NotAllocated(*NO_HUB)
        policy = entry.member("allocationPolicy", DEFAULT)
        if policy != CUSTOM:
            return Allocation(hub=BUILT_IN[policy](device.registration_id, hubs, self.options))
        request = allocation_request(
            device, entry, linked_hubs=hubs, current=current, payload=payload
        )
        definition = entry.member("customAllocationDefinition")
        return await self.custom.allocate(definition["webhookUrl"], request)

    def _write(self, device: Attested, members: Mapping[str, Any]) -> dict[str, Any]:
        group = device.entry.group_id if device.entry else None
        hidden = {} if group is None else {GROUP: group}
        return show(self.registrations.write(device.registration_id, {**hidden, **members}))


def device_view(device: Attested, state: Mapping[str, Any]) -> dict[str, Any]:
    """A registration state as its device sees it; M: two members of a disabled one."""
    if state["status"] == "disabled":
        return {name: state[name] for name in ("registrationId", "status")}
    return {**device.shown, **state}


def _failed(code: int, message: str) -> dict[str, Any]:
    return {"status": "failed", "errorCode": code, "errorMessage": message}
