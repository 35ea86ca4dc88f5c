"""The stored records: enrollments, enrollment groups and registrations, with their etags."""

import base64
import binascii
import hashlib
import heapq
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local.dps import errors
from local.dps.errors import ApiError, ErrorType
from local.dps.timestamps import SECOND, timestamp

# Documented: up to 128 of these characters, the last one alphanumeric or a dash.
_ID = re.compile(r"[A-Za-z0-9._:-]{0,127}[A-Za-z0-9-]")


def is_valid_id(value: object) -> bool:
    """Returns whether `value` may be a registration id or an enrollment group id."""
    return isinstance(value, str) and bool(_ID.fullmatch(value))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The differences between enrollments, enrollment groups and registrations."""

    path: str
    id_member: str
    item_type: str  # recorded: the x-ms-item-type header of a query
    missing: ErrorType
    exists: ErrorType = errors.ENROLLMENT_EXISTS
    attestations: frozenset[str] = frozenset()
    certificates: frozenset[str] = frozenset()  # the members of attestation.x509
    has_registration_state: bool = False

    @property
    def invalid_id(self) -> str:
        """
        The message for an invalid id, such as "Invalid RegistrationId".

        Reported (azure-docs#17690, azure-iot-sdk-c#405) for enrollments. Assumed for groups.
        """
        return f"Invalid {self.id_member[0].upper()}{self.id_member[1:]}"


ENROLLMENTS = Kind(
    path="enrollments",
    id_member="registrationId",
    item_type="Enrollment",
    missing=errors.ENROLLMENT_NOT_FOUND,
    attestations=frozenset({"none", "tpm", "x509", "symmetricKey"}),
    certificates=frozenset({"clientCertificates"}),
    has_registration_state=True,
)
ENROLLMENT_GROUPS = Kind(
    path="enrollmentGroups",
    id_member="enrollmentGroupId",
    item_type="EnrollmentGroup",
    missing=errors.GROUP_NOT_FOUND,
    exists=errors.GROUP_EXISTS,
    attestations=frozenset({"none", "x509", "symmetricKey"}),  # documented: no TPM for groups
    certificates=frozenset({"signingCertificates", "caReferences"}),
)
REGISTRATIONS = Kind(
    path="registrations",
    id_member="registrationId",
    item_type="DeviceRegistration",
    missing=errors.REGISTRATION_NOT_FOUND,
)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record: the members its writer set, and those that DPS added."""

    id: str
    members: Mapping[str, Any]
    etag: str
    created: str
    updated: str
    position: bytes  # sort key of query results

    def system_members(self) -> dict[str, str]:
        """Returns the members that DPS adds, under their JSON names."""
        return {
            "etag": self.etag,
            "createdDateTimeUtc": self.created,
            "lastUpdatedDateTimeUtc": self.updated,
        }


class IfMatch:
    """
    The condition in an If-Match header or in the etag of a bulk item.

    An etag may be bare (recorded) or quoted (SDK: C#); `*` matches any etag (tested).
    """

    def __init__(self, text: str) -> None:
        etag = text.strip()
        if etag.startswith('"'):
            etag = etag[1:-1] if len(etag) > 1 and etag.endswith('"') else ""
        self._is_any = etag == "*"
        self._etag = etag
        if not self._is_any and not _is_base64(etag):
            # Reported: azure-iot-sdk-csharp#3076.
            raise ApiError(errors.INVALID_REQUEST, "ETag is invalid")

    def matches(self, etag: str) -> bool:
        """Returns whether a record with this etag meets the condition."""
        return self._is_any or self._etag == etag


def read_if_match(headers: Mapping[str, str]) -> IfMatch | None:
    """Returns the condition in the If-Match header, or None without one."""
    text = headers.get("If-Match")
    return None if text is None else IfMatch(text)


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A write of a record, or its deletion: then `etag` is None. `at` is `time.monotonic()`."""

    id: str
    etag: str | None
    at: float


class Records:
    """
    All records of one kind. Documented: ids are case-insensitive.

    `on_commit` is called with every write and deletion.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        clock: Callable[[], int],
        on_commit: Callable[[Commit], None] | None = None,
    ) -> None:
        self.kind = kind
        self._clock = clock
        self._on_commit = on_commit
        # Random, so that an etag from before a reset does not match a record written after it.
        self._write_number = random.SystemRandom().getrandbits(32)
        self._by_id: dict[str, Record] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._by_id.values())

    def find(self, id_: str) -> Record | None:
        """Returns the record with this id, or None."""
        return self._by_id.get(id_.lower())

    def get(self, id_: str) -> Record:
        """Returns the record with this id; raises ApiError 404 if there is none."""
        record = self.find(id_)
        if record is None:
            raise ApiError(self.kind.missing)
        return record

    def check(self, id_: str, if_match: IfMatch) -> Record:
        """
        Returns the record if it meets the condition; raises ApiError 412 if not (documented).

        Assumed: a missing record is 404, even for `*`.
        """
        record = self.get(id_)
        if not if_match.matches(record.etag):
            raise ApiError(errors.PRECONDITION_FAILED)
        return record

    def write(self, id_: str, members: Mapping[str, Any]) -> Record:
        """Stores a record; an existing one keeps its spelling of the id and its creation time."""
        existing = self.find(id_)
        now = self._clock()
        self._write_number = (self._write_number + 1) % 2**32
        record = Record(
            id=existing.id if existing else id_,
            members=members,
            etag=_create_etag(self._write_number, now),
            created=existing.created if existing else timestamp(now),
            updated=timestamp(now),
            position=hashlib.sha256(id_.lower().encode()).digest()[:12],
        )
        self._by_id[id_.lower()] = record
        self._committed(record.id, record.etag)
        return record

    def delete(self, id_: str, if_match: IfMatch | None) -> None:
        """Deletes a record, without `if_match` unconditionally (recorded)."""
        record = self.check(id_, if_match) if if_match else self.get(id_)
        del self._by_id[record.id.lower()]
        self._committed(record.id, None)

    def _committed(self, id_: str, etag: str | None) -> None:
        if self._on_commit is not None:
            self._on_commit(Commit(id=id_, etag=etag, at=time.monotonic()))


def sort_by_position(records: Iterable[Record], *, after: bytes, limit: int) -> list[Record]:
    """
    Returns the first `limit` records after the position `after`.

    Recorded: queries return records ordered neither by id nor by time but, it seems, by the hash
    that Cosmos DB partitions by.
    """
    following = (record for record in records if record.position > after)
    return heapq.nsmallest(limit, following, key=lambda record: record.position)


def _create_etag(number: int, now: int) -> str:
    """Returns an etag. Recorded: base64 of a quoted Cosmos DB etag with the time of the write."""
    etag = f'"{number:08x}-0000-0800-0000-{now // SECOND:08x}0000"'
    return base64.b64encode(etag.encode()).decode()


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False
