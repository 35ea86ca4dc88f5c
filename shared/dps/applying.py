"""How one change is applied: as an item of a bulk call, or by calls of its own."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from shared.dps.changes import Change
from shared.dps.context import CallContext
from shared.dps.models import BulkMode, Operation
from shared.dps.replacing import lacks_keys, replace, rewrite
from shared.dps.resources import EnrollmentResource
from shared.dps.settling import written
from shared.errors import (
    DpsBadRequestError,
    DpsConflictError,
    DpsError,
    DpsNotFoundError,
    DpsPreconditionFailedError,
)

Step = Callable[[EnrollmentResource, Change, CallContext], Awaitable[str | None]]
"""Calls that apply a change, and the record's etag, where they tell it."""


def mode_of(change: Change) -> BulkMode | None:
    """The mode of the bulk calls that can carry the change; `None` if none can."""
    if change.operation in (Operation.CREATE, Operation.UPSERT):
        return BulkMode.CREATE
    if change.operation == Operation.DELETE:
        # Nothing public says that a bulk delete looks at etags.
        return None if change.etag else BulkMode.DELETE
    # A bulk update without etag fails (recorded by azure-sdk-for-python), and keys it does not give
    # may be lost.
    in_bulk = change.etag and not lacks_keys(change.asked)
    return BulkMode.UPDATE_IF_MATCH_ETAG if in_bulk else None


def item_of(change: Change) -> Mapping[str, Any]:
    """The change as an item of a bulk call."""
    members = {name: value for name, value in change.asked.items() if name != "etag"}
    etag = {"etag": change.etag} if change.operation == Operation.UPDATE else {}
    return {**members, change.kind.id_member: change.id, **etag}


def is_done_before(change: Change, error: DpsError) -> bool:
    """Whether the error says that an earlier attempt has done it."""
    is_delete = change.is_repeated and change.operation == Operation.DELETE
    return is_delete and isinstance(error, DpsNotFoundError)


async def alone(resource: EnrollmentResource, change: Change, context: CallContext) -> str | None:
    """Applies what bulk calls cannot."""
    if change.operation == Operation.DELETE:
        await _delete(resource, change, context)
        return None
    if change.etag is None:
        record = await replace(resource, change.id, change.asked, context=context)
        return record.etag
    try:
        record = await rewrite(
            resource, change.id, lambda _: change.asked, if_match=change.etag, context=context
        )
    except (DpsConflictError, DpsPreconditionFailedError) as error:
        if not change.is_repeated:
            raise
        return await _as_asked(resource, change, context, error=error)
    return record.etag


async def _delete(resource: EnrollmentResource, change: Change, context: CallContext) -> None:
    try:
        await resource.delete(change.id, if_match=change.etag, context=context)
    except DpsNotFoundError as error:
        if not is_done_before(change, error):
            raise


async def _as_asked(
    resource: EnrollmentResource, change: Change, context: CallContext, *, error: DpsError
) -> str | None:
    """The etag of a record that an earlier attempt left as asked; raises `error` if it is another."""
    record = await written(resource, change.id, change.asked, context, if_match=change.etag)
    if record is None:
        raise error
    return record.etag


async def _replace(
    resource: EnrollmentResource, change: Change, context: CallContext
) -> str | None:
    """Writes over a record that is there, or was a moment ago."""
    try:
        record = await replace(resource, change.id, change.asked, context=context)
    except DpsNotFoundError:
        record = await resource.create_or_update(change.id, change.asked, context=context)
    return record.etag


async def _update(resource: EnrollmentResource, change: Change, context: CallContext) -> str | None:
    """
    Applies an update that a bulk call refused as if the record were to be created.

    DPS says so of an item whose etag it does not take (azure-sdk-for-python,
    test_individual_enrollments, bulk); a write by the same etag that is not the record's says more.
    """
    stored = await resource.get(change.id, context=context)
    if stored.etag == change.etag:
        record = await resource.create_or_update(
            change.id, change.asked, if_match=change.etag, context=context
        )
        return record.etag
    error = DpsPreconditionFailedError("The record's etag is not the one of ifMatch.", status=412)
    if not change.is_repeated:
        raise error
    return await _as_asked(resource, change, context, error=error)


_STEP_AFTER: dict[tuple[Operation, type[DpsError]], Step] = {
    (Operation.UPSERT, DpsConflictError): _replace,
    (Operation.UPDATE, DpsConflictError): _update,
    (Operation.DELETE, DpsBadRequestError): _delete,
}
_COMPARED = {
    (Operation.CREATE, DpsConflictError),
    (Operation.UPDATE, DpsPreconditionFailedError),
}


def step_after(change: Change, error: DpsError) -> Step | None:
    """What is still to be done for an item that a bulk call refused; `None` if that was the end."""
    refused = (change.operation, type(error))
    if change.is_repeated and refused in _COMPARED:
        return lambda resource, change, context: _as_asked(resource, change, context, error=error)
    return _STEP_AFTER.get(refused)
