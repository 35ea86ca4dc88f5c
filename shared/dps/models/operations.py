"""
What is asked of many records at once: queries and bulk operations.

Source: the Python package azure-iot-deviceprovisioning 1.0.0b1, `query` and `run_bulk_operation`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from shared.dps.models.document import Document, fault, faults_in
from shared.dps.models.enrollments import (
    EnrollmentGroup,
    EnrollmentGroupKey,
    EnrollmentKey,
    IndividualEnrollment,
)


class BulkMode(StrEnum):
    """What becomes of each record; `upsert` is this app's own."""

    CREATE = "create"
    UPDATE = "update"
    UPDATE_IF_MATCH_ETAG = "updateIfMatchETag"
    DELETE = "delete"
    UPSERT = "upsert"


class Operation(StrEnum):
    """What a message asks for one record; over HTTP it is the verb and its If-Match."""

    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"
    DELETE = "delete"


# An etag raw as DPS gives it, or quoted as RFC 9110 has it.
IF_MATCH = re.compile(r'\*|"[A-Za-z0-9+/=_-]+"|[A-Za-z0-9+/=_-]+')
"""The form of an If-Match that DPS may be asked."""


def _check_if_match(value: str) -> str:
    if not IF_MATCH.fullmatch(value):
        raise fault("must be one etag, quoted or not, or *")
    return value


IfMatch = Annotated[str, AfterValidator(_check_if_match)]


class QuerySpecification(Document):
    """What a query selects; DPS honours `SELECT *` and ignores a filter."""

    query: str


class BulkOperation(Document):
    """What bulk operations on individual enrollments and on groups have in common."""

    mode: BulkMode


class BulkEnrollmentOperation(BulkOperation):
    """One operation on many individual enrollments; each is checked by itself."""

    enrollments: list[Any]


class BulkEnrollmentGroupOperation(BulkOperation):
    """One operation on many enrollment groups; each is checked by itself."""

    enrollment_groups: list[Any]


class BulkItemError(Document):
    """Why one record of a bulk operation was not changed."""

    registration_id: str | None = None
    enrollment_group_id: str | None = None
    error_code: int
    error_status: str


class BulkOperationResult(Document):
    """What became of a bulk operation: records without an error were changed."""

    is_successful: bool
    errors: list[BulkItemError] = Field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class RecordKind:
    """What sets individual enrollments and enrollment groups apart."""

    path: str
    """The collection's path, and the member that holds the records of a bulk operation."""
    id_member: str
    record: type[Document]
    key: type[Document]
    bulk: type[BulkOperation]


INDIVIDUAL_ENROLLMENT = RecordKind(
    path="enrollments",
    id_member="registrationId",
    record=IndividualEnrollment,
    key=EnrollmentKey,
    bulk=BulkEnrollmentOperation,
)
ENROLLMENT_GROUP = RecordKind(
    path="enrollmentGroups",
    id_member="enrollmentGroupId",
    record=EnrollmentGroup,
    key=EnrollmentGroupKey,
    bulk=BulkEnrollmentGroupOperation,
)


_MAX_FAULTS = 1000


def faults_in_records(documents: list[Any], kind: RecordKind, *, mode: str) -> dict[str, str]:
    """
    Every fault of the records of a bulk operation, as JSON Pointer to what is wrong.

    Past a thousand faults no further record is looked at.
    """
    # A delete names records; what else they hold does not matter to DPS.
    model = kind.key if mode == BulkMode.DELETE else kind.record
    faults: dict[str, str] = {}
    for position, item in enumerate(documents):
        faults |= faults_in(item, model, at=(kind.path, position))
        if len(faults) >= _MAX_FAULTS:
            return faults | {"": "holds more faults than are named"}
    return faults
