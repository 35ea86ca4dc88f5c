"""What DPS keeps, and the verbs on it, each written once."""

import math
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from shared.dps.context import NO_CONTEXT, CallContext
from shared.dps.models import Document, RecordKind
from shared.dps.queries import Query
from shared.dps.records import Record
from shared.dps.settling import is_gone, result_of, undone, unknown, written
from shared.errors import DpsError

if TYPE_CHECKING:
    from shared.dps.transport import Transport

T = TypeVar("T")


class Resource:
    """Records of one collection; every verb raises the `DpsError` that came of it."""

    def __init__(self, transport: "Transport", path: str) -> None:
        self._transport = transport
        self._path = path

    def begin(self, context: CallContext, *, by: float = math.inf) -> CallContext:
        """The context of what ends as a call does, and at the loop's time `by` at the latest."""
        begun = self._transport.begin(context)
        return replace(begun, deadline=min(by, begun.deadline or by))

    async def admitted(self, context: CallContext) -> CallContext:
        """
        The context of a call whose turn has come, with the permit to start it.

        Raises `PacedOutError` if the turn would come after the context's deadline.
        """
        return await self._transport.admitted(context)

    def _at(self, id: str) -> str:
        return f"{self._path}/{quote(id, safe='')}"

    async def get(self, id: str, *, context: CallContext = NO_CONTEXT) -> Record:
        """The record, without symmetric keys."""
        answer = await self._transport.send("GET", self._at(id), context=context)
        return answer.record()

    async def delete(
        self,
        id: str,
        *,
        if_match: str | None = None,
        context: CallContext = NO_CONTEXT,
    ) -> None:
        """Removes the record; with `if_match` only if that is still its etag."""
        context = self._transport.begin(context)
        headers = {"If-Match": if_match}
        try:
            await self._transport.send(
                "DELETE", self._at(id), headers=headers, context=context, writes=True
            )
        except DpsError as error:
            if not error.in_doubt:
                raise
            if not await _settled(error, is_gone(self, id, context)):
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
        context: CallContext = NO_CONTEXT,
    ) -> Record:
        """
        Writes the whole record and gives it back with its symmetric keys.

        DPS creates without `if_match` and answers 409 if the record exists; an update needs its
        etag, or `*` (github.com/Azure/azure-sdk-for-python/issues/35187). If a reply was lost on
        the way, a conflict is one only if the stored record is not what was asked for.
        """
        context = self._transport.begin(context)
        document = _json(enrollment)
        headers = {"If-Match": if_match}
        try:
            answer = await self._transport.send(
                "PUT",
                self._at(id),
                document=document,
                headers=headers,
                context=context,
                writes=True,
            )
            return answer.record()
        except DpsError as error:
            if not error.in_doubt:
                raise
            asked = written(self, id, document, context, if_match=if_match)
            found = await _settled(error, asked)
            if found is None:
                raise
            return found

    async def get_attestation_mechanism(
        self,
        id: str,
        *,
        context: CallContext = NO_CONTEXT,
    ) -> Record:
        """The record's attestation, with its symmetric keys."""
        path = f"{self._at(id)}/attestationmechanism"
        answer = await self._transport.send("POST", path, context=context)
        return answer.record()

    def query(
        self,
        query_specification: Mapping[str, Any] | Document,
        *,
        top: int | None = None,
        continuation: str | None = None,
        context: CallContext = NO_CONTEXT,
    ) -> Query:
        """What `{"query": "SELECT *"}` finds, without symmetric keys and registration states."""
        return Query(
            transport=self._transport,
            path=f"{self._path}/query",
            document=_json(query_specification),
            top=top,
            continuation=continuation,
            context=context,
        )

    async def run_bulk_operation(
        self,
        bulk_operation: Mapping[str, Any] | Document,
        *,
        context: CallContext = NO_CONTEXT,
    ) -> Record:
        """
        One operation on up to ten records: `{"errors": […], "isSuccessful": …}`.

        A record that failed is an item of `errors`, not an error raised. If a reply was lost on the
        way, a record has failed only if it is not as it was to be.
        """
        context = self._transport.begin(context)
        operation = _json(bulk_operation)
        try:
            answer = await self._transport.send(
                "POST", self._path, document=operation, context=context, writes=True
            )
        except DpsError as error:
            if not error.in_doubt:
                raise
            if await undone(self, operation, context):
                raise unknown(error) from error
            return Record(errors=[], isSuccessful=True)
        result = answer.record()
        return await result_of(self, operation, result, context) if answer.in_doubt else result


class RegistrationStates(Resource):
    """How devices' registrations stand."""

    def query(
        self,
        id: str,
        *,
        top: int | None = None,
        continuation: str | None = None,
        context: CallContext = NO_CONTEXT,
    ) -> Query:
        """The registration states of the enrollment group `id`."""
        return Query(
            transport=self._transport,
            path=f"{self._at(id)}/query",
            document=None,
            top=top,
            continuation=continuation,
            context=context,
        )


def _json(document: Mapping[str, Any] | Document) -> Mapping[str, Any]:
    return document.document if isinstance(document, Document) else document


async def _settled(error: DpsError, look: Awaitable[T]) -> T:
    """What a look at the record finds; if it finds nothing, what is known of the write: nothing."""
    try:
        return await look
    except DpsError:
        raise unknown(error) from error
