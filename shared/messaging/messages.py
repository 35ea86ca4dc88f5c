"""Messages, as received from a queue and as sent to one, and their application properties."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any


class Property:
    """Names of the app's application properties. Every copy of a message keeps the first two."""

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
    A received message; a property that it does not have is `None`.

    `repr` omits body and application properties: they may have keys.
    """

    body: bytes = field(repr=False)
    queue: str
    sequence_number: int
    delivery_count: int = 1
    """1 on the first delivery, as in the Functions host; the Python SDK starts at 0."""
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
        """The number of the counted attempt; 1 unless the message is a copy that says so."""
        attempt = (
            self.application_properties.get(Property.ATTEMPT) if self._source_message_id else None
        )
        if not isinstance(attempt, int) or isinstance(attempt, bool):
            return 1
        return max(attempt, 1)

    @property
    def original_id(self) -> str:
        """The id of the request through all its copies: the sender's message id, if it set one."""
        return self._source_message_id or self.message_id or f"{self.queue}-{self.sequence_number}"

    @property
    def is_redelivery(self) -> bool:
        """Whether the message may have been processed before, at least in part."""
        return self.delivery_count > 1 or self._source_message_id is not None

    @property
    def first_enqueued_at(self) -> float:
        """The POSIX time at which the request was first enqueued; minus infinity if unknown."""
        if self._source_message_id is None:
            enqueued = self.enqueued_time_utc
            return enqueued.timestamp() if enqueued else -math.inf
        text = self.application_properties.get(Property.ENQUEUED_TIME_UTC)
        try:
            return datetime.fromisoformat(str(text)).timestamp()
        except ValueError:
            return -math.inf

    @property
    def _source_message_id(self) -> str | None:
        id = self.application_properties.get(Property.SOURCE_MESSAGE_ID)
        return id if isinstance(id, str) and id else None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutgoingMessage:
    """A message to send; `repr` omits body and application properties."""

    body: bytes = field(repr=False)
    message_id: str
    content_type: str | None = None
    correlation_id: str | None = None
    subject: str | None = None
    reply_to: str | None = None
    application_properties: Mapping[str, Any] = field(default_factory=dict, repr=False)
    time_to_live: timedelta | None = None
    scheduled_enqueue_time_utc: datetime | None = None


def decode_properties(properties: Mapping[Any, Any]) -> dict[str, Any]:
    """Returns the SDK's application properties with bytes that are UTF-8 decoded."""
    return {str(_decode(name)): _decode(value) for name, value in properties.items()}


def _decode(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
