"""The resources of the DPS service API and their operations."""

import asyncio
import logging
import math
from collections import ChainMap
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared.dps.api_versions import find_lost, is_unknown_version, own_members
from shared.dps.context import DEFAULT_CONTEXT, Attempts, CallContext
from shared.dps.models import BulkMode, Document, RecordKind
from shared.dps.reconciliation import (
    Finding,
    Write,
    error_item,
    final_error,
    is_state_refusal,
    outcome_unknown,
    unresolved,
)
from shared.dps.responses import Answer, Page, Record, bulk_item_errors
from shared.dps.server_clock import NEVER, Moment
from shared.dps.webhook_urls import complete_document, complete_operation
from shared.errors import DpsBadRequestError, DpsError, DpsNotFoundError

if TYPE_CHECKING:
    from shared.dps.transport import Transport

_LOG = logging.getLogger(__name__)

# However late a bulk call ended, its records can still be read.
_MIN_READ_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """
    A query: `async for record in query`, `async for page in query.by_page()`, or one `page()`.

    `top` is the page size; for `None` DPS uses 100.
    """

    transport: "Transport"
    path: str
    document: Any
    top: int | None
    continuation: str | None
    context: CallContext

    async def page(self, continuation: str | None = None) -> Page:
        """Returns the page of the token `continuation`, or the first page of this query."""
        answer = await self.transport.send(
            "POST",
            self.path,
            document=self.document,
            headers={
                "x-ms-max-item-count": None if self.top is None else str(self.top),
                "x-ms-continuation": continuation or self.continuation,
            },
            context=self.context,
        )
        return answer.page()

    async def by_page(self) -> AsyncIterator[Page]:
        """Yields every page, with one call to DPS each."""
        page = await self.page()
        yield page
        while page.continuation:
            page = await self.page(page.continuation)
            yield page

    async def __aiter__(self) -> AsyncIterator[Record]:
        """Yields every record."""
        async for page in self.by_page():
            for record in page.records:
                yield record


class Resource:
    """A collection of records. Every operation raises the `DpsError` of a failed call."""

    def __init__(self, transport: "Transport", path: str) -> None:
        self._transport = transport
        self._path = path

    def with_deadline(self, context: CallContext, *, latest: float = math.inf) -> CallContext:
        """Returns the context with the deadline of one call, at most the loop's time `latest`."""
        started = self._transport.with_deadline(context)
        return replace(started, deadline=min(latest, started.deadline or latest))

    def api_version(self, context: CallContext) -> str:
        """Returns the API version of a call."""
        return context.api_version or self._transport.api_versions.default

    async def acquire_permit(self, context: CallContext) -> CallContext:
        """
        Waits until a call may start, and returns the context with the permit for it.

        Raises `NoPermitError` if that would be after the context's deadline.
        """
        return await self._transport.acquire_permit(context)

    def _record_path(self, id: str) -> str:
        return f"{self._path}/{quote(id, safe='')}"

    async def get(self, id: str, *, context: CallContext = DEFAULT_CONTEXT) -> Record:
        """Returns the record, without symmetric keys."""
        answer = await self._transport.send("GET", self._record_path(id), context=context)
        return answer.record()

    async def delete(
        self,
        id: str,
        *,
        if_match: str | None = None,
        context: CallContext = DEFAULT_CONTEXT,
    ) -> None:
        """
        Deletes the record; with `if_match` only if that is its etag.

        After a lost response it succeeds if the record is gone. A record that was created since
        the first attempt is not deleted: that raises `OverwrittenError`.
        """
        context = self._transport.with_deadline(context)
        write = Write(id=id, document=None, if_match=if_match)
        attempts = Attempts(repeats_in_doubt=not write.is_unconditional)
        try:
            await self._send(write, attempts, context)
        except DpsError as error:
            if not error.in_doubt:
                raise
            await self._reconcile(write, attempts, error, context)

    def _send(self, write: Write, attempts: Attempts, context: CallContext) -> Awaitable[Answer]:
        return self._transport.send(
            "DELETE" if write.document is None else "PUT",
            self._record_path(write.id),
            document=write.document,
            headers={"If-Match": write.if_match},
            context=context,
            writes=attempts,
        )

    async def _reconcile(
        self, write: Write, attempts: Attempts, error: DpsError, context: CallContext
    ) -> Record:
        """
        Finds out whether a write in doubt was applied, and repeats it if it was not.

        Returns the record that a PUT has stored; it is empty for a DELETE. The transport does not
        repeat unconditional writes: they are repeated here, on condition that the record is
        unchanged. Raises `error` if the record shows that no attempt was applied, and otherwise that
        the outcome is unknown.
        """
        while True:
            attempts.mark_in_doubt()
            finding = await self._find(write, attempts, error, context)
            stored = finding.stored
            if finding.is_applied:
                return stored or Record()
            if stored is None or not self._is_repeat_due(write, finding, attempts, error, context):
                raise final_error(write, finding, error)
            if_match = stored.etag if write.is_unconditional else write.if_match
            try:
                answer = await self._send(replace(write, if_match=if_match), attempts, context)
                return Record() if write.document is None else answer.record()
            except DpsError as repeated:
                error = repeated

    async def _find(
        self, write: Write, attempts: Attempts, error: DpsError, context: CallContext
    ) -> Finding:
        """Returns what the record shows; raises `error` as unresolved if it cannot be read."""
        try:
            stored = await self._read(write, context)
        except DpsNotFoundError:
            stored = None
        except DpsError as read_error:
            error.retry_after = error.retry_after or read_error.retry_after
            raise unresolved(error)  # noqa: B904  it has its own cause
        since = attempts.in_doubt_since or NEVER
        if write.document is not None:
            # The version of the write shows what it can have stored, and nothing else.
            shown = own_members(write.document, self.api_version(context))
            write = replace(write, document=shown)
        return write.find(stored, partial(self._transport.clock.is_before, moment=since))

    async def _read(self, write: Write, context: CallContext) -> Record:
        """Returns the stored record, like the response to a PUT."""
        return await self.get(write.id, context=context)

    def _is_repeat_due(
        self,
        write: Write,
        finding: Finding,
        attempts: Attempts,
        error: DpsError,
        context: CallContext,
    ) -> bool:
        """Returns whether this class, not the transport, is to repeat a write."""
        if finding.is_applied is not False or attempts.repeats_in_doubt:
            return False
        if is_state_refusal(error):
            # The condition is not the caller's: the record was changed after it was read.
            return write.is_unconditional
        return self._transport.may_repeat(error, attempts, context)


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """
    The result of a bulk operation; `errors` are those of its records, by case-folded id.

    A record may have the `call_error`, that of the call as a whole, after a lost response.
    """

    result: Record
    errors: Mapping[str, DpsError]
    call_error: DpsError | None = None


