"""The resources of the DPS service API and their operations."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from shared.dps.context import DEFAULT_CONTEXT, CallContext
from shared.dps.models import BulkMode, Document, RecordKind
from shared.dps.reconciliation import (
    find_written,
    is_deleted,
    reconcile_result,
    unknown_item,
    unresolved,
)
from shared.dps.responses import Page, Record, bulk_item_errors
from shared.dps.webhook_urls import complete_document, complete_operation
from shared.errors import DpsError

if TYPE_CHECKING:
    from shared.dps.transport import Transport

T = TypeVar("T")

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
        """Deletes the record; with `if_match` only if that is its etag."""
        context = self._transport.with_deadline(context)
        headers = {"If-Match": if_match}
        try:
            await self._transport.send(
                "DELETE", self._record_path(id), headers=headers, context=context, writes=True
            )
        except DpsError as error:
            if not error.in_doubt:
                raise
            if not await _reconciled(error, is_deleted(self, id, context)):
                raise


class EnrollmentResource(Resource):
    """Individual enrollments or enrollment groups."""

    def __init__(self, transport: "Transport", kind: RecordKind) -> None:
        super().__init__(transport, kind.path)
        self.kind = kind

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
        conflict is raised only if the stored record does not match the request. A masked webhook
        URL is completed; raises `InvalidRequestError` if it cannot be.
        """
        context = self._transport.with_deadline(context)
        document = complete_document(_to_json(enrollment))
        try:
            answer = await self._transport.send(
                "PUT",
                self._record_path(id),
                document=document,
                headers={"If-Match": if_match},
                context=context,
                writes=True,
            )
            return answer.record()
        except DpsError as error:
            if not error.in_doubt:
                raise
            search = find_written(self, id, document, context, if_match=if_match)
            stored = await _reconciled(error, search)
            if stored is None:
                raise
            return stored

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
        response, the records are read: those that are not stored as requested, or cannot be read,
        have the error code 503004. Reading may take ten seconds beyond the context's deadline.
        """
        context = self._transport.with_deadline(context)
        operation = _to_json(bulk_operation)
        if operation["mode"] != BulkMode.DELETE:  # which reads only the ids
            operation = complete_operation(operation, self.kind.path)
        try:
            answer = await self._transport.send(
                "POST", self._path, document=operation, context=context, writes=True
            )
            result = answer.record()
            # Raises an error if it does not say which records failed.
            bulk_item_errors(result, self.kind.id_member, operation[self.kind.path])
            if not answer.in_doubt:
                return result
            failures = result["errors"]
        except DpsError as error:
            if not error.in_doubt:
                raise
            ids = (document[self.kind.id_member] for document in operation[self.kind.path])
            failures = [{self.kind.id_member: id, **unknown_item(error)} for id in ids]
        latest = asyncio.get_running_loop().time() + _MIN_READ_SECONDS
        started = self.with_deadline(replace(context, deadline=None), latest=latest)
        context = max(context, started, key=attrgetter("deadline"))
        return await reconcile_result(self, operation, failures, context)


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


async def _reconciled(error: DpsError, search: Awaitable[T]) -> T:
    """Returns what reading the record shows; raises `error` as unresolved if that fails too."""
    try:
        return await search
    except DpsError:
        raise unresolved(error) from error
