"""One provisioning service instance: all that it remembers."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.dps.authorization import Authorization
from local.dps.custom_allocation import CustomAllocation
from local.dps.device_api import DeviceApi
from local.dps.device_authentication import DeviceAuthentication
from local.dps.devices import Devices
from local.dps.entries import Entries
from local.dps.faults import Faults
from local.dps.identity import Identity
from local.dps.options import Options
from local.dps.provisioning import Provisioning
from local.dps.records import ENROLLMENT_GROUPS, ENROLLMENTS, REGISTRATIONS, Kind, Records
from local.dps.routing import Operation, QuotaName, Router
from local.dps.service_api import service_api
from local.dps.throttle import Quota, Throttle
from local.dps.traffic import Traffic


@dataclass(frozen=True, kw_only=True)
class Latency:
    """The time operations take, named as on the wire."""

    singleMs: float = 0  # noqa: N815
    bulkMs: float = 0  # noqa: N815


class Instance:
    """The state behind the APIs of one stand-in."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.identity = Identity(options)
        self.authorization = Authorization(options=options, identity=self.identity)
        self.traffic = Traffic()
        self._custom_allocation = CustomAllocation(options)
        self._forget()

    def reset(self) -> None:
        """As new; only tokens stay good, for clients keep them."""
        self._provisioning.cancel()
        self._forget()

    async def close(self) -> None:
        """Ends the registrations under way and hangs up on the webhooks."""
        # They are cancelled already: nothing keeps them from ending.
        await asyncio.gather(*self._provisioning.cancel(), return_exceptions=True)
        await self._custom_allocation.close()

    def set_quota(self, quota: Quota) -> None:
        """Starts counting anew, by these settings."""
        self.quota = quota
        # D: device registrations have a quota of their own, of the same size.
        self._throttles: Mapping[QuotaName, Throttle] = {
            "operations": Throttle(quota, self.options.clock),
            "registrations": Throttle(quota, self.options.clock),
        }

    def admit(self, operation: Operation, items: int) -> None:
        """429 if the quota that the operation falls under is used up."""
        if operation.quota is not None:
            self._throttles[operation.quota].admit(items)

    def stats(self) -> dict[str, Any]:
        """What GET /_stats answers."""
        collections = (self.enrollments, self.enrollment_groups, self.registrations)
        return self.traffic.as_json() | {
            "records": {records.kind.path: len(records) for records in collections}
        }

    def _forget(self) -> None:
        options = self.options
        self.enrollments = self._records(ENROLLMENTS)
        self.enrollment_groups = self._records(ENROLLMENT_GROUPS)
        self.registrations = self._records(REGISTRATIONS)
        self.devices = Devices()
        self._provisioning = Provisioning(
            options=options,
            registrations=self.registrations,
            devices=self.devices,
            custom=self._custom_allocation,
        )
        self.router = self._router()
        self.faults = Faults(options.seed)
        self.latency = Latency(singleMs=options.single_ms, bulkMs=options.bulk_ms)
        self.set_quota(
            Quota(enabled=options.throttled, operationsPerMinute=options.operations_per_minute)
        )
        self.traffic.forget()

    def _router(self) -> Router:
        entries = Entries(enrollments=self.enrollments, groups=self.enrollment_groups)
        device_api = DeviceApi(
            options=self.options,
            authentication=DeviceAuthentication(options=self.options, entries=entries),
            provisioning=self._provisioning,
            registrations=self.registrations,
        )
        operations = service_api(
            self.options, self.enrollments, self.enrollment_groups, self.registrations
        )
        # In this order, for a path may fit both: an enrollment may be called `registrations`.
        return Router([*operations, *device_api.operations()])

    def _records(self, kind: Kind) -> Records:
        # Seeded by nothing: an etag of yesterday must not match a record of today.
        return Records(kind, clock=self.options.clock, rng=random.SystemRandom())
