"""Items: operations on single records, as callers submit them to the batch writer."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from json import dumps
from typing import Any

from shared.dps.models import (
    IF_MATCH,
    BulkMode,
    Operation,
    RecordKind,
    find_faults,
    find_id_faults,
)
from shared.errors import DpsError, RetriesExhaustedError
from shared.json_documents import (
    MAX_DOCUMENT_BYTES,
    MAX_REQUEST_BYTES,
    Limits,
    exceeds_size,
    pointer,
)

MAX_RECORDS_PER_REQUEST = 10_000
"""The limit of one request: the default DPS quota of one minute, at ten records per call."""
MAX_RECORD_FAULTS = 10_000
"""How many faults of its records are found in a request that is refused as a whole."""
BULK_REQUEST_LIMITS = Limits(
    max_bytes=MAX_REQUEST_BYTES, max_values=1_000_000, max_items=MAX_RECORDS_PER_REQUEST
)
"""The limits of a request for many records: a hundred values each, if it has as many as it may."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestItem:
    """
    One operation on one record; `repr` omits the record.

    `document` is the record as it was sent; `None` for a delete that has only an id. `if_match` is
    an etag, with or without quotes, or `*`. `position` is that in a bulk request, `None` for a single
    request. `api_version` is `None` if the request has none. `faults` are by JSON Pointer into the
    request; an item with faults is not sent to DPS. With `native_mode` the document is sent in a bulk
    call of that mode, and DPS's outcome is final.
    """

    kind: RecordKind = field(repr=False)
    operation: Operation
    id: str
    """Empty if it cannot be read."""
    document: Any = field(repr=False)
    if_match: str | None = None
    api_version: str | None = None
    position: int | None = None
    occurrence: int = 0
    """The number of equal items before it in the request."""
    faults: Mapping[str, str] = field(default_factory=dict)
    native_mode: BulkMode | None = None

    @property
    def record_key(self) -> str | None:
        """The case-folded id, as DPS compares ids; `None` if it cannot be read."""
        return self.id.casefold() or None

    @property
    def etag(self) -> str | None:
        """The etag that the record must have, without quotes; `None` for any."""
        bare = unquoted(self.if_match)
        return None if bare == "*" else bare

    @property
    def body(self) -> Mapping[str, Any]:
        """The document; empty for a delete without one."""
        return self.document or {}

    @property
    def digest(self) -> str:
        """A hash of the operation and the document that does not depend on the order of members."""
        values = [self.operation, self.if_match, self.document]
        return sha256(dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, eq=False, slots=True)
