"""What the stand-in remembers: the kinds of records, and the records of one kind."""

import hashlib
import heapq
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local.dps import rules
from local.dps.errors import Refused
from local.dps.etags import Condition, counter, make_etag
from local.dps.rules import Refusal
from local.dps.timestamps import timestamp


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What differs between enrollments, enrollment groups and registrations."""

    path: str
    id_member: str
    item_type: str  # R: the x-ms-item-type header of a query
    missing: Refusal
    exists: Refusal = rules.ENROLLMENT_EXISTS
    attestations: frozenset[str] = frozenset()
    certificates: frozenset[str] = frozenset()  # the members of attestation.x509
    has_registration_state: bool = False


ENROLLMENTS = Kind(
    path="enrollments",
    id_member="registrationId",
    item_type="Enrollment",
    missing=rules.NO_ENROLLMENT,
    attestations=frozenset({"none", "tpm", "x509", "symmetricKey"}),
    certificates=frozenset({"clientCertificates"}),
    has_registration_state=True,
)
ENROLLMENT_GROUPS = Kind(
    path="enrollmentGroups",
    id_member="enrollmentGroupId",
    item_type="EnrollmentGroup",
    missing=rules.NO_GROUP,
    exists=rules.GROUP_EXISTS,
    attestations=frozenset({"none", "x509", "symmetricKey"}),  # D: TPM is individual only
    certificates=frozenset({"signingCertificates", "caReferences"}),
)
REGISTRATIONS = Kind(
    path="registrations",
    id_member="registrationId",
    item_type="DeviceRegistration",
    missing=rules.NO_REGISTRATION,
)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record: what its writer set, and what the service added."""

    id: str
    members: Mapping[str, Any]
    etag: str
    created: str
    updated: str
    position: bytes  # its place in a query

    def written(self) -> dict[str, str]:
        """What the service adds, by the names of the wire."""
        return {
            "etag": self.etag,
            "createdDateTimeUtc": self.created,
            "lastUpdatedDateTimeUtc": self.updated,
        }


class Records:
    """All records of one kind; ids are compared without case (D)."""

    def __init__(self, kind: Kind, *, clock: Callable[[], int], rng: random.Random) -> None:
        self.kind = kind
        self._clock = clock
        self._numbers = counter(rng)
        self._by_id: dict[str, Record] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._by_id.values())

    def find(self, id_: str) -> Record | None:
        """The record with this id, if there is one."""
        return self._by_id.get(id_.lower())

    def get(self, id_: str) -> Record:
        """The record with this id; refused if there is none."""
        record = self.find(id_)
        if record is None:
            raise Refused(self.kind.missing)  # E for enrollments and groups, ? for registrations
        return record

    def expect(self, id_: str, if_match: Condition) -> Record:
        """The record that `if_match` means; 412 if it is another by now (D).

        ?: a missing record is 404 even for `*`.
        """
        record = self.get(id_)
        if not if_match.holds(record.etag):
            raise Refused(rules.STALE)
        return record

    def write(self, id_: str, members: Mapping[str, Any]) -> Record:
        """Stores a record; its id keeps the case and its creation the time of the first write."""
        old = self.find(id_)
        now = self._clock()
        record = Record(
            id=old.id if old else id_,
            members=members,
            etag=make_etag(next(self._numbers), now),
            created=old.created if old else timestamp(now),
            updated=timestamp(now),
            position=hashlib.sha256(id_.lower().encode()).digest()[:12],
        )
        self._by_id[id_.lower()] = record
        return record

    def delete(self, id_: str, if_match: Condition | None) -> None:
        """Removes a record, unconditionally without `if_match` (R)."""
        record = self.expect(id_, if_match) if if_match else self.get(id_)
        del self._by_id[record.id.lower()]


def in_order(records: Iterable[Record], *, after: bytes, limit: int) -> list[Record]:
    """The next `limit` records of a query: by neither id nor time, as Cosmos partitions (R)."""
    following = (record for record in records if record.position > after)
    return heapq.nsmallest(limit, following, key=lambda record: record.position)


def ordered(
    members: Mapping[str, Any], order: tuple[str, ...], *, keep_nulls: bool = True
) -> dict[str, Any]:
    """The same members in the given order, those that it does not name at the end."""
    names = [*(name for name in order if name in members), *(n for n in members if n not in order)]
    return {name: members[name] for name in names if keep_nulls or members[name] is not None}
