"""
Bulk operations past what DPS takes in one call, and the mode `upsert`, which DPS has not.

DPS takes ten records a call (REST reference, "Run bulk operation") and refuses a call that names one
of them twice (azure-iot-sdk-node, provisioning/service/samples/run_bulk_operation.js).
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.documents import MAX_BYTES, pointer
from shared.dps.answers import errors_of_items
from shared.dps.context import CallContext
from shared.dps.models import BulkMode, RecordKind, faults_in, faults_in_records
from shared.dps.replacing import replace
from shared.dps.resources import EnrollmentResource
from shared.dps.settling import undone
from shared.errors import (
    DocumentTooLargeError,
    DpsConflictError,
    DpsCredentialError,
    DpsError,
    DpsThrottledError,
    DpsUnreachableError,
    NotAttemptedError,
    OutcomeUnknownError,
)

MAX_RECORDS = 10
"""What DPS takes in one call."""
MAX_RECORDS_OF_OPERATION = 10_000
"""What one request may ask for: DPS's quota of a minute, at ten records a call."""

# DPS would do no more at the next call.
_IN_VAIN = (DpsUnreachableError, DpsCredentialError, DpsThrottledError, NotAttemptedError)

Documents = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that was not changed, or of which that is not known."""

    id: str
    error: DpsError

    @classmethod
    def of(cls, id: str, error: DpsError) -> "Failure":
        """The failure of one record that an error of a whole call makes."""
        if error.in_doubt:
            error = OutcomeUnknownError(f"Perhaps done: {error}", tracking_id=error.tracking_id)
        elif isinstance(error, _IN_VAIN):
            error = NotAttemptedError(f"Not attempted: {error}", tracking_id=error.tracking_id)
        return cls(id, error)


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
        place for place, document in enumerate(documents) if weigh and _bytes(document) > MAX_BYTES
    ]
    if heavy:
        words = f"may have {MAX_BYTES} bytes at most"
        raise DocumentTooLargeError({pointer(kind.path, place): words for place in heavy})
    return faults_in_records(documents, kind, mode=operation["mode"])


def _bytes(document: Any) -> int:
    compact = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return len(compact.encode(errors="surrogatepass"))


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
    calls = list(_calls(operation[resource.kind.path], resource.kind.id_member))
    failures: list[Failure] = []
    for number, documents in enumerate(calls):
        try:
            if number and asyncio.get_running_loop().time() >= deadline:
                raise NotAttemptedError("the time for one request is over.")
            failures += await run.call(documents)
        except _IN_VAIN as error:
            if not number:
                raise
            left = [document for rest in calls[number:] for document in rest]
            return failures + run.all_failed(left, error)
        if run.in_vain:
            left = [document for rest in calls[number + 1 :] for document in rest]
            return failures + run.all_failed(left, run.in_vain)
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
    in_vain: DpsError | None = None
    """What makes further calls useless, met after some of a call was done."""

    def begin(self) -> CallContext:
        """The context of the next thing to do: it has its own time, within that of the whole."""
        return self.resource.begin(self.context, by=self.deadline)

    async def call(self, documents: Documents) -> list[Failure]:
        """The failures of one call; raises what is in `_IN_VAIN`, if nothing was done."""
        mode = BulkMode.CREATE if self.mode == BulkMode.UPSERT else self.mode
        operation = {self.resource.kind.path: documents, "mode": mode}
        try:
            result = await self.resource.run_bulk_operation(operation, context=self.begin())
            errors = errors_of_items(result, self.resource.kind.id_member)
        except DpsError as error:
            if error.in_doubt:
                documents = await self._undone(operation)
            elif isinstance(error, _IN_VAIN):
                raise
            return self.all_failed(documents, error)
        if self.mode == BulkMode.UPSERT:
            errors = await self._replace_existing(documents, errors)
        return [Failure(id, error) for id, error in errors.items()]

    async def _undone(self, operation: Mapping[str, Any]) -> Documents:
        left = await undone(self.resource, operation, self.begin())
        id_member = self.resource.kind.id_member
        return [d for d in operation[self.resource.kind.path] if d[id_member].casefold() in left]

    def all_failed(self, documents: Documents, error: DpsError) -> list[Failure]:
        """The same error for every document."""
        return [Failure.of(document[self.resource.kind.id_member], error) for document in documents]

    async def _replace_existing(
        self, documents: Documents, errors: Mapping[str, DpsError]
    ) -> dict[str, DpsError]:
        """What is left of the errors once every record that exists was replaced."""
        left: dict[str, DpsError] = {}
        by_id = {doc[self.resource.kind.id_member].casefold(): doc for doc in documents}
        for id, error in errors.items():
            document = by_id.get(id.casefold())
            if document is None or not isinstance(error, DpsConflictError):
                left[id] = error
            elif failed := await self._replace(id, document):
                left[id] = Failure.of(id, failed).error
        return left

    async def _replace(self, id: str, document: Mapping[str, Any]) -> DpsError | None:
        """Why a record was not replaced."""
        if asyncio.get_running_loop().time() >= self.deadline:
            self.in_vain = NotAttemptedError("the time for one request is over.")
        if self.in_vain:
            return self.in_vain
        try:
            await replace(self.resource, id, document, context=self.begin())
        except DpsError as error:
            if isinstance(error, _IN_VAIN):
                self.in_vain = error
            return error
        return None
