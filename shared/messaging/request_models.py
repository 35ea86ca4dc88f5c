"""
Models of the requests that a message can have, one per operation and kind of target.

They refuse unknown members, so that a misspelt member is not ignored. The records inside allow them.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

from pydantic import ConfigDict

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
    find_faults,
    respelled,
)
from shared.dps.models.enrollments import EnrollmentGroupKey, EnrollmentKey, RecordId
from shared.dps.models.operations import BulkOperation
from shared.json_documents import pointer

_STRICT = ConfigDict(extra="forbid")


class Put(Document):
    """Writes a record; `create` fails if it exists, `upsert` replaces it."""

    model_config = _STRICT
    operation: Literal[Operation.CREATE, Operation.UPSERT]


class PutEnrollment(Put):
    """Creates an individual enrollment, or replaces it."""

    enrollment: IndividualEnrollment


class PutEnrollmentGroup(Put):
    """Creates an enrollment group, or replaces it."""

    enrollment_group: EnrollmentGroup


class Update(Document):
    """Replaces a record that exists; with `ifMatch` only if that is its etag."""

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
    """Deletes a record; with `ifMatch` only if that is its etag."""

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
    """Deletes the individual enrollment with a record's id; other members are ignored."""

    enrollment: EnrollmentKey


class DeleteEnrollmentGroup(Delete):
    """Deletes the enrollment group with a record's id; other members are ignored."""

    enrollment_group: EnrollmentGroupKey


class Bulk(BulkOperation):
    """One operation on many records."""

    model_config = _STRICT


class BulkEnrollments(Bulk, BulkEnrollmentOperation):
    """One operation on many individual enrollments; each is validated individually."""

    model_config = _STRICT


class BulkEnrollmentGroups(Bulk, BulkEnrollmentGroupOperation):
    """One operation on many enrollment groups; each is validated individually."""

    model_config = _STRICT


KIND_BY_RECORD_MEMBER = {"enrollment": INDIVIDUAL_ENROLLMENT, "enrollmentGroup": ENROLLMENT_GROUP}
KIND_BY_ID_MEMBER = {kind.id_member: kind for kind in KIND_BY_RECORD_MEMBER.values()}
KIND_BY_MEMBER: dict[str, RecordKind] = KIND_BY_RECORD_MEMBER | KIND_BY_ID_MEMBER
"""The members that name the target of a request; a request has exactly one."""
KIND_BY_RECORDS_MEMBER: dict[str, RecordKind] = {
    kind.path: kind for kind in KIND_BY_RECORD_MEMBER.values()
}
"""The members with the records of a bulk request; a request has exactly one."""

_Model = type[Document]
REQUEST_MODELS: dict[Operation, dict[str, _Model]] = {
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
BULK_REQUEST_MODELS: dict[str, _Model] = {
    INDIVIDUAL_ENROLLMENT.path: BulkEnrollments,
    ENROLLMENT_GROUP.path: BulkEnrollmentGroups,
}
# For a request without a target, or with one that its operation does not have.
_MODELS_WITHOUT_TARGET: dict[Operation, _Model] = {
    Operation.CREATE: Put,
    Operation.UPSERT: Put,
    Operation.UPDATE: Update,
    Operation.DELETE: Delete,
}

# Of a member that several of them have, the last one's record is the more complete.
_ALL_MODELS = (
    *BULK_REQUEST_MODELS.values(),
    *REQUEST_MODELS[Operation.DELETE].values(),
    *REQUEST_MODELS[Operation.UPDATE].values(),
)


def respelled_request(request: Any) -> Any:
    """
    Returns a request, or a merge patch for one, with known names and enum values in their spelling.

    These are its own and those of its records.
    """
    return respelled(request, *_ALL_MODELS)


def non_null_members(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the members of a request that are not null: a null member counts as absent."""
    return {name: value for name, value in document.items() if value is not None}


def read_operation(request: Mapping[str, Any]) -> Operation | None:
    """Returns the operation of a request; `None` if it is missing or unknown."""
    name = request.get("operation")
    return next((operation for operation in Operation if operation == name), None)


def find_request_faults(document: Any, *, at: Collection[str]) -> dict[str, str]:
    """Returns every fault of a request for one record, and of the record in it."""

    def model_for(request: Mapping[str, Any], member: str) -> _Model:
        # Without an operation the rest is validated as the operation with the most members.
        operation = read_operation(request) or (
            Operation.DELETE if member in KIND_BY_ID_MEMBER else Operation.UPDATE
        )
        return REQUEST_MODELS[operation].get(member, _MODELS_WITHOUT_TARGET[operation])

    faults = _find_faults(document, at, KIND_BY_MEMBER, model_for)
    name = document.get("operation") if isinstance(document, dict) else None
    if name is not None and not read_operation(document):
        faults[pointer(*at, "operation")] = f"must be one of {', '.join(Operation)}"
    return faults


def find_bulk_request_faults(document: Any, *, at: Collection[str]) -> dict[str, str]:
    """Returns every fault of a bulk request, without those of its records."""
    return _find_faults(
        document,
        at,
        KIND_BY_RECORDS_MEMBER,
        lambda _, member: BULK_REQUEST_MODELS.get(member, Bulk),
    )


def _find_faults(
    document: Any,
    at: Collection[str],
    targets: Collection[str],
    model_for: Callable[[Mapping[str, Any], str], _Model],
) -> dict[str, str]:
    if not isinstance(document, dict):
        return {pointer(*at): "must be an object"}
    request = non_null_members(document)
    given = [target for target in targets if target in request]
    faults: dict[str, str] = {}
    for target in given or [""]:
        others = set(targets) - {target}
        part = {name: value for name, value in request.items() if name not in others}
        suggestions = () if given else targets
        faults |= find_faults(part, model_for(request, target), at=at, suggestions=suggestions)
    if len(given) != 1:
        faults[pointer(*at)] = f"must have exactly one of {', '.join(targets)}"
    return faults
