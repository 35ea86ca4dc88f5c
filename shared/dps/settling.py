"""
What became of writes whose replies were lost: told by the records as they are now.

A write that was done and then repeated looks like a conflict, and a delete like a record that never
was; the stored record tells them from real ones.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.dps.answers import errors_of_items
from shared.dps.comparison import is_as_asked
from shared.dps.context import CallContext
from shared.dps.models import BulkMode
from shared.dps.records import Record
from shared.errors import (
    DpsError,
    DpsFaultError,
    DpsNotFoundError,
    DpsReplyLostError,
    DpsTimeoutError,
    OutcomeUnknownError,
)

if TYPE_CHECKING:
    from shared.dps.resources import EnrollmentResource, Resource

Asked = Mapping[str, Any]

# They say already that nobody knows; any other error would claim to.
_UNKNOWN = (DpsFaultError, DpsReplyLostError, DpsTimeoutError, OutcomeUnknownError)


def unknown(error: DpsError) -> DpsError:
    """What is told of a write that ended with `error` and cannot be settled."""
    return error if isinstance(error, _UNKNOWN) else perhaps_done(error)


def perhaps_done(error: DpsError) -> OutcomeUnknownError:
    """The same of a record that was not alone in the call that ended so."""
    if isinstance(error, OutcomeUnknownError):
        return error
    told = OutcomeUnknownError(
        f"DPS may have done it before it answered: {error}",
        tracking_id=error.tracking_id,
        retry_after=error.retry_after,
    )
    told.__cause__ = error
    return told


async def is_gone(resource: "Resource", id: str, context: CallContext) -> bool:
    """Whether DPS says that there is no such record; raises the `DpsError` of a read that failed."""
    try:
        await resource.get(id, context=context)
    except DpsNotFoundError:
        return True
    return False


async def written(
    resource: "EnrollmentResource",
    id: str,
    asked: Asked,
    context: CallContext,
    *,
    if_match: str | None,
) -> Record | None:
    """
    What DPS answers to a PUT, if the stored record is as asked; `None` if it is not.

    `if_match` is the etag the write was to replace: a record that still has it was not written.
    Raises the `DpsError` of a read that failed.
    """
    try:
        stored = await resource.get(id, context=context)
        attestation = await resource.get_attestation_mechanism(id, context=context)
    except DpsNotFoundError:
        return None
    stored.pop("registrationState", None)
    stored["attestation"] = attestation
    replaced = (if_match or "").strip('"')
    return stored if stored.etag != replaced and is_as_asked(stored, asked) else None


async def result_of(
    resource: "EnrollmentResource", operation: Asked, result: Record, context: CallContext
) -> Record:
    """The result of a bulk operation without the failures that an earlier attempt explains."""
    id_member = resource.kind.id_member
    failed = {id.casefold() for id in errors_of_items(result, id_member)}
    left = await undone(resource, operation, context, among=failed)
    errors = [error for error in result["errors"] if error[id_member].casefold() in left]
    return Record(errors=errors, isSuccessful=not errors)


async def undone(
    resource: "EnrollmentResource",
    operation: Asked,
    context: CallContext,
    *,
    among: set[str] | None = None,
) -> set[str]:
    """
    The ids, without case, of the records that are not as the operation would leave them.

    Looks at those in `among`, or at all; a record that cannot be read counts as one of them.
    """

    async def is_undone(id: str, document: Asked) -> bool:
        try:
            if operation["mode"] == BulkMode.DELETE:
                return not await is_gone(resource, id, context)
            etag = document.get("etag")
            return await written(resource, id, document, context, if_match=etag) is None
        except DpsError:
            return True

    id_member = resource.kind.id_member
    by_id = {document[id_member].casefold(): document for document in operation[resource.kind.path]}
    looked_at = [id for id in by_id if among is None or id in among]
    found = await asyncio.gather(*(is_undone(id, by_id[id]) for id in looked_at))
    return {id for id, missing in zip(looked_at, found, strict=True) if missing}
