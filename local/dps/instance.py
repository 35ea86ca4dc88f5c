"""The state of one provisioning service instance."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from local.dps.allocation import CustomAllocation
from local.dps.authorization import Authorization, ManagedIdentity
from local.dps.certificates import UploadedCertificates
from local.dps.device_api import DeviceApi
from local.dps.device_authentication import DeviceAuthentication, EnrollmentSearch
from local.dps.faults import Faults
from local.dps.hubs import HubDevices
from local.dps.issuing import IssuingAuthority
from local.dps.operations import Call, Operation, QuotaName, Router
from local.dps.options import Options
from local.dps.provisioning import Provisioning
from local.dps.records import ENROLLMENT_GROUPS, ENROLLMENTS, REGISTRATIONS, Records
from local.dps.request_log import RequestLog
from local.dps.service_api import service_api
from local.dps.throttle import POLLS, Quota, Throttle


@dataclass(frozen=True, kw_only=True)
class Latency:
    """The latency of operations, named as in the JSON of `/_latency`."""

    singleMs: float = 0  # noqa: N815
    bulkMs: float = 0  # noqa: N815


class Instance:
    """The records, devices, faults and limits behind the APIs of one stand-in."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.identity = ManagedIdentity(options)
        self.authorization = Authorization(options=options, identity=self.identity)
        self.request_log = RequestLog()
        self._custom_allocation = CustomAllocation(options)
        self._authority = IssuingAuthority(options.clock)
        self._initialize()

    def reset(self) -> None:
        """Restores the initial state; issued tokens stay valid, because clients cache them."""
        self._provisioning.cancel()
        self._initialize()

    async def close(self) -> None:
        """Cancels the registrations in progress and closes the connections to webhooks."""
        await asyncio.gather(*self._provisioning.cancel(), return_exceptions=True)
        await self._custom_allocation.close()

    def set_quota(self, quota: Quota) -> None:
        """Replaces the quota and resets its counts."""
        self.quota = quota
        # Documented: device registrations have their own quota of the same size.
        self._quotas: Mapping[QuotaName, Quota] = {
            "operations": quota,
            "registrations": quota,
            "polls": replace(POLLS, retryAfter=quota.retryAfter),
        }
        self._throttles: dict[tuple[QuotaName, str], Throttle] = {}

    def admit(self, operation: Operation, call: Call, items: int) -> None:
        """Raises ApiError 429 if the quota of the operation is used up."""
        name = operation.quota
        if name is None or not self.quota.enabled:
            return
        key = name, call.id.lower() if name == "polls" else ""
        if key not in self._throttles:
            self._throttles[key] = Throttle(self._quotas[name], self.options.clock)
        self._throttles[key].admit(items)

    def stats(self) -> dict[str, Any]:
        """Returns the statistics for GET /_stats."""
        collections = (self.enrollments, self.enrollment_groups, self.registrations)
        return self.request_log.as_json() | {
            "records": {records.kind.path: len(records) for records in collections}
        }

    def _initialize(self) -> None:
        options = self.options
        log = self.request_log.add_commit
        self.enrollments = Records(ENROLLMENTS, clock=options.clock, on_commit=log)
        self.enrollment_groups = Records(ENROLLMENT_GROUPS, clock=options.clock, on_commit=log)
        self.registrations = Records(REGISTRATIONS, clock=options.clock)
        self.devices = HubDevices()
        self.certificates = UploadedCertificates()
        self._provisioning = Provisioning(
            options=options,
            registrations=self.registrations,
            devices=self.devices,
            custom_allocation=self._custom_allocation,
            authority=self._authority,
        )
        self.router = self._create_router()
        self.faults = Faults(options.seed)
        self.latency = Latency(singleMs=options.single_ms, bulkMs=options.bulk_ms)
        self.set_quota(
            Quota(enabled=options.throttled, operationsPerMinute=options.operations_per_minute)
        )
        self.request_log.clear()

    def _create_router(self) -> Router:
        search = EnrollmentSearch(
            individual_enrollments=self.enrollments,
            groups=self.enrollment_groups,
            uploaded_certificates=self.certificates,
        )
        device_api = DeviceApi(
            options=self.options,
            authentication=DeviceAuthentication(options=self.options, enrollments=search),
            provisioning=self._provisioning,
            registrations=self.registrations,
        )
        operations = service_api(
            self.options, self.enrollments, self.enrollment_groups, self.registrations
        )
        # The service API comes first: a path matches both if an enrollment's id is `registrations`.
        return Router([*operations, *device_api.operations()])
