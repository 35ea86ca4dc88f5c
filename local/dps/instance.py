"""One provisioning service instance: all that it remembers."""

import random
from dataclasses import dataclass
from typing import Any

from local.dps.authorization import Authorization
from local.dps.faults import Faults
from local.dps.identity import Identity
from local.dps.options import Options
from local.dps.records import ENROLLMENT_GROUPS, ENROLLMENTS, REGISTRATIONS, Kind, Records
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
        self.reset()

    def reset(self) -> None:
        """As new; only tokens stay good, for clients keep them."""
        options = self.options
        self.enrollments = self._records(ENROLLMENTS)
        self.enrollment_groups = self._records(ENROLLMENT_GROUPS)
        self.registrations = self._records(REGISTRATIONS)
        self.service_api = service_api(
            options, self.enrollments, self.enrollment_groups, self.registrations
        )
        self.faults = Faults(options.seed)
        self.latency = Latency(singleMs=options.single_ms, bulkMs=options.bulk_ms)
        self.set_quota(
            Quota(enabled=options.throttled, operationsPerMinute=options.operations_per_minute)
        )
        self.traffic.forget()

    def set_quota(self, quota: Quota) -> None:
        """Starts counting anew, by these settings."""
        self.throttle = Throttle(quota, self.options.clock)

    def stats(self) -> dict[str, Any]:
        """What GET /_stats answers."""
        collections = (self.enrollments, self.enrollment_groups, self.registrations)
        return self.traffic.as_json() | {
            "records": {records.kind.path: len(records) for records in collections}
        }

    def _records(self, kind: Kind) -> Records:
        # Seeded by nothing: an etag of yesterday must not match a record of today.
        return Records(kind, clock=self.options.clock, rng=random.SystemRandom())
