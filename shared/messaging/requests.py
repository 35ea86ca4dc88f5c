"""Requests: a message is read into operations on records, and a bulk request is split."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from hashlib import sha256
from typing import Any

from shared.dps.batching.bulk_operation import MAX_RECORDS_PER_REQUEST
from shared.dps.models import (
    IF_MATCH,
    BulkMode,
    Operation,
    RecordKind,
    find_faults,
    find_id_faults,
)
from shared.errors import DocumentTooLargeError, InvalidRequestError
from shared.json_documents import MAX_DOCUMENT_BYTES, MAX_REQUEST_BYTES, json_size, pointer
from shared.messaging.cloud_events import read_content
from shared.messaging.messages import Message
from shared.messaging.request_models import (
    KIND_BY_MEMBER,
    KIND_BY_RECORD_MEMBER,
    KIND_BY_RECORDS_MEMBER,
    find_bulk_request_faults,
    find_request_faults,
    non_null_members,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EnrollmentRequest:
    """
    One operation on one record; `repr` omits the record.

    `document` is the record as it was sent; it is `None` for a delete that has only an id.
    `if_match` is an etag without quotes, or `*`.
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

    `faults` are by JSON Pointer into the whole body; an item with faults is rejected, the others are
    applied. `id` is `None` if it cannot be read.
    """

    position: int
    kind: RecordKind = field(repr=False)
    operation: Operation
    id: str | None
    document: Any = field(repr=False)
    if_match: str | None
    faults: Mapping[str, str]
    occurrence: int = 0
    """The number of equal items before it in the message."""

    @property
    def record_key(self) -> str | None:
        """The case-folded id: DPS compares ids without regard to case."""
        return None if self.id is None else self.id.casefold()

    @property
    def request(self) -> EnrollmentRequest:
        """The item as a single request; raises `InvalidRequestError` with its faults."""
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
    """One operation on many records, each with an outcome of its own."""

    kind: RecordKind = field(repr=False)
    mode: BulkMode
    items: list[BulkItem] = field(repr=False)


def read_request(message: Message) -> EnrollmentRequest:
    """
    Reads the one operation of a message.

    Raises `InvalidRequestError`, or a subclass, with every fault by JSON Pointer into the body or by
    the name of a property.
    """
    content = read_content(message)
    faults = {**content.faults, **find_request_faults(content.document, at=content.at)}
    if faults:
        raise InvalidRequestError(faults)
    request = non_null_members(content.document)
    (member,) = KIND_BY_MEMBER.keys() & request.keys()
    kind, value = KIND_BY_MEMBER[member], request[member]
    is_record = member in KIND_BY_RECORD_MEMBER
    return EnrollmentRequest(
        kind=kind,
        operation=Operation(request["operation"]),
        id=value[kind.id_member] if is_record else value,
        document=value if is_record else None,
        if_match=_unquoted(request.get("ifMatch")),
    )


def read_bulk_request(message: Message) -> BulkRequest:
    """
    Reads the operations of a message.

    Raises `InvalidRequestError`, or a subclass, for faults of the request as a whole, and
    `DocumentTooLargeError` above `MAX_RECORDS_PER_REQUEST`. Faults of one record are in its item.
    """
    content = read_content(message, max_bytes=MAX_REQUEST_BYTES)
    faults = {**content.faults, **find_bulk_request_faults(content.document, at=content.at)}
    if faults:
        raise InvalidRequestError(faults)
    request = non_null_members(content.document)
    (member,) = KIND_BY_RECORDS_MEMBER.keys() & request.keys()
    at = (*content.at, member)
    if len(request[member]) > MAX_RECORDS_PER_REQUEST:
        fault = f"must not exceed {MAX_RECORDS_PER_REQUEST} records"
        raise DocumentTooLargeError({pointer(*at): fault})
    reader = _ItemReader(
        kind=KIND_BY_RECORDS_MEMBER[member],
        mode=BulkMode(request["mode"]),
        at=at,
        check_size=len(message.body) > MAX_DOCUMENT_BYTES,
    )
    return BulkRequest(kind=reader.kind, mode=reader.mode, items=reader.items(request[member]))


_OPERATION_BY_MODE: dict[BulkMode, Operation] = {
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
    check_size: bool

    def items(self, documents: list[Any]) -> list[BulkItem]:
        items = [self._item(position, document) for position, document in enumerate(documents)]
        counts = Counter(item.record_key for item in items)
        seen: Counter[tuple[str, str]] = Counter()
        for index, item in enumerate(items):
            if item.record_key is not None and counts[item.record_key] > 1:
                key = (item.record_key, request_digest(item))
                items[index] = replace(item, occurrence=seen[key])
                seen[key] += 1
        return items

    def _item(self, position: int, document: Any) -> BulkItem:
        # A delete needs only the id; DPS ignores the other members.
        model = self.kind.key if self.mode == BulkMode.DELETE else self.kind.record
        at = (*self.at, position)
        faults = find_faults(document, model, at=at)
        etag = self._etag(document)
        if fault := self._etag_fault(etag):
            faults[pointer(*at, "etag")] = fault
        if self.check_size and json_size(document) > MAX_DOCUMENT_BYTES:
            faults[pointer(*at)] = f"must not exceed {MAX_DOCUMENT_BYTES} bytes"
        return BulkItem(
            position=position,
            kind=self.kind,
            operation=_OPERATION_BY_MODE[self.mode],
            id=record_id(document, self.kind),
            document=document,
            if_match=None if faults else _unquoted(etag),
            faults=faults,
        )

    def _etag(self, document: Any) -> Any:
        """Returns the item's etag in the two modes in which DPS compares it."""
        if _OPERATION_BY_MODE[self.mode] != Operation.UPDATE or not isinstance(document, dict):
            return None
        return document.get("etag") or None

    def _etag_fault(self, etag: Any) -> str | None:
        if etag is None:
            is_required = self.mode == BulkMode.UPDATE_IF_MATCH_ETAG
            return "is required for updateIfMatchETag" if is_required else None
        is_valid = isinstance(etag, str) and IF_MATCH.fullmatch(etag)
        return None if is_valid else "must be one etag, with or without quotes, or *"


def _unquoted(etag: str | None) -> str | None:
    return etag.strip('"') if etag else None


def record_id(document: Any, kind: RecordKind) -> str | None:
    """Returns the id of a record; `None` if it has no valid one."""
    id = document.get(kind.id_member) if isinstance(document, dict) else None
    return id if isinstance(id, str) and not find_id_faults(id) else None


def request_digest(request: EnrollmentRequest | BulkItem) -> str:
    """Returns a hash of the request that does not depend on the order of members."""
    values = [request.operation, request.if_match, request.document]
    return sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


Splitter = Callable[[Iterable[int]], bytes]
"""Returns a body with only the records at the given positions."""


def body_splitter(message: Message) -> Splitter:
    """
    Returns a function that makes bodies with some of the records of a bulk request.

    The bodies have the form of the message's, and the records are as they were sent. The message
    must be valid for `read_bulk_request`; it is parsed again at the first call.
    """
    content = cache(partial(read_content, message, max_bytes=MAX_REQUEST_BYTES))

    def split(positions: Iterable[int]) -> bytes:
        request = non_null_members(content().document)
        (member,) = KIND_BY_RECORDS_MEMBER.keys() & request.keys()
        part = request | {member: [request[member][position] for position in positions]}
        # In binary mode the event's attributes are properties, which every copy keeps.
        body = {**content().attributes, "data": part} if content().at else part
        # Compact, so that it is not longer than the message, which may be at the size limit.
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    return split
