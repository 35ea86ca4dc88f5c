"""A rejected message, and which of them are meant."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.dps.records import MASK, masked
from shared.messaging.copies import DEAD_LETTER_DESCRIPTION, DEAD_LETTER_QUEUE, DEAD_LETTER_REASON
from shared.messaging.messages import (
    ATTEMPT,
    DESCRIPTION,
    ENQUEUED_TIME_UTC,
    ERROR_CODE,
    REASON,
    SOURCE_MESSAGE_ID,
    SOURCE_QUEUE,
    TRACKING_ID,
    Message,
)
from shared.redaction import redacted

ACTIVE, DEFERRED, SCHEDULED = "active", "deferred", "scheduled"
STATES = {0: ACTIVE, 1: DEFERRED, 2: SCHEDULED}
"""By the number that Service Bus sends."""

_ID_MEMBERS = ("registrationId", "enrollmentGroupId")
_RECORD_MEMBERS = ("enrollment", "enrollmentGroup")
_RECORDS_MEMBERS = ("enrollments", "enrollmentGroups")


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedMessage:
    """A message that was parked or dead-lettered; `message.queue` is the place where it lies."""

    message: Message
    state: str
    content: Any = field(repr=False)
    """The JSON of the body, `None` if it cannot be read."""
    fault: str | None
    """Why the body cannot be read."""

    @property
    def reason(self) -> str | None:
        """Why it was rejected: by the queue that dead-lettered it, or else by the app."""
        by_queue = self._text(DEAD_LETTER_REASON) if self._is_dead_letter else None
        return by_queue or self._text(REASON)

    @property
    def source_queue(self) -> str | None:
        """The queue that it came from first."""
        return self._text(SOURCE_QUEUE)

    @property
    def ids(self) -> list[str]:
        """The ids of the records that its body names."""
        return list(dict.fromkeys(_ids_in(self.content)))

    def document(self) -> dict[str, Any]:
        """What an operator is told: the body with keys as asterisks, or its length and hash."""
        message = self.message
        described = self._text(DEAD_LETTER_DESCRIPTION) if self._is_dead_letter else None
        entry = {
            "sequenceNumber": message.sequence_number,
            "queue": message.queue,
            "state": self.state,
            "reason": self.reason,
            "description": described or self._text(DESCRIPTION),
            "errorCode": self._property(ERROR_CODE),
            "trackingId": self._property(TRACKING_ID),
            "attempt": self._property(ATTEMPT),
            "sourceQueue": self.source_queue,
            "sourceMessageId": self._property(SOURCE_MESSAGE_ID),
            "messageId": message.message_id,
            "correlationId": message.correlation_id,
            "subject": message.subject,
            "enqueuedTimeUtc": self._property(ENQUEUED_TIME_UTC)
            or _time(message.enqueued_time_utc),
            "rejectedTimeUtc": _time(message.enqueued_time_utc),
            "deliveryCount": message.delivery_count - 1,
            "size": len(message.body),
            "ids": self.ids,
        }
        return {**_without_secrets(entry), **self._body()}

    @property
    def _is_dead_letter(self) -> bool:
        return self.message.queue.endswith(DEAD_LETTER_QUEUE)

    def _text(self, name: str) -> str | None:
        found = self._property(name)
        return None if found is None else str(found)

    def _property(self, name: str) -> Any:
        found = self.message.application_properties.get(name)
        return found if isinstance(found, str | int | None) else str(found)

    def _body(self) -> dict[str, Any]:
        if self.fault is None:
            return {"body": _without_secrets(masked(self.content))}
        body = self.message.body
        unreadable = {
            "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "fault": self.fault,
        }
        return {"body": None, "unreadableBody": unreadable}


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Which rejected messages are meant: those that meet all that is not `None`."""

    reason: str | None = None
    id: str | None = None
    """Of a record that the body names, in any case."""
    older_than: timedelta | datetime | None = None
    """How long at least, or since before when, it has been in its place; UTC if it names no zone."""

    def matches(self, found: RejectedMessage) -> bool:
        """Whether `found` is one of them."""
        return (
            self.reason in (None, found.reason)
            and (self.id is None or self.id.lower() in map(str.lower, found.ids))
            and self._is_old(found.message.enqueued_time_utc)
        )

    def _is_old(self, since: datetime | None) -> bool:
        if self.older_than is None or since is None:
            return self.older_than is None
        if isinstance(self.older_than, timedelta):
            return datetime.now(UTC) - since > self.older_than
        zone = self.older_than.tzinfo or UTC
        return since < self.older_than.replace(tzinfo=zone)


EVERY = Filter()


def _ids_in(content: Any) -> Iterator[str]:
    is_event = isinstance(content, Mapping) and "specversion" in content
    request = content.get("data") if is_event else content
    if not isinstance(request, Mapping):
        return
    records: list[Any] = [request, *(request.get(name) for name in _RECORD_MEMBERS)]
    for name in _RECORDS_MEMBERS:
        found = request.get(name)
        records += found if isinstance(found, list) else []
    for record in records:
        for name in _ID_MEMBERS if isinstance(record, Mapping) else ():
            if isinstance(record.get(name), str):
                yield record[name]


def _without_secrets(node: Any) -> Any:
    """A copy without keys in its texts: JSON may lie in JSON as text."""
    if isinstance(node, Mapping):
        return {
            # The body of a CloudEvent, whatever is in it.
            name: MASK if name == "data_base64" else _without_secrets(value)
            for name, value in node.items()
        }
    if isinstance(node, list):
        return [_without_secrets(item) for item in node]
    return redacted(node) if isinstance(node, str) else node


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
