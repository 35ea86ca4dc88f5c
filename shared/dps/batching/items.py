"""Operations on single records, as callers submit them to the batch writer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.dps.models import Operation, RecordKind


@dataclass(frozen=True, eq=False, slots=True)
class OrderedGroup:
    """
    Changes that stay in order even if one of them is retried later.

    `will_retry` returns whether the error of a change leads to a retry. Later changes of the same
    record that were submitted before that error are then not sent; they fail with the same error.
    """

    will_retry: Callable[[Exception], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """
    One operation on one record.

    `document` is `None` only for a delete. `if_match` is an etag, with or without quotes, or `*`.
    `is_redelivery` is true if an earlier delivery may have applied the change: a conflict can then
    be its own effect. After `deadline`, a time of the running loop, no call is started for it.
    """

    kind: RecordKind
    operation: Operation
    id: str
    document: Mapping[str, Any] | None
    if_match: str | None = None
    is_redelivery: bool = False
    deadline: float
    group: OrderedGroup | None = None

    @property
    def key(self) -> tuple[RecordKind, str]:
        """The identity of the record; DPS compares ids without regard to case."""
        return self.kind, self.id.casefold()

    @property
    def etag(self) -> str | None:
        """The etag that the record must have, without quotes; `None` for any."""
        bare = (self.if_match or "*").strip('"')
        return None if bare == "*" else bare

    @property
    def body(self) -> Mapping[str, Any]:
        """The document; empty for a delete without one."""
        return self.document or {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """
    The outcome of a change that was applied.

    `etag` is the record's new etag if the response has it. `call_id` is the
    `x-ms-client-request-id` of the call to DPS.
    """

    etag: str | None
    call_id: str
