"""Bulk operations over HTTP: up to 10,000 records per request, each with a result of its own."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Any

from shared import errors
from shared.dps.batching.items import (
    MAX_RECORDS_PER_REQUEST,
    ApplyOptions,
    ItemReader,
    ItemResult,
    RequestItem,
    find_record_faults,
)
from shared.dps.batching.operations import MAX_RECORDS_PER_CALL
from shared.dps.batching.writer import HTTP, BatchWriter
from shared.dps.context import CallContext
from shared.dps.models import BulkMode, RecordKind, find_faults
from shared.dps.reconciliation import error_item, outcome_unknown
from shared.dps.resources import EnrollmentResource
from shared.error_catalog import code_for, entry_for
from shared.json_documents import MAX_DOCUMENT_BYTES, pointer

_LOG = logging.getLogger(__name__)
# Records that are submitted at once: twice as many as are in flight. Each takes 2 KB and some time,
# in which nothing else runs.
_MAX_SUBMITTED = 2 * BatchWriter.MAX_BULK_CALLS * MAX_RECORDS_PER_CALL

# How many faults of all records are listed: a fault takes much more memory than the value.
_MAX_LISTED_FAULTS = 100_000

# A call that failed with one of these changed nothing, unless it is in doubt.
_NOT_SENT = (
    errors.DpsUnreachableError,
    errors.DpsCredentialError,
    errors.DpsThrottledError,
    errors.NoPermitError,
)


def find_bulk_faults(
    operation: Any, is_refused: bool = False, *, kind: RecordKind
) -> Mapping[str, str]:
    """
    Returns the faults of a bulk operation as a whole, and of its records if it is refused.

    It is refused if it has such a fault, or with `is_refused`; otherwise the faults of records are
    in their items. Raises `DocumentTooLargeError` above `MAX_RECORDS_PER_REQUEST`.
    """
    faults = find_faults(operation, kind.bulk)
    records = operation.get(kind.path) if isinstance(operation, dict) else None
    if not isinstance(records, list):
        return faults
    if len(records) > MAX_RECORDS_PER_REQUEST:
        message = f"must not exceed {MAX_RECORDS_PER_REQUEST} records"
        raise errors.DocumentTooLargeError(faults | {pointer(kind.path): message})
    faults |= dict(_repeated_ids(records, kind))
    if faults or is_refused:
        faults |= find_record_faults(operation, kind, is_native=True)
    return faults


def _repeated_ids(records: Sequence[Any], kind: RecordKind) -> Iterator[tuple[str, str]]:
    """Yields a fault for each record whose id another one has, as DPS refuses such a call."""
    pointers: dict[str, list[str]] = {}
    for position, record in enumerate(records):
        id = record.get(kind.id_member) if isinstance(record, dict) else None
        if isinstance(id, str):
            at = pointer(kind.path, position, kind.id_member)
            pointers.setdefault(id.casefold(), []).append(at)
    for first, *others in pointers.values():
        for other in others:
            yield first, f"must be unique, without regard to case; {other} has the same id"
            yield other, f"must be unique, without regard to case; {first} has the same id"


@dataclass(frozen=True, slots=True)
class BulkOperation:
    """A bulk operation on one resource, with an item for each record."""

    resource: EnrollmentResource
    mode: BulkMode
    items: Sequence[RequestItem]
    context: CallContext

    @classmethod
    async def read(
        cls,
        resource: EnrollmentResource,
        operation: Mapping[str, Any],
        *,
        size: int,
        context: CallContext,
    ) -> "BulkOperation":
        """Reads an operation without faults; `size` is that of the request in bytes."""
        mode = BulkMode(operation["mode"])
        reader = ItemReader(
            kind=resource.kind,
            mode=mode,
            at=(resource.kind.path,),
            check_size=size > MAX_DOCUMENT_BYTES,
            is_native=mode != BulkMode.UPSERT,
            api_version=context.api_version,
        )
        return cls(resource, mode, await reader.read(operation[resource.kind.path]), context)

    @property
    def fits_one_call(self) -> bool:
        """Whether DPS accepts the operation in one call."""
        is_valid = not any(item.faults for item in self.items)
        is_small = len(self.items) <= MAX_RECORDS_PER_CALL
        return self.mode != BulkMode.UPSERT and is_small and is_valid

    def invalid_results(self) -> list[ItemResult]:
        """Returns the results of the records with faults."""
        return [
            ItemResult(item=item, error=errors.InvalidRequestError(item.faults))
            for item in self.items
            if item.faults
        ]

    async def run(
        self,
        *,
        timeout: float,  # noqa: ASYNC109  it cancels no call
        min_call_seconds: float = 10.0,
    ) -> list[ItemResult]:
        """
        Applies the items and returns their results, in order.

        Throttled items wait until `timeout` seconds have passed. If DPS refuses the credential or
        cannot be reached, no further call starts. Raises that error, or that of throttling, only if
        every record failed for it and none is in doubt. A call has at least `min_call_seconds`.
        """
        options = ApplyOptions(deadline=asyncio.get_running_loop().time() + timeout)
        writer = BatchWriter(
            self.resource, profile=HTTP, context=self.context, min_call_seconds=min_call_seconds
        )
        try:
            results = await self._apply(partial(writer.apply, options=options))
        finally:
            await writer.aclose(timeout=0)
        _raise_if_nothing_done(results)
        return [replace(result, error=_record_error(result.error)) for result in results]

    async def _apply(
        self, apply: Callable[[RequestItem], Awaitable[ItemResult]]
    ) -> list[ItemResult]:
        """Returns the results of all items, in order; a limited number is submitted at once."""
        results: dict[int, ItemResult] = {}
        remaining = iter(enumerate(self.items))

        async def apply_next() -> None:
            for index, item in remaining:
                results[index] = await apply(item)
                await asyncio.sleep(0)  # items with faults wait for nothing

        await asyncio.gather(*(apply_next() for _ in self.items[:_MAX_SUBMITTED]))
        return [results[index] for index in range(len(self.items))]

    def result(
        self, results: Sequence[ItemResult], *, dps_errors: Sequence[Mapping[str, Any]] = ()
    ) -> dict[str, Any]:
        """
        Returns the results in the shape of DPS's bulk result, and logs failures as one line.

        `dps_errors` are DPS's own, for the records that are not among the results.
        """
        positions = {item.record_key: item.position for item in self.items}
        id_member = self.resource.kind.id_member
        own = ((positions.get(str(e.get(id_member)).casefold()) or 0, e) for e in dps_errors)
        limit = min(errors.MAX_FAULTS, _MAX_LISTED_FAULTS // max(1, len(results)))
        ours = (
            (r.item.position or 0, _error(r.item, r.error, limit))
            for r in results
            if r.item and r.error
        )
        failures = [error for _, error in sorted([*own, *ours], key=itemgetter(0))]
        if failures:
            codes = dict(Counter(error.get("errorCode") for error in failures))
            template = "bulk %s: %s of %s records failed, by error code: %s"
            _LOG.warning(template, self.mode, len(failures), len(self.items), codes)
        return {"errors": failures, "isSuccessful": not failures}


def _error(item: RequestItem, error: Exception, max_faults: int) -> dict[str, Any]:
    """Returns the error of a record in DPS's shape; `info` has the first faults by JSON Pointer."""
    id = {item.kind.id_member: item.id} if item.id else {}
    if isinstance(error, errors.OutcomeUnknownError):
        return {**id, **error_item(error)}
    if isinstance(error, errors.InvalidRequestError):
        status = {
            "errorStatus": error.describe(max_faults),
            "info": error.list_faults(max_faults),
        }
    else:
        is_expected = isinstance(error, errors.AppError)
        status = {"errorStatus": str(error) if is_expected else entry_for(error).meaning}
    return {**id, "errorCode": code_for(error), **status}


def _raise_if_nothing_done(results: Sequence[ItemResult]) -> None:
    """
    Raises the error of the items if all have it, so that none was applied or is in doubt.

    An invalid record has a fault of its own, which the caller must see.
    """
    unsent = [
        result.error
        for result in results
        if result.whole_call and isinstance(result.error, (*_NOT_SENT, errors.NotAttemptedError))
        if not result.error.in_doubt
    ]
    if unsent and len(unsent) == len(results):
        raise next((e for e in unsent if not isinstance(e, errors.NotAttemptedError)), unsent[0])


def _record_error(error: Exception | None) -> Exception | None:
    """Returns the error of one record for the error of a call."""
    if isinstance(error, errors.DpsError) and error.in_doubt:
        return outcome_unknown(error)
    # The last two, not in doubt, are those of a read before the write.
    if isinstance(error, (*_NOT_SENT, errors.DpsReplyLostError, errors.DpsTimeoutError)):
        return errors.NotAttemptedError(
            f"The record was not sent to DPS. {error}", tracking_id=error.tracking_id
        )
    return error
