"""
Bulk operations past what DPS takes in one call, and the mode `upsert`, which DPS has not.

DPS refuses a call that names one record twice
(azure-iot-sdk-node, provisioning/service/samples/run_bulk_operation.js).
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.documents import MAX_BYTES, pointer, size
from shared.dps.bulk_calls import MAX_RECORDS, Documents, run_call
from shared.dps.context import CallContext
from shared.dps.models import BulkMode, RecordKind, faults_in, faults_in_records
from shared.dps.replacing import replace
from shared.dps.resources import EnrollmentResource
from shared.dps.settling import perhaps_done
from shared.errors import (
    DocumentTooLargeError,
    DpsConflictError,
    DpsCredentialError,
    DpsError,
    DpsThrottledError,
    DpsUnreachableError,
    NotAttemptedError,
    PacedOutError,
)

MAX_RECORDS_OF_OPERATION = 10_000
"""What one request may ask for: DPS's quota of a minute, at ten records a call."""

# DPS would do no more at the next call.
_IN_VAIN = (
    DpsUnreachableError,
    DpsCredentialError,
    DpsThrottledError,
    NotAttemptedError,
    PacedOutError,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that was not changed, or of which that is not known."""

    id: str
    error: DpsError


def _of_record(error: DpsError) -> DpsError:
    """What the error of a call says of one record."""
    if error.in_doubt:
        return perhaps_done(error)
    if isinstance(error, _IN_VAIN):
        return NotAttemptedError(f"Not attempted: {error}", tracking_id=error.tracking_id)
    return error


def check(operation: Any, *, kind: RecordKind, weigh: bool) -> Mapping[str, str]:
    """
    The faults of a bulk operation and its records.

    `weigh` says that the whole is large enough for a record to be too large: then each is looked at.
    Raises `DocumentTooLargeError` for such records, and for more than `MAX_RECORDS_OF_OPERATION`.
    """
    faults = faults_in(operation, kind.bulk)
    if faults:
        return faults
    documents = operation[kind.path]
    if len(documents) > MAX_RECORDS_OF_OPERATION:
        words = f"may hold {MAX_RECORDS_OF_OPERATION} records at most"
        raise DocumentTooLargeError({pointer(kind.path): words})
    heavy = [
        place for place, document in enumerate(documents) if weigh and size(document) > MAX_BYTES
    ]
    if heavy:
        words = f"may have {MAX_BYTES} bytes at most"
        raise DocumentTooLargeError({pointer(kind.path, place): words for place in heavy})
    return faults_in_records(documents, kind, mode=operation["mode"])


def fits_one_call(operation: Mapping[str, Any], path: str) -> bool:
    """Whether DPS takes the operation as it is."""
    return operation["mode"] != BulkMode.UPSERT and len(operation[path]) <= MAX_RECORDS


async def run_split(
    resource: EnrollmentResource,
    operation: Mapping[str, Any],
    *,
    within: float,
    context: CallContext,
) -> list[Failure]:
    """
    Runs a checked operation as calls of ten, in the order of its records; gives those that failed.

    After `within` seconds no further call starts: the records left are among the failed.
    Raises a `DpsError` only if nothing was changed at all.
    """
    deadline = asyncio.get_running_loop().time() + within
    run = _Run(resource, operation["mode"], context, deadline)
    failures: list[Failure] = []
    for documents in _calls(operation[resource.kind.path], resource.kind.id_member):
        failures += await run.call(documents)
    return failures


def _calls(documents: Documents, id_member: str) -> Iterator[Documents]:
    """Runs of up to ten documents, none naming an id twice; ids are compared without case."""
    call: dict[str, Mapping[str, Any]] = {}
    for document in documents:
        folded = document[id_member].casefold()
        if folded in call or len(call) == MAX_RECORDS:
            yield list(call.values())
            call = {}
        call[folded] = document
    if call:
        yield list(call.values())


@dataclass(slots=True)
class _Run:
    resource: EnrollmentResource
    mode: BulkMode
    context: CallContext
    deadline: float
    is_begun: bool = False
    in_vain: DpsError | None = None
    """What makes all that is left useless."""

    async def call(self, documents: Documents) -> list[Failure]:
        """The failures of the next call; raises what is in `_IN_VAIN` if it is the first."""
        is_first, self.is_begun = not self.is_begun, True
        try:
            if not is_first:
                self._check_worth()
            errors = await self._errors(documents)
        except DpsError as error:
            if isinstance(error, _IN_VAIN):
                if is_first:
                    raise
                self.in_vain = error
            errors = dict.fromkeys(map(self._folded, documents), _of_record(error))
        id_member = self.resource.kind.id_member
        by_id = {self._folded(document): document[id_member] for document in documents}
        return [Failure(id, errors[folded]) for folded, id in by_id.items() if folded in errors]

    def _check_worth(self) -> None:
        if self.in_vain is None and asyncio.get_running_loop().time() >= self.deadline:
            self.in_vain = NotAttemptedError("the time for one request is over.")
        if self.in_vain:
            raise self.in_vain

    def _folded(self, document: Mapping[str, Any]) -> str:
        return str(document[self.resource.kind.id_member]).casefold()

    def _begin(self) -> CallContext:
        """The context of the next thing to do: it has its own time, within that of the whole."""
        return self.resource.begin(self.context, by=self.deadline)

    async def _errors(self, documents: Documents) -> dict[str, DpsError]:
        """Why records were not changed, by their ids without case."""
        is_upsert = self.mode == BulkMode.UPSERT
        mode = BulkMode.CREATE if is_upsert else self.mode
        errors = await run_call(self.resource, mode, documents, begin=self._begin)
        if is_upsert:
            for document in documents:
                await self._replace_existing(document, errors)
        return errors

    async def _replace_existing(
        self, document: Mapping[str, Any], errors: dict[str, DpsError]
    ) -> None:
        """Replaces the record if it exists, and notes why not instead of that it exists."""
        folded = self._folded(document)
        if not isinstance(errors.get(folded), DpsConflictError):
            return
        try:
            self._check_worth()
            id = document[self.resource.kind.id_member]
            await replace(self.resource, id, document, context=self._begin())
            del errors[folded]
        except DpsError as error:
            if isinstance(error, _IN_VAIN):
                self.in_vain = error
            errors[folded] = _of_record(error)
