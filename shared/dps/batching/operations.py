"""How items are applied: the mode of their bulk call, follow-up calls, individual calls."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from shared import errors
from shared.dps.batching.items import ApplyOptions, RequestItem
from shared.dps.context import CallContext
from shared.dps.models import BulkMode, Operation
from shared.dps.read_modify_write import replace
from shared.dps.reconciliation import Write, is_state_refusal
from shared.dps.resources import EnrollmentResource
from shared.dps.responses import Record
from shared.dps.symmetric_keys import omits_keys

MAX_RECORDS_PER_CALL = 10
"""The limit of one bulk call (REST reference, "Run bulk operation")."""

Documents = Sequence[Mapping[str, Any]]

FollowUp = Callable[
    [EnrollmentResource, RequestItem, ApplyOptions, CallContext], Awaitable[str | None]
]
"""Applies an item by individual calls; returns the record's etag, or `None` if unknown."""


def bulk_mode(item: RequestItem) -> BulkMode | None:
    """Returns the mode of a bulk call that can apply the item; `None` if none can."""
    if item.native_mode:
        return item.native_mode
    if item.operation in (Operation.CREATE, Operation.UPSERT):
        return BulkMode.CREATE
    if item.operation == Operation.DELETE:
        # Whether a bulk delete compares etags is not documented.
        return None if item.etag else BulkMode.DELETE
    # A bulk update without an etag fails (recorded by azure-sdk-for-python), and keys that it does
    # not have may be lost.
    fits_bulk = item.etag and not omits_keys(item.body)
    return BulkMode.UPDATE_IF_MATCH_ETAG if fits_bulk else None


def bulk_document(item: RequestItem) -> Mapping[str, Any]:
    """Returns the item as a record of a bulk call."""
    if item.native_mode:
        return item.body
    members = {name: value for name, value in item.body.items() if name != "etag"}
    etag = {"etag": item.etag} if item.operation == Operation.UPDATE else {}
    return {**members, item.kind.id_member: item.id, **etag}


def was_already_deleted(item: RequestItem, options: ApplyOptions, error: errors.DpsError) -> bool:
    """Returns whether the error shows that an earlier delivery deleted the record."""
    is_repeated_delete = options.is_redelivery and item.operation == Operation.DELETE
    return is_repeated_delete and isinstance(error, errors.DpsNotFoundError)


async def apply_individually(
    resource: EnrollmentResource, item: RequestItem, options: ApplyOptions, context: CallContext
) -> str | None:
    """Applies an update or a delete by individual calls."""
    if item.operation == Operation.UPDATE and item.etag is None:
        record = await replace(resource, item.id, item.body, context=context)
        return record.etag
    try:
        return await _apply_once(resource, item, context)
    except errors.DpsError as error:
        if was_already_deleted(item, options, error):
            return None
        if not _is_compared(item, options, error):
            raise
        return await _compare(resource, item, options, context, error=error)


async def _apply_once(
    resource: EnrollmentResource, item: RequestItem, context: CallContext
) -> str | None:
    if item.operation == Operation.DELETE:
        await resource.delete(item.id, if_match=item.etag, context=context)
        return None
    record = await replace(resource, item.id, item.body, if_match=item.etag, context=context)
    return record.etag


def _is_compared(item: RequestItem, options: ApplyOptions, error: errors.DpsError) -> bool:
    """Returns whether the error may be the effect of an earlier delivery of the item."""
    # The 404 of an update is not: it does not delete its record.
    is_missing = isinstance(error, errors.DpsNotFoundError)
    is_repeatable = item.etag is not None or item.operation == Operation.CREATE
    return options.is_redelivery and is_repeatable and is_state_refusal(error) and not is_missing


async def _compare(
    resource: EnrollmentResource,
    item: RequestItem,
    options: ApplyOptions,
    context: CallContext,
    *,
    error: errors.DpsError,
) -> str | None:
    """Returns the etag if an earlier delivery applied the item; raises like `reconcile`."""
    document = None if item.operation == Operation.DELETE else item.body
    write = Write(id=item.id, document=document, if_match=item.etag)
    # The time is that of Service Bus. A delivery takes longer than the clocks of two services in
    # Azure differ.
    earliest = options.enqueued_at
    record = await resource.reconcile(write, error, earliest=earliest, context=context)
    return record.etag


async def _upsert(
    resource: EnrollmentResource, item: RequestItem, _: ApplyOptions, context: CallContext
) -> str | None:
    """
    Replaces a record that exists, or creates it if it was deleted meanwhile.

    Repeats this while other writers change, create and delete the record, until the context's
    deadline.
    """
    context = resource.with_deadline(context)
    while True:
        try:
            record = await _replace_or_create(resource, item, context)
        except (errors.DpsConflictError, errors.DpsPreconditionFailedError):
            continue
        return record.etag


async def _replace_or_create(
    resource: EnrollmentResource, item: RequestItem, context: CallContext
) -> Record:
    try:
        return await replace(resource, item.id, item.body, context=context)
    except errors.DpsNotFoundError:
        return await resource.create_or_update(item.id, item.body, context=context)


_FOLLOW_UPS: dict[tuple[Operation, type[errors.DpsError]], FollowUp] = {
    (Operation.UPSERT, errors.DpsConflictError): _upsert,
    # DPS reports an etag that does not match like this (azure-sdk-for-python,
    # test_individual_enrollments, bulk); the error of a PUT is precise.
    (Operation.UPDATE, errors.DpsConflictError): apply_individually,
    (Operation.DELETE, errors.DpsBadRequestError): apply_individually,
}


def follow_up_for(
    item: RequestItem, options: ApplyOptions, error: errors.DpsError
) -> FollowUp | None:
    """Returns what to do for an item that failed in a bulk call; `None` if its error is final."""
    if item.native_mode:
        return None
    follow_up = _FOLLOW_UPS.get((item.operation, type(error)))
    if follow_up is None and _is_compared(item, options, error):
        return partial(_compare, error=error)
    return follow_up
