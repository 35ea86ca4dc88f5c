"""A message of a queue, as it comes and as it goes out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

# Application properties of ours. The first four are kept from copy to copy of one message.
SOURCE_MESSAGE_ID = "sourceMessageId"
SOURCE_QUEUE = "sourceQueue"
ENQUEUED_TIME_UTC = "enqueuedTimeUtc"
ATTEMPT = "attempt"
REASON = "reason"
DESCRIPTION = "description"
ERROR_CODE = "errorCode"
TRACKING_ID = "trackingId"


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """
    A message as a queue delivered it; what it does not carry is `None`.

    Its body and properties are never printed: keys may stand in them.
    """

    body: bytes = field(repr=False)
    queue: str
    sequence_number: int
    delivery_count: int = 1
    """1 on the first delivery, as the Functions host counts; the SDK for Python starts at 0."""
    message_id: str | None = None
    content_type: str | None = None
    correlation_id: str | None = None
    subject: str | None = None
    reply_to: str | None = None
    enqueued_time_utc: datetime | None = None
    expires_at_utc: datetime | None = None
    application_properties: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def attempt(self) -> int:
        """Which counted attempt this is; 1 unless a copy says another: a sender may count as well."""
        found = self.application_properties.get(ATTEMPT) if self._source_message_id else None
        if not isinstance(found, int) or isinstance(found, bool):
            return 1
        return max(found, 1)

    @property
    def original_id(self) -> str:
        """What names the request through all its copies: the id its sender gave, if one was."""
        return self._source_message_id or self.message_id or f"{self.queue}-{self.sequence_number}"

    @property
    def is_repeated(self) -> bool:
        """Whether the message was handled before, wholly or in part: a redelivery, or a copy."""
        return self.delivery_count > 1 or self._source_message_id is not None

    @property
    def _source_message_id(self) -> str | None:
        found = self.application_properties.get(SOURCE_MESSAGE_ID)
        return found if isinstance(found, str) and found else None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutgoingMessage:
    """A message to send; its body and properties are never printed."""

    body: bytes = field(repr=False)
    message_id: str
    content_type: str | None = None
    correlation_id: str | None = None
    subject: str | None = None
    reply_to: str | None = None
    application_properties: Mapping[str, Any] = field(default_factory=dict, repr=False)
    time_to_live: timedelta | None = None
    scheduled_enqueue_time_utc: datetime | None = None
