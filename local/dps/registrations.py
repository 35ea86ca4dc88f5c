"""Registration states: what DPS knows of a device that has come to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.dps.etags import condition
from local.dps.paging import page
from local.dps.records import Record, Records, ordered
from local.dps.replies import Call, Reply

# R; D: where the members stand that no recording shows.
ORDER = (
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
GROUP = "enrollmentGroupId"  # kept with a state, never shown


@dataclass(frozen=True, kw_only=True)
class Registrations:
    """Get, delete, and query by enrollment group."""

    records: Records

    def get(self, call: Call) -> Reply:
        """R for groups; M: registrations of individual enrollments as well."""
        return Reply(200, show(self.records.get(call.id)))

    def delete(self, call: Call) -> Reply:
        """R: 204 without If-Match; D: 412 with a stale one."""
        self.records.delete(call.id, condition(call.headers.get("If-Match")))
        return Reply(204)

    def query(self, call: Call) -> Reply:
        """R: needs no body; M: some SDKs send one. ?: an unknown group has no registrations."""
        group = call.id.lower()
        return page(
            call,
            (r for r in self.records if str(r.members.get(GROUP, "")).lower() == group),
            of=f"registrations/{group}",
            item_type=self.records.kind.item_type,
            show=show,
        )


def show(record: Record) -> dict[str, Any]:
    """A registration state as the service answers it."""
    members = {"registrationId": record.id, **record.members, **record.written()}
    members.pop(GROUP, None)
    return ordered(members, ORDER, keep_nulls=False)


def state_of(records: Records, registration_id: str) -> Mapping[str, Any]:
    """The state to show with an enrollment: unassigned if its device never came (R)."""
    record = records.find(registration_id)
    if record is None:
        return {"registrationId": registration_id, "status": "unassigned"}
    return show(record)
