"""Messages, as received from a queue and as sent to one, and their application properties."""

import math
import re
from collections.abc import Collection, Mapping
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
    COPY_ID = "copyId"
    """The copy's own message id: a sender's message with a copy's properties is not a copy."""
    POSITIONS = "positions"
    """The positions that the records of a partial copy had in the sender's bulk message."""
    POSTPONED_RESULTS = "postponedResults"
    """The number of results that the message has; other messages are requests."""


OWN_PROPERTIES = frozenset(value for name, value in vars(Property).items() if name.isupper())

# Copies of versions without `copyId` are known by their message ids.
_EARLIER_COPY_ID = re.compile(r"(rescheduled|parked|replayed)-.+-\d+(-[0-9a-f]{16})?", re.ASCII)
_EARLIER_PROPERTIES = OWN_PROPERTIES - {
    Property.COPY_ID,
    Property.POSITIONS,
    Property.POSTPONED_RESULTS,
}


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
    def own_properties(self) -> Mapping[str, Any]:
        """The app's own properties: empty if not a copy, because a sender may use their names."""
        names = self._own_names()
        return {name: value for name, value in self.application_properties.items() if name in names}

    def _own_names(self) -> Collection[str]:
        properties, id = self.application_properties, self.message_id or ""
        if id and properties.get(Property.COPY_ID) == id:
            return OWN_PROPERTIES
        if properties.get(Property.SOURCE_MESSAGE_ID) and _EARLIER_COPY_ID.fullmatch(id):
            return _EARLIER_PROPERTIES
        return ()

    @property
    def attempt(self) -> int:
        """The number of the counted attempt; 1 unless the message is a copy that says so."""
        attempt = self.own_properties.get(Property.ATTEMPT)
        if not isinstance(attempt, int) or isinstance(attempt, bool):
            return 1
        return max(attempt, 1)

    @property
    def original_id(self) -> str:
        """The id of the request through all its copies: the sender's message id, if it set one."""
        id = self.own_properties.get(Property.SOURCE_MESSAGE_ID) or self.message_id
        return id if isinstance(id, str) and id else f"{self.queue}-{self.sequence_number}"

    @property
    def is_redelivery(self) -> bool:
        """Whether the message may have been processed before, at least in part."""
        return self.delivery_count > 1 or bool(self._own_names())

    @property
    def first_enqueued_at(self) -> float:
        """The POSIX time at which the request was first enqueued; minus infinity if unknown."""
        if not self._own_names():
            enqueued = self.enqueued_time_utc
            return enqueued.timestamp() if enqueued else -math.inf
        text = self.own_properties.get(Property.ENQUEUED_TIME_UTC)
        try:
            return datetime.fromisoformat(str(text)).timestamp()
        except ValueError:
            return -math.inf

    @property
    def has_results(self) -> bool:
        """Whether the message is one of the app's own, with postponed results."""
        return Property.POSTPONED_RESULTS in self.own_properties


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
