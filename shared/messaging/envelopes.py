"""
What may stand around the records of a request, one model for each thing that can be asked.

An envelope is strict, so that a misspelt member is not lost; the records inside stay open.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

from pydantic import ConfigDict

from shared.documents import pointer
from shared.dps.models import (
    ENROLLMENT_GROUP,
    INDIVIDUAL_ENROLLMENT,
    BulkEnrollmentGroupOperation,
    BulkEnrollmentOperation,
    Document,
    EnrollmentGroup,
    IfMatch,
    IndividualEnrollment,
    Operation,
    RecordKind,
    faults_in,
)
from shared.dps.models.enrollments import EnrollmentGroupKey, EnrollmentKey, RecordId
from shared.dps.models.operations import BulkOperation
from shared.messaging.places import shown

_STRICT = ConfigDict(extra="forbid")


class Put(Document):
    """Writes a record whatever its etag: `create` needs it not to exist, `upsert` does not ask."""

    model_config = _STRICT
    operation: Literal[Operation.CREATE, Operation.UPSERT]


class PutEnrollment(Put):
    """Creates an individual enrollment, or replaces it."""

    enrollment: IndividualEnrollment


class PutEnrollmentGroup(Put):
    """Creates an enrollment group, or replaces it."""

    enrollment_group: EnrollmentGroup


class Update(Document):
    """Replaces a record that exists; with `ifMatch` only if that is still its etag."""

    model_config = _STRICT
    operation: Literal[Operation.UPDATE]
    if_match: IfMatch | None = None


class UpdateEnrollment(Update):
    """Replaces an individual enrollment that exists."""

    enrollment: IndividualEnrollment


class UpdateEnrollmentGroup(Update):
    """Replaces an enrollment group that exists."""

    enrollment_group: EnrollmentGroup


class Delete(Document):
    """Deletes a record; with `ifMatch` only if that is still its etag."""

    model_config = _STRICT
    operation: Literal[Operation.DELETE]
    if_match: IfMatch | None = None


class DeleteById(Delete):
    """Deletes an individual enrollment."""

    registration_id: RecordId


class DeleteGroupById(Delete):
    """Deletes an enrollment group."""

    enrollment_group_id: RecordId


class DeleteEnrollment(Delete):
    """Deletes the individual enrollment that a record names; only its id counts."""

    enrollment: EnrollmentKey


class DeleteEnrollmentGroup(Delete):
    """Deletes the enrollment group that a record names; only its id counts."""

    enrollment_group: EnrollmentGroupKey


class Bulk(BulkOperation):
    """One operation on many records."""

    model_config = _STRICT


class BulkEnrollments(Bulk, BulkEnrollmentOperation):
    """One operation on many individual enrollments; each is checked by itself."""

    model_config = _STRICT


class BulkEnrollmentGroups(Bulk, BulkEnrollmentGroupOperation):
    """One operation on many enrollment groups; each is checked by itself."""

    model_config = _STRICT


KIND_OF_RECORD = {"enrollment": INDIVIDUAL_ENROLLMENT, "enrollmentGroup": ENROLLMENT_GROUP}
KIND_OF_ID = {kind.id_member: kind for kind in KIND_OF_RECORD.values()}
KIND_OF: dict[str, RecordKind] = KIND_OF_RECORD | KIND_OF_ID
"""The members that say what a request is about: exactly one of them."""
KIND_OF_RECORDS: dict[str, RecordKind] = {kind.path: kind for kind in KIND_OF_RECORD.values()}
"""The members that hold the records of a bulk request: exactly one of them."""

_Model = type[Document]
ENVELOPES: dict[Operation, dict[str, _Model]] = {
    Operation.CREATE: {"enrollment": PutEnrollment, "enrollmentGroup": PutEnrollmentGroup},
    Operation.UPSERT: {"enrollment": PutEnrollment, "enrollmentGroup": PutEnrollmentGroup},
    Operation.UPDATE: {"enrollment": UpdateEnrollment, "enrollmentGroup": UpdateEnrollmentGroup},
    Operation.DELETE: {
        "enrollment": DeleteEnrollment,
        "enrollmentGroup": DeleteEnrollmentGroup,
        "registrationId": DeleteById,
        "enrollmentGroupId": DeleteGroupById,
    },
}
BULK_ENVELOPES: dict[str, _Model] = {
    INDIVIDUAL_ENROLLMENT.path: BulkEnrollments,
    ENROLLMENT_GROUP.path: BulkEnrollmentGroups,
}
# For a request that does not say what it is about, or says it in a way that its operation has not.
_BARE: dict[Operation, _Model] = {
    Operation.CREATE: Put,
    Operation.UPSERT: Put,
    Operation.UPDATE: Update,
    Operation.DELETE: Delete,
}


def given(document: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an envelope that are not null: a null is as good as nothing."""
    return {name: value for name, value in document.items() if value is not None}


def operation_in(asked: Mapping[str, Any]) -> Operation | None:
    """The operation of a request; `None` if there is none by that name."""
    found = asked.get("operation")
    return next((operation for operation in Operation if operation == found), None)


def faults_in_request(document: Any, *, at: Collection[str]) -> dict[str, str]:
    """Every fault of a request for one record, and of the record in it."""

    def envelope(asked: Mapping[str, Any], member: str) -> _Model:
        # Without an operation the rest is still looked at, as what has most to say about it.
        operation = operation_in(asked) or (
            Operation.DELETE if member in KIND_OF_ID else Operation.UPDATE
        )
        return ENVELOPES[operation].get(member, _BARE[operation])

    faults = _faults(document, at, KIND_OF, envelope)
    if isinstance(document, dict) and "operation" in given(document) and not operation_in(document):
        faults[pointer(*at, "operation")] = f"must be one of {', '.join(Operation)}"
    return faults


def faults_in_bulk_request(document: Any, *, at: Collection[str]) -> dict[str, str]:
    """Every fault of a request for many records, but not those of the records."""
    return _faults(
        document, at, KIND_OF_RECORDS, lambda _, member: BULK_ENVELOPES.get(member, Bulk)
    )


def _faults(
    document: Any,
    at: Collection[str],
    members: Collection[str],
    envelope: Callable[[Mapping[str, Any], str], _Model],
) -> dict[str, str]:
    if not isinstance(document, dict):
        return {pointer(*at): "must be an object"}
    asked = given(document)
    named = [member for member in members if member in asked]
    faults: dict[str, str] = {}
    for member in named or [""]:
        others = set(members) - {member}
        part = {name: value for name, value in asked.items() if name not in others}
        found = faults_in(part, envelope(asked, member), at=at)
        faults |= {shown(place): words for place, words in found.items()}
    if len(named) != 1:
        faults[pointer(*at)] = f"must have exactly one of {', '.join(members)}"
    return faults
