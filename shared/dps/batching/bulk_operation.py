"""
Bulk operations of any size over HTTP, in calls of ten records, and the mode `upsert`.

DPS refuses a call that names one record twice
(azure-iot-sdk-node, provisioning/service/samples/run_bulk_operation.js).
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared import errors
from shared.dps.batching.operations import MAX_RECORDS_PER_CALL, Documents, run_bulk_call
from shared.dps.context import CallContext
from shared.dps.models import BulkMode, RecordKind, find_faults, find_record_faults
from shared.dps.read_modify_write import replace
from shared.dps.reconciliation import outcome_unknown
from shared.dps.resources import EnrollmentResource
from shared.json_documents import MAX_DOCUMENT_BYTES, json_size, pointer

MAX_RECORDS_PER_REQUEST = 10_000
"""The limit of one request: the default DPS quota of one minute, at ten records per call."""

# After one of these the next call would fail too.
_STOPPING_ERRORS = (
    errors.DpsUnreachableError,
    errors.DpsCredentialError,
    errors.DpsThrottledError,
    errors.NotAttemptedError,
    errors.NoPermitError,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that was not changed, or whose outcome is unknown."""

    id: str
    error: errors.DpsError


def find_bulk_faults(operation: Any, *, kind: RecordKind, check_size: bool) -> Mapping[str, str]:
    """
    Returns the faults of a bulk operation and its records.

    `check_size` is false if the request is so small that no record can exceed the limit. Raises
    `DocumentTooLargeError` for records above the limit, and above `MAX_RECORDS_PER_REQUEST`.
    """
    faults = find_faults(operation, kind.bulk)
    if faults:
        return faults
    documents = operation[kind.path]
    if len(documents) > MAX_RECORDS_PER_REQUEST:
        message = f"must not exceed {MAX_RECORDS_PER_REQUEST} records"
        raise errors.DocumentTooLargeError({pointer(kind.path): message})
    too_large = [
        position
        for position, document in enumerate(documents)
        if check_size and json_size(document) > MAX_DOCUMENT_BYTES
    ]
    if too_large:
        message = f"must not exceed {MAX_DOCUMENT_BYTES} bytes"
        raise errors.DocumentTooLargeError(
            {pointer(kind.path, position): message for position in too_large}
        )
    return find_record_faults(documents, kind, mode=operation["mode"])


def fits_one_call(operation: Mapping[str, Any], path: str) -> bool:
    """Returns whether DPS accepts the operation unchanged."""
    return operation["mode"] != BulkMode.UPSERT and len(operation[path]) <= MAX_RECORDS_PER_CALL


async def run_bulk_operation(
    resource: EnrollmentResource,
    operation: Mapping[str, Any],
    *,
    timeout: float,  # noqa: ASYNC109  it stops new calls, and cancels none
    context: CallContext,
) -> list[Failure]:
    """
    Runs a valid operation as calls of ten records, in their order; returns the failures.

    After `timeout` seconds no further call starts: the remaining records are among the failures.
    Raises a `DpsError` only if nothing was changed.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    run = _Run(resource, operation["mode"], context, deadline)
    failures: list[Failure] = []
    for documents in _batches(operation[resource.kind.path], resource.kind.id_member):
        failures += await run.call(documents)
    return failures


def _batches(documents: Documents, id_member: str) -> Iterator[Documents]:
    """Yields up to ten consecutive documents with distinct case-folded ids."""
    batch: dict[str, Mapping[str, Any]] = {}
    for document in documents:
        folded_id = document[id_member].casefold()
        if folded_id in batch or len(batch) == MAX_RECORDS_PER_CALL:
            yield list(batch.values())
            batch = {}
        batch[folded_id] = document
    if batch:
        yield list(batch.values())


def _record_error(error: errors.DpsError) -> errors.DpsError:
    """Returns the error of one record for the error of a whole call."""
    if error.in_doubt:
        return outcome_unknown(error)
    if isinstance(error, _STOPPING_ERRORS):
        return errors.NotAttemptedError(f"Not attempted: {error}", tracking_id=error.tracking_id)
    return error


@dataclass(slots=True)
class _Run:
    resource: EnrollmentResource
    mode: BulkMode
    context: CallContext
    deadline: float
    is_started: bool = False
    stopped_by: errors.DpsError | None = None
    """The error after which no further call is started."""

    async def call(self, documents: Documents) -> list[Failure]:
        """Returns the failures of the next call; raises a stopping error of the first call."""
        is_first, self.is_started = not self.is_started, True
        try:
            if not is_first:
                self._check_stopped()
            failed = await self._errors(documents)
        except errors.DpsError as error:
            if isinstance(error, _STOPPING_ERRORS):
                if is_first:
                    raise
                self.stopped_by = error
            failed = dict.fromkeys(map(self._folded_id, documents), _record_error(error))
        id_member = self.resource.kind.id_member
        ids = {self._folded_id(document): document[id_member] for document in documents}
        return [Failure(id, failed[folded]) for folded, id in ids.items() if folded in failed]

    def _check_stopped(self) -> None:
        if self.stopped_by is None and asyncio.get_running_loop().time() >= self.deadline:
            self.stopped_by = errors.NotAttemptedError("the deadline of the request has passed.")
        if self.stopped_by:
            raise self.stopped_by

    def _folded_id(self, document: Mapping[str, Any]) -> str:
        return str(document[self.resource.kind.id_member]).casefold()

    def _new_context(self) -> CallContext:
        """Returns a context with the time of one call, within the time of the request."""
        return self.resource.with_deadline(self.context, latest=self.deadline)

    async def _errors(self, documents: Documents) -> dict[str, errors.DpsError]:
        """Returns the errors of the records by case-folded id."""
        is_upsert = self.mode == BulkMode.UPSERT
        mode = BulkMode.CREATE if is_upsert else self.mode
        failed = await run_bulk_call(self.resource, mode, documents, new_context=self._new_context)
        if is_upsert:
            for document in documents:
                await self._replace_existing(document, failed)
        return failed

    async def _replace_existing(
        self, document: Mapping[str, Any], failed: dict[str, errors.DpsError]
    ) -> None:
        """Replaces the record if it exists, and updates its error."""
        folded_id = self._folded_id(document)
        if not isinstance(failed.get(folded_id), errors.DpsConflictError):
            return
        try:
            self._check_stopped()
            id = document[self.resource.kind.id_member]
            await replace(self.resource, id, document, context=self._new_context())
            del failed[folded_id]
        except errors.DpsError as error:
            if isinstance(error, _STOPPING_ERRORS):
                self.stopped_by = error
            failed[folded_id] = _record_error(error)
