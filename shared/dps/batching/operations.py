"""Applies changes: as items of a bulk call, with follow-up calls, or by individual calls."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from shared import errors
from shared.dps.batching.items import Change
from shared.dps.context import CallContext
from shared.dps.models import BulkMode, Operation
from shared.dps.read_modify_write import modify, omits_keys, replace
from shared.dps.reconciliation import find_written, not_applied, outcome_unknown
from shared.dps.resources import EnrollmentResource
from shared.dps.responses import bulk_item_errors

MAX_RECORDS_PER_CALL = 10
"""The limit of one bulk call (REST reference, "Run bulk operation")."""

Documents = Sequence[Mapping[str, Any]]

FollowUp = Callable[[EnrollmentResource, Change, CallContext], Awaitable[str | None]]
"""Applies a change by individual calls; returns the record's etag, or `None` if unknown."""


def bulk_mode(change: Change) -> BulkMode | None:
    """Returns the mode of a bulk call that can apply the change; `None` if none can."""
    if change.operation in (Operation.CREATE, Operation.UPSERT):
        return BulkMode.CREATE
    if change.operation == Operation.DELETE:
        # Whether a bulk delete compares etags is not documented.
        return None if change.etag else BulkMode.DELETE
    # A bulk update without an etag fails (recorded by azure-sdk-for-python), and keys that it does
    # not have may be lost.
    fits_bulk = change.etag and not omits_keys(change.body)
    return BulkMode.UPDATE_IF_MATCH_ETAG if fits_bulk else None


def bulk_item(change: Change) -> Mapping[str, Any]:
    """Returns the change as an item of a bulk call."""
    members = {name: value for name, value in change.body.items() if name != "etag"}
    etag = {"etag": change.etag} if change.operation == Operation.UPDATE else {}
    return {**members, change.kind.id_member: change.id, **etag}


async def run_bulk_call(
    resource: EnrollmentResource,
    mode: BulkMode,
    documents: Documents,
    *,
    new_context: Callable[[], CallContext],
) -> dict[str, errors.DpsError]:
    """
    Runs one bulk call; returns the errors of its records by case-folded id.

    An error is also returned for a record whose outcome is unknown. `new_context` returns a context
    with time left: one for the call, and one to read the records if its response was lost. Raises
    the `DpsError` of a call that changed nothing.
    """
    operation = {resource.kind.path: documents, "mode": mode}
    try:
        result = await resource.run_bulk_operation(operation, context=new_context())
        item_errors = bulk_item_errors(result, resource.kind.id_member)
        failed = {id.casefold(): error for id, error in item_errors.items()}
        if failed.keys() - {document[resource.kind.id_member].casefold() for document in documents}:
            raise errors.DpsFaultError(
                "The bulk result has records that are not in the call.", status=200
            )
    except errors.DpsError as error:
        if not error.in_doubt:
            raise
        unchanged = await not_applied(resource, operation, new_context())
        return dict.fromkeys(unchanged, outcome_unknown(error))
    return failed


def was_already_deleted(change: Change, error: errors.DpsError) -> bool:
    """Returns whether the error shows that an earlier delivery deleted the record."""
    is_repeated_delete = change.is_redelivery and change.operation == Operation.DELETE
    return is_repeated_delete and isinstance(error, errors.DpsNotFoundError)


async def apply_individually(
    resource: EnrollmentResource, change: Change, context: CallContext
) -> str | None:
    """Applies a change that no bulk call can apply."""
    if change.operation == Operation.DELETE:
        await _delete(resource, change, context)
        return None
    if change.etag is None:
        record = await replace(resource, change.id, change.body, context=context)
        return record.etag
    try:
        record = await modify(
            resource, change.id, lambda _: change.body, if_match=change.etag, context=context
        )
    except (errors.DpsConflictError, errors.DpsPreconditionFailedError) as error:
        if not change.is_redelivery:
            raise
        return await _etag_if_written(resource, change, context, error=error)
    return record.etag


async def _delete(resource: EnrollmentResource, change: Change, context: CallContext) -> None:
    try:
        await resource.delete(change.id, if_match=change.etag, context=context)
    except errors.DpsNotFoundError as error:
        if not was_already_deleted(change, error):
            raise


async def _etag_if_written(
    resource: EnrollmentResource, change: Change, context: CallContext, *, error: errors.DpsError
) -> str | None:
    """Returns the etag if an earlier delivery wrote the requested record, else raises `error`."""
    record = await find_written(resource, change.id, change.body, context, if_match=change.etag)
    if record is None:
        raise error
    return record.etag


async def _replace(
    resource: EnrollmentResource, change: Change, context: CallContext
) -> str | None:
    """Replaces a record that exists, or creates it if it was deleted meanwhile."""
    try:
        record = await replace(resource, change.id, change.body, context=context)
    except errors.DpsNotFoundError:
        record = await resource.create_or_update(change.id, change.body, context=context)
    return record.etag


async def _update(resource: EnrollmentResource, change: Change, context: CallContext) -> str | None:
    """
    Applies an update for which the bulk call reported that the record already exists.

    DPS reports this for an item whose etag does not match (azure-sdk-for-python,
    test_individual_enrollments, bulk); a PUT with the etag gives a precise error.
    """
    stored = await resource.get(change.id, context=context)
    if stored.etag == change.etag:
        record = await resource.create_or_update(
            change.id, change.body, if_match=change.etag, context=context
        )
        return record.etag
    error = errors.DpsPreconditionFailedError(
        "The record's etag does not match ifMatch.", status=412
    )
    if not change.is_redelivery:
        raise error
    return await _etag_if_written(resource, change, context, error=error)


_FOLLOW_UPS: dict[tuple[Operation, type[errors.DpsError]], FollowUp] = {
    (Operation.UPSERT, errors.DpsConflictError): _replace,
    (Operation.UPDATE, errors.DpsConflictError): _update,
    (Operation.DELETE, errors.DpsBadRequestError): _delete,
}
# On a redelivery these may be the effect of the change itself.
_COMPARED_ON_REDELIVERY = {
    (Operation.CREATE, errors.DpsConflictError),
    (Operation.UPDATE, errors.DpsPreconditionFailedError),
}


def follow_up_for(change: Change, error: errors.DpsError) -> FollowUp | None:
    """Returns what to do for an item that failed in a bulk call; `None` if its error is final."""
    failure = (change.operation, type(error))
    if change.is_redelivery and failure in _COMPARED_ON_REDELIVERY:
        return lambda resource, change, context: _etag_if_written(
            resource, change, context, error=error
        )
    return _FOLLOW_UPS.get(failure)
