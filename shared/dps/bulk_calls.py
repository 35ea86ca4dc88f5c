"""One bulk call, and what became of each of its records."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.dps.answers import errors_of_items
from shared.dps.context import CallContext
from shared.dps.models import BulkMode
from shared.dps.resources import EnrollmentResource
from shared.dps.settling import perhaps_done, undone
from shared.errors import DpsError, DpsFaultError

MAX_RECORDS = 10
"""What DPS takes in one call (REST reference, "Run bulk operation")."""

Documents = Sequence[Mapping[str, Any]]


async def run_call(
    resource: EnrollmentResource,
    mode: BulkMode,
    documents: Documents,
    *,
    begin: Callable[[], CallContext],
) -> dict[str, DpsError]:
    """
    Why records were not changed, or are not known to be, by their ids without case.

    `begin` gives a context with time left: for the call and, if its replies were lost, once more to
    look at the records. Raises the `DpsError` of a call that changed nothing.
    """
    operation = {resource.kind.path: documents, "mode": mode}
    try:
        result = await resource.run_bulk_operation(operation, context=begin())
        errors = errors_of_items(result, resource.kind.id_member)
        failed = {id.casefold(): error for id, error in errors.items()}
        if failed.keys() - {document[resource.kind.id_member].casefold() for document in documents}:
            raise DpsFaultError("DPS names records that the call does not hold.", status=200)
    except DpsError as error:
        if not error.in_doubt:
            raise
        left = await undone(resource, operation, begin())
        return dict.fromkeys(left, perhaps_done(error))
    return failed
