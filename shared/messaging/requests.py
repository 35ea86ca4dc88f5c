"""What a message asks: one operation on one record, or on many."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from shared.documents import MAX_BYTES, MAX_BYTES_OF_REQUEST, pointer, size
from shared.dps.bulk import MAX_RECORDS_OF_OPERATION
from shared.dps.models import IF_MATCH, BulkMode, Operation, RecordKind, faults_in, faults_in_id
from shared.errors import DocumentTooLargeError, InvalidRequestError
from shared.messaging.cloud_events import content
from shared.messaging.envelopes import (
    KIND_OF,
    KIND_OF_RECORD,
    KIND_OF_RECORDS,
    faults_in_bulk_request,
    faults_in_request,
    given,
)
from shared.messaging.messages import Message


@dataclass(frozen=True, kw_only=True, slots=True)
class EnrollmentRequest:
    """
    One operation on one record; it is never printed with the record.

    `document` is the record as it was sent, `None` only where a delete names just an id. `if_match`
    is an etag as DPS gives it, without quotes, or `*`.
    """

    kind: RecordKind = field(repr=False)
    operation: Operation
    id: str
    document: Mapping[str, Any] | None = field(repr=False)
    if_match: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BulkItem:
    """
    One record of a bulk request.

    `faults` are places in the body, as of the whole request; an item that has any is rejected and
    the others go on. `id` is `None` where it cannot be read.
    """

    position: int
    kind: RecordKind = field(repr=False)
    operation: Operation
    id: str | None
    document: Any = field(repr=False)
    if_match: str | None
    faults: Mapping[str, str]
    twins: int = 0
    """How many items before it, in the same message, ask exactly the same."""

    @property
    def record(self) -> str | None:
        """What the record is known by; DPS compares ids without case."""
        return None if self.id is None else self.id.casefold()

    @property
    def request(self) -> EnrollmentRequest:
        """The item as a request of its own; raises `InvalidRequestError` with its faults."""
        if self.faults or self.id is None:
            raise InvalidRequestError(self.faults)
        return EnrollmentRequest(
            kind=self.kind,
            operation=self.operation,
            id=self.id,
            document=self.document,
            if_match=self.if_match,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BulkRequest:
    """One operation on many records, each with its own outcome."""

    kind: RecordKind = field(repr=False)
    mode: BulkMode
    items: list[BulkItem] = field(repr=False)


def read_request(message: Message) -> EnrollmentRequest:
    """
    The one operation that a message asks for.

    Raises `InvalidRequestError`, or a special case of it, with every fault: places are JSON Pointers
    into the body, or names of properties.
    """
    found = content(message)
    faults = {**found.faults, **faults_in_request(found.document, at=found.at)}
    if faults:
        raise InvalidRequestError(faults)
    asked = given(found.document)
    (member,) = KIND_OF.keys() & asked.keys()
    kind, value = KIND_OF[member], asked[member]
    is_record = member in KIND_OF_RECORD
    return EnrollmentRequest(
        kind=kind,
        operation=Operation(asked["operation"]),
        id=value[kind.id_member] if is_record else value,
        document=value if is_record else None,
        if_match=_unquoted(asked.get("ifMatch")),
    )


def read_bulk_request(message: Message) -> BulkRequest:
    """
    The operations that a message asks for.

    Raises as `read_request` does for what is wrong with the whole, and `DocumentTooLargeError` for
    more than `MAX_RECORDS_OF_OPERATION` records; what is wrong with one of them goes with it.
    """
    found = content(message, max_bytes=MAX_BYTES_OF_REQUEST)
    faults = {**found.faults, **faults_in_bulk_request(found.document, at=found.at)}
    if faults:
        raise InvalidRequestError(faults)
    asked = given(found.document)
    (member,) = KIND_OF_RECORDS.keys() & asked.keys()
    at = (*found.at, member)
    if len(asked[member]) > MAX_RECORDS_OF_OPERATION:
        words = f"may hold {MAX_RECORDS_OF_OPERATION} records at most"
        raise DocumentTooLargeError({pointer(*at): words})
    reader = _ItemReader(
        kind=KIND_OF_RECORDS[member],
        mode=BulkMode(asked["mode"]),
        at=at,
        may_be_heavy=len(message.body) > MAX_BYTES,
    )
    return BulkRequest(kind=reader.kind, mode=reader.mode, items=reader.items(asked[member]))


_OPERATION_OF: dict[BulkMode, Operation] = {
    BulkMode.CREATE: Operation.CREATE,
    BulkMode.UPDATE: Operation.UPDATE,
    BulkMode.UPDATE_IF_MATCH_ETAG: Operation.UPDATE,
    BulkMode.DELETE: Operation.DELETE,
    BulkMode.UPSERT: Operation.UPSERT,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _ItemReader:
    kind: RecordKind
    mode: BulkMode
    at: tuple[str, ...]
    may_be_heavy: bool

    def items(self, documents: list[Any]) -> list[BulkItem]:
        items = [self._item(position, document) for position, document in enumerate(documents)]
        times = Counter(item.record for item in items)
        seen: Counter[tuple[str, str]] = Counter()
        for place, item in enumerate(items):
            if item.record is not None and times[item.record] > 1:
                key = (item.record, digest(item))
                items[place] = replace(item, twins=seen[key])
                seen[key] += 1
        return items

    def _item(self, position: int, document: Any) -> BulkItem:
        # A delete names records; what else they hold does not matter to DPS.
        model = self.kind.key if self.mode == BulkMode.DELETE else self.kind.record
        at = (*self.at, position)
        faults = faults_in(document, model, at=at)
        etag = self._etag(document)
        if words := self._fault_of_etag(etag):
            faults[pointer(*at, "etag")] = words
        if self.may_be_heavy and size(document) > MAX_BYTES:
            faults[pointer(*at)] = f"may have {MAX_BYTES} bytes at most"
        return BulkItem(
            position=position,
            kind=self.kind,
            operation=_OPERATION_OF[self.mode],
            id=id_of(document, self.kind),
            document=document,
            if_match=None if faults else _unquoted(etag),
            faults=faults,
        )

    def _etag(self, document: Any) -> Any:
        """What an item's etag is compared for; DPS reads it in the two modes that update."""
        if _OPERATION_OF[self.mode] != Operation.UPDATE or not isinstance(document, dict):
            return None
        return document.get("etag") or None

    def _fault_of_etag(self, etag: Any) -> str | None:
        if etag is None:
            is_needed = self.mode == BulkMode.UPDATE_IF_MATCH_ETAG
            return "is required for updateIfMatchETag" if is_needed else None
        is_one = isinstance(etag, str) and IF_MATCH.fullmatch(etag)
        return None if is_one else "must be one etag, quoted or not, or *"


def _unquoted(etag: str | None) -> str | None:
    return etag.strip('"') if etag else None


def id_of(document: Any, kind: RecordKind) -> str | None:
    """The id of a record; `None` if it has none that DPS would take."""
    found = document.get(kind.id_member) if isinstance(document, dict) else None
    return found if isinstance(found, str) and not faults_in_id(found) else None


def digest(request: EnrollmentRequest | BulkItem) -> str:
    """The same text for the same request, however it was written; nothing can be read from it."""
    asked = [request.operation, request.if_match, request.document]
    return sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
