"""What is asked for one record, and what is told of it once it was done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.dps.models import Operation, RecordKind


@dataclass(frozen=True, eq=False, slots=True)
class Series:
    """
    Changes that keep their order also where one of them is tried again.

    `is_tried_again` says of the error that one ends in whether it will be: then those of the same
    record that came after it, and before it ended, are not tried and end in it too.
    """

    is_tried_again: Callable[[Exception], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """
    One operation on one record.

    `document` is `None` only for a delete. `if_match` is an etag, raw or quoted, or `*`.
    `is_repeated` says that it may have been done before: then a conflict may be its own doing.
    After `deadline`, a time of the running loop, nothing is started for it any more.
    """

    kind: RecordKind
    operation: Operation
    id: str
    document: Mapping[str, Any] | None
    if_match: str | None = None
    is_repeated: bool = False
    deadline: float
    series: Series | None = None

    @property
    def key(self) -> tuple[RecordKind, str]:
        """What the record is known by; DPS compares ids without case."""
        return self.kind, self.id.casefold()

    @property
    def etag(self) -> str | None:
        """The etag the record must have, as DPS gives it; `None` if any will do."""
        bare = (self.if_match or "*").strip('"')
        return None if bare == "*" else bare

    @property
    def asked(self) -> Mapping[str, Any]:
        """The document; that of a delete is empty."""
        return self.document or {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """
    That a change was done.

    `etag` is the record's, where DPS told it; `call_id` is what DPS heard as
    `x-ms-client-request-id` of the call that did it.
    """

    etag: str | None
    call_id: str
