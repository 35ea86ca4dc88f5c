"""
Queries and bulk operations.

Source: the Python package azure-iot-deviceprovisioning 1.0.0b1, `query` and `run_bulk_operation`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from shared.dps.models.document import Document, validation_error
from shared.dps.models.enrollments import (
    EnrollmentGroup,
    EnrollmentGroupKey,
    EnrollmentKey,
    IndividualEnrollment,
)
from shared.dps.models.spelling import ItemsOf


class BulkMode(StrEnum):
    """The operation on each record; `upsert` is this app's own."""

    CREATE = "create"
    UPDATE = "update"
    UPDATE_IF_MATCH_ETAG = "updateIfMatchETag"
    DELETE = "delete"
    UPSERT = "upsert"


class Operation(StrEnum):
    """An operation on one record; over HTTP it is the method and If-Match."""

    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"
    DELETE = "delete"


# An etag as DPS returns it, or with quotes as in RFC 9110.
IF_MATCH = re.compile(r'\*|"[A-Za-z0-9+/=_-]+"|[A-Za-z0-9+/=_-]+')
"""The form of If-Match that is sent to DPS."""


def _check_if_match(value: str) -> str:
    if not IF_MATCH.fullmatch(value):
        raise validation_error("must be one etag, with or without quotes, or *")
    return value


IfMatch = Annotated[str, AfterValidator(_check_if_match)]


class QuerySpecification(Document):
    """A query; DPS supports `SELECT *` and ignores a filter."""

    query: str


class BulkOperation(Document):
    """The member that bulk operations on enrollments and on groups share."""

    mode: BulkMode


class BulkEnrollmentOperation(BulkOperation):
    """One operation on many individual enrollments; each is validated individually."""

    enrollments: Annotated[list[Any], ItemsOf(IndividualEnrollment)]


class BulkEnrollmentGroupOperation(BulkOperation):
    """One operation on many enrollment groups; each is validated individually."""

    enrollment_groups: Annotated[list[Any], ItemsOf(EnrollmentGroup)]


class BulkItemError(Document):
    """Why one record of a bulk operation was not changed."""

    registration_id: str | None = None
    enrollment_group_id: str | None = None
    error_code: int
    error_status: str


class BulkOperationResult(Document):
    """The result of a bulk operation: records without an error were changed."""

    is_successful: bool
    errors: list[BulkItemError] = Field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class RecordKind:
    """What differs between individual enrollments and enrollment groups."""

    path: str
    """The collection's path, and the member with the records of a bulk operation."""
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