class OrderedGroup:
    """
    Items that stay in order even if one of them is postponed.

    `will_postpone` returns whether the error of an item leads to postponing it. Later items of the same
    record that were submitted before that error are then not sent; they fail with the same error.
    """

    will_postpone: Callable[[Exception], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class ApplyOptions:
    """
    Options of an attempt to apply items.

    After `deadline`, a time of the running loop, no call is started. `is_redelivery` is true if an
    earlier delivery may have applied the item: a conflict can then be its own effect. No delivery
    was before `enqueued_at`, in POSIX seconds, if that is known.
    """

    deadline: float
    is_redelivery: bool = False
    enqueued_at: float = -math.inf
    group: OrderedGroup | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemResult:
    """
    The outcome of an item: applied, or an `error`.

    `item` is `None` if the request could not be read. `etag` is the record's new etag if the response
    has it; `call_id` is the `x-ms-client-request-id` of the call to DPS. `whole_call` is true if no
    bulk call had a result for the item: the error is that of its call, or it was not sent.
    """

    item: RequestItem | None
    etag: str | None = None
    call_id: str | None = None
    error: Exception | None = None
    whole_call: bool = False

    @property
    def record_key(self) -> str | None:
        """The item's `record_key` in a bulk request; `None` in a single request."""
        return self.item.record_key if self.item and self.item.position is not None else None

    @property
    def tracking_id(self) -> str | None:
        """DPS's tracking id of the error, if it has one; of several attempts, the last one's."""
        error: BaseException | None = self.error
        if isinstance(error, RetriesExhaustedError):
            error = error.__cause__
        return error.tracking_id if isinstance(error, DpsError) else None


_OPERATION_BY_MODE: dict[BulkMode, Operation] = {
    BulkMode.CREATE: Operation.CREATE,
    BulkMode.UPDATE: Operation.UPDATE,
    BulkMode.UPDATE_IF_MATCH_ETAG: Operation.UPDATE,
    BulkMode.DELETE: Operation.DELETE,
    BulkMode.UPSERT: Operation.UPSERT,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemReader:
    """
    Reads the records of a bulk request into items.

    `at` is the path of the records in the request. With `is_native`, items have DPS's bulk mode.
    `check_size` is false if the request is so small that no record can exceed the limit.
    """

    kind: RecordKind
    mode: BulkMode
    at: tuple[str, ...]
    check_size: bool
    is_native: bool = False
    api_version: str | None = None

    async def read(
        self, documents: Sequence[Any], *, positions: Sequence[int] | None = None
    ) -> list[RequestItem]:
        """
        Returns one item per record; yields to the event loop in between.

        `positions` are those by which faults point at the records, if not their own.
        """
        items = []
        for position, document in zip(positions or range(len(documents)), documents, strict=True):
            items.append(self._item(position, document))
            await asyncio.sleep(0)
        return items if self.is_native else _with_occurrences(items)

    def _item(self, position: int, document: Any) -> RequestItem:
        faults = self.find_faults(position, document)
        return RequestItem(
            kind=self.kind,
            operation=_OPERATION_BY_MODE[self.mode],
            id=record_id(document, self.kind) or "",
            document=document,
            if_match=None if faults else unquoted(self._etag(document)),
            api_version=self.api_version,
            position=position,
            faults=faults,
            native_mode=self.mode if self.is_native else None,
        )

    def find_faults(self, position: int, document: Any) -> dict[str, str]:
        """Returns the faults of the record at a position, by JSON Pointer into the request."""
        # A delete needs only the id; DPS ignores the other members.
        model = self.kind.key if self.mode == BulkMode.DELETE else self.kind.record
        at = (*self.at, position)
        if self.check_size and exceeds_size(document, MAX_DOCUMENT_BYTES):
            return {pointer(*at): f"must not exceed {MAX_DOCUMENT_BYTES} bytes"}
        faults = find_faults(document, model, at=at)
        if fault := self._etag_fault(self._etag(document)):
            faults[pointer(*at, "etag")] = fault
        return faults

    def _etag(self, document: Any) -> Any:
        """Returns the etag that the app, not DPS, compares; `None` if there is none."""
        is_update = _OPERATION_BY_MODE[self.mode] == Operation.UPDATE
        if self.is_native or not is_update or not isinstance(document, dict):
            return None
        return document.get("etag") or None

    def _etag_fault(self, etag: Any) -> str | None:
        if etag is None:
            is_required = self.mode == BulkMode.UPDATE_IF_MATCH_ETAG and not self.is_native
            return "is required for updateIfMatchETag" if is_required else None
        is_valid = isinstance(etag, str) and IF_MATCH.fullmatch(etag)
        return None if is_valid else "must be one etag, with or without quotes, or *"


def find_record_faults(
    request: Mapping[str, Any],
    kind: RecordKind,
    *,
    at: tuple[str, ...] = (),
    is_native: bool = False,
) -> dict[str, str]:
    """
    Returns the faults of the records of a bulk request that is refused as a whole.

    After `MAX_RECORD_FAULTS` the other records are not searched: a fault takes more memory than the
    value. `at` is the path of the request. Without a valid mode the records are those of a create,
    or of a delete if they have only ids.
    """
    records = request[kind.path]
    have_only_ids = all(isinstance(record, dict) and len(record) == 1 for record in records)
    assumed = BulkMode.DELETE if have_only_ids else BulkMode.CREATE
    reader = ItemReader(
        kind=kind,
        mode=next((mode for mode in BulkMode if mode == request.get("mode")), assumed),
        at=(*at, kind.path),
        check_size=False,
        is_native=is_native,
    )
    faults: dict[str, str] = {}
    for position, record in enumerate(records):
        faults |= reader.find_faults(position, record)
        if len(faults) >= MAX_RECORD_FAULTS:
            break
    return faults


def _with_occurrences(items: list[RequestItem]) -> list[RequestItem]:
    counts = Counter(item.record_key for item in items)
    seen: Counter[tuple[str, str]] = Counter()
    for index, item in enumerate(items):
        if item.record_key is not None and counts[item.record_key] > 1:
            key = (item.record_key, item.digest)
            items[index] = replace(item, occurrence=seen[key])
            seen[key] += 1
    return items


def unquoted(etag: str | None) -> str | None:
    """Returns the etag without quotes."""
    return etag.strip('"') if etag else None


def record_id(document: Any, kind: RecordKind) -> str | None:
    """Returns the id of a record; `None` if it has no valid one."""
    id = document.get(kind.id_member) if isinstance(document, dict) else None
    return id if isinstance(id, str) and not find_id_faults(id) else None