class EnrollmentResource(Resource):
    """Individual enrollments or enrollment groups."""

    def __init__(self, transport: "Transport", kind: RecordKind) -> None:
        super().__init__(transport, kind.path)
        self.kind = kind

    async def get_for_change(self, id: str, *, context: CallContext) -> tuple[Record, CallContext]:
        """
        Returns the record as `version_for_change` shows it, and the context for writing it back.

        A version that DPS does not know is tried once per client.
        """
        while True:
            version = self.version_for_change(context)
            is_own = version == self.api_version(context)
            newest = context if is_own else replace(context, api_version=version)
            try:
                return await self.get(id, context=newest), newest
            except DpsBadRequestError as error:
                if is_own or not is_unknown_version(error):
                    raise
                self._transport.api_versions.on_unknown(version)

    def version_for_change(self, context: CallContext) -> str:
        """Returns the newest API version that DPS accepts, or the context's if that is newer."""
        return self._transport.api_versions.for_change(self.api_version(context))

    def find_lost(self, sent: Mapping[str, Any], *, used: str, context: CallContext) -> list[str]:
        """Returns the members that a write at the version `used` loses, and logs a warning."""
        lost = find_lost(sent, requested=self.api_version(context), used=used)
        if lost:
            _LOG.warning("API version %s has no %s: DPS does not store them", used, ", ".join(lost))
        return lost

    async def create_or_update(
        self,
        id: str,
        enrollment: Mapping[str, Any] | Document,
        *,
        if_match: str | None = None,
        context: CallContext = DEFAULT_CONTEXT,
    ) -> Record:
        """
        Writes the whole record and returns it with its symmetric keys.

        Without `if_match` DPS creates it, or responds with 409 if it exists; an update needs its
        etag, or `*` (github.com/Azure/azure-sdk-for-python/issues/35187). After a lost response a
        refusal is raised only if the stored record shows that no attempt was applied, otherwise
        `OverwrittenError`. A masked webhook URL is completed; raises `InvalidRequestError` if it
        cannot be.
        """
        context = self._transport.with_deadline(context)
        document = complete_document(_to_json(enrollment))
        write = Write(id=id, document=document, if_match=if_match)
        attempts = Attempts(repeats_in_doubt=not write.is_unconditional)
        try:
            answer = await self._send(write, attempts, context)
            return answer.record()
        except DpsError as error:
            if not error.in_doubt:
                raise
            return await self._reconcile(write, attempts, error, context)

    async def reconcile(
        self, write: Write, error: DpsError, *, earliest: float, context: CallContext
    ) -> Record:
        """
        Finds out whether an earlier delivery has applied a write that DPS now refuses.

        Returns the record if it has; it is empty for a DELETE. Raises `error` if the record shows
        that it has not, for example because it is older than `earliest`, the time of the first
        delivery in POSIX seconds; and otherwise that the outcome is unknown.
        """
        attempts = Attempts(in_doubt_since=Moment(-math.inf, earliest))
        return await self._reconcile(write, attempts, error, self.with_deadline(context))

    async def get_attestation_mechanism(
        self,
        id: str,
        *,
        context: CallContext = DEFAULT_CONTEXT,
    ) -> Record:
        """Returns the record's attestation, with its symmetric keys."""
        path = f"{self._record_path(id)}/attestationmechanism"
        answer = await self._transport.send("POST", path, context=context)
        return answer.record()

    async def _read(self, write: Write, context: CallContext) -> Record:
        stored = await super()._read(write, context)
        if write.document is not None:
            stored.pop("registrationState", None)
            stored["attestation"] = await self.get_attestation_mechanism(write.id, context=context)
        return stored

    def query(
        self,
        query_specification: Mapping[str, Any] | Document,
        *,
        top: int | None = None,
        continuation: str | None = None,
        context: CallContext = DEFAULT_CONTEXT,
    ) -> Query:
        """Returns the query, such as `{"query": "SELECT *"}`; records lack keys and states."""
        return Query(
            transport=self._transport,
            path=f"{self._path}/query",
            document=_to_json(query_specification),
            top=top,
            continuation=continuation,
            context=context,
        )

    async def run_bulk_operation(
        self,
        bulk_operation: Mapping[str, Any] | Document,
        *,
        context: CallContext = DEFAULT_CONTEXT,
    ) -> Record:
        """
        Runs one operation on up to ten records and returns `{"errors": […], "isSuccessful": …}`.

        A record that failed is an item of `errors`; no exception is raised for it. After a lost
        response, each record is read: its error is that of a single write. Reading may take ten
        seconds beyond the context's deadline.
        """
        outcome = await self.apply_bulk(_to_json(bulk_operation), context=context)
        return outcome.result

    async def apply_bulk(
        self, operation: Mapping[str, Any], *, context: CallContext = DEFAULT_CONTEXT
    ) -> BulkOutcome:
        """Runs one operation like `run_bulk_operation`, and returns the errors as exceptions."""
        context = self._transport.with_deadline(context)
        if operation["mode"] != BulkMode.DELETE:  # which reads only the ids
            operation = complete_operation(operation, self.kind.path)
            sent = ChainMap(*operation[self.kind.path])
            self.find_lost(sent, used=self.api_version(context), context=context)
        documents = operation[self.kind.path]
        writes = [Write.of_bulk_item(operation["mode"], each, self.kind) for each in documents]
        attempts = Attempts(repeats_in_doubt=not any(each.is_unconditional for each in writes))
        call_error: DpsError | None = None
        try:
            answer = await self._transport.send(
                "POST", self._path, document=operation, context=context, writes=attempts
            )
            result = answer.record()
            failed = bulk_item_errors(result, self.kind.id_member, documents)
            if not answer.in_doubt:
                return BulkOutcome(result, failed)
        except DpsError as error:
            if not error.in_doubt:
                raise
            call_error = error
            result, failed = Record(), {write.id.casefold(): error for write in writes}
        attempts.mark_in_doubt()
        outcome = await self._reconcile_items(writes, attempts, result, failed, context)
        return replace(outcome, call_error=call_error)

    async def _reconcile_items(
        self,
        writes: Sequence[Write],
        attempts: Attempts,
        result: Record,
        failed: Mapping[str, DpsError],
        context: CallContext,
    ) -> BulkOutcome:
        """Returns the outcome of a call in doubt, without the failures that were none."""
        latest = asyncio.get_running_loop().time() + _MIN_READ_SECONDS
        started = self.with_deadline(replace(context, deadline=None), latest=latest)
        context = max(context, started, key=attrgetter("deadline"))

        async def reconcile(write: Write) -> DpsError | None:
            if (error := failed.get(write.id.casefold())) is None:
                return None
            try:
                await self._reconcile(write, replace(attempts), error, context)
            except DpsError as final:
                return outcome_unknown(final) if final.in_doubt else final
            return None

        reconciled = await asyncio.gather(*map(reconcile, writes))
        remaining = {w.id: e for w, e in zip(writes, reconciled, strict=True) if e}
        id_member = self.kind.id_member
        originals = {item[id_member].casefold(): item for item in result.get("errors", ())}
        items = [
            originals[id.casefold()]
            if id.casefold() in originals and error is failed[id.casefold()]
            else {id_member: id, **error_item(error)}
            for id, error in remaining.items()
        ]
        errors = {id.casefold(): error for id, error in remaining.items()}
        return BulkOutcome(Record(errors=items, isSuccessful=not items), errors)


class RegistrationStates(Resource):
    """Registration states of devices."""

    def query(
        self,
        id: str,
        *,
        top: int | None = None,
        continuation: str | None = None,
        context: CallContext = DEFAULT_CONTEXT,
    ) -> Query:
        """Returns the query of the registration states of the enrollment group `id`."""
        return Query(
            transport=self._transport,
            path=f"{self._record_path(id)}/query",
            document=None,
            top=top,
            continuation=continuation,
            context=context,
        )


def _to_json(document: Mapping[str, Any] | Document) -> Mapping[str, Any]:
    return document.document if isinstance(document, Document) else document
