"""A rejected message, its JSON for operators, and the filter that selects messages."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

from shared.errors import InvalidRequestError
from shared.messaging.bodies import parse_body
from shared.messaging.copies import (
    DEAD_LETTER_DESCRIPTION,
    DEAD_LETTER_QUEUE,
    DEAD_LETTER_REASON,
    properties_of_rejected,
)
from shared.messaging.decoding import UNDECODABLE
from shared.messaging.messages import OWN_PROPERTIES, Message, Property
from shared.messaging.request_models import (
    KIND_BY_ID_MEMBER,
    KIND_BY_RECORD_MEMBER,
    KIND_BY_RECORDS_MEMBER,
)
from shared.messaging.requests import respelled_body
from shared.messaging.service_bus import from_sdk_message
from shared.redaction import mask_secrets, mask_unknown_names

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage

ACTIVE, DEFERRED, SCHEDULED = "active", "deferred", "scheduled"
_STATES = {0: ACTIVE, 1: DEFERRED, 2: SCHEDULED}  # by the number that Service Bus sends


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedMessage:
    """A message in the rejected queue or a dead-letter queue; `message.queue` is its queue path."""

    message: Message
    state: str
    content: Any = field(repr=False)
    """The JSON of the body; `None` if it cannot be parsed."""
    fault: str | None
    """Why the body cannot be parsed."""
    undecodable: tuple[str, ...] = ()
    """The parts of the message that the SDK cannot decode; a copy would lack them."""

    @property
    def reason(self) -> str | None:
        """Why it was rejected or dead-lettered."""
        dead_letter_reason = self._text(DEAD_LETTER_REASON) if self._is_dead_letter else None
        return dead_letter_reason or self._text(Property.REASON)

    @property
    def source_queue(self) -> str | None:
        """The queue of the original message."""
        return self._text(Property.SOURCE_QUEUE)

    @property
    def ids(self) -> list[str]:
        """The ids of the records in the body."""
        contents = self.content if self.message.has_results else [self.content]
        return list(dict.fromkeys(chain.from_iterable(map(_ids_in, contents or ()))))

    def document(self) -> dict[str, Any]:
        """Returns the message as JSON: its body with keys masked, or the body's length and hash."""
        message = self.message
        description = self._text(DEAD_LETTER_DESCRIPTION) if self._is_dead_letter else None
        properties = {
            "sequenceNumber": message.sequence_number,
            "queue": message.queue,
            "state": self.state,
            "reason": self.reason,
            "description": description or self._text(Property.DESCRIPTION),
            "errorCode": self._property(Property.ERROR_CODE),
            "trackingId": self._property(Property.TRACKING_ID),
            "attempt": self._property(Property.ATTEMPT),
            "sourceQueue": self.source_queue,
            "sourceMessageId": self._property(Property.SOURCE_MESSAGE_ID),
            "messageId": message.message_id,
            "correlationId": message.correlation_id,
            "subject": message.subject,
            "enqueuedTimeUtc": self._property(Property.ENQUEUED_TIME_UTC)
            or _time(message.enqueued_time_utc),
            "rejectedTimeUtc": _time(message.enqueued_time_utc),
            "deliveryCount": message.delivery_count - 1,
            "size": len(message.body),
            "ids": self.ids,
        }
        if self.undecodable:
            properties["undecodable"] = [mask_unknown_names(name) for name in self.undecodable]
        return {**mask_secrets(properties), **self._body()}

    @property
    def _is_dead_letter(self) -> bool:
        return self.message.queue.endswith(DEAD_LETTER_QUEUE)

    def _text(self, name: str) -> str | None:
        value = self._property(name)
        return None if value is None else str(value)

    def _property(self, name: str) -> Any:
        is_own = name in OWN_PROPERTIES
        message = self.message
        properties = properties_of_rejected(message) if is_own else message.application_properties
        value = properties.get(name)
        return value if isinstance(value, str | int | None) else str(value)

    def _body(self) -> dict[str, Any]:
        if self.fault is None:
            return {"body": mask_secrets(self.content)}
        body = self.message.body
        unreadable = {
            "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "fault": self.fault,
        }
        return {"body": None, "unreadableBody": unreadable}


def to_rejected_message(received: "ServiceBusReceivedMessage", queue_path: str) -> RejectedMessage:
    """Returns the message that the SDK received from the queue path, with its body parsed."""
    message = from_sdk_message(received, queue_path)
    content, fault = _parse_body(message.body)
    state = _STATES.get(int(received.state), ACTIVE)
    annotations = received.raw_amqp_message.delivery_annotations or {}
    return RejectedMessage(
        message=message,
        state=state,
        content=content,
        fault=fault,
        undecodable=tuple(annotations.get(UNDECODABLE, ())),
    )


def _parse_body(body: bytes) -> tuple[Any, str | None]:
    """Returns the JSON of the body, or why it cannot be parsed."""
    try:
        content = parse_body(body)
    except InvalidRequestError as error:
        # Without the pointers: they contain names from the body.
        return None, "; ".join(sorted(set(error.faults.values())))
    if not isinstance(content, dict | list):
        return None, "must be an object or a list"
    return content, None


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """A filter: rejected messages must meet every condition that is not `None`."""

    reason: str | None = None
    """The reason, without regard to case."""
    id: str | None = None
    """The id of a record in the body, without regard to case."""
    older_than: timedelta | datetime | None = None
    """The minimum age in its queue, or the time before which it was enqueued; UTC by default."""

    def matches(self, rejected: RejectedMessage) -> bool:
        """Returns whether the filter selects the message."""
        return (
            (self.reason is None or self.reason.lower() == (rejected.reason or "").lower())
            and (self.id is None or self.id.lower() in map(str.lower, rejected.ids))
            and self._is_old(rejected.message.enqueued_time_utc)
        )

    def _is_old(self, enqueued: datetime | None) -> bool:
        if self.older_than is None or enqueued is None:
            return self.older_than is None
        if isinstance(self.older_than, timedelta):
            return datetime.now(UTC) - enqueued > self.older_than
        zone = self.older_than.tzinfo or UTC
        return enqueued < self.older_than.replace(tzinfo=zone)


MATCH_ALL = Filter()


def _ids_in(content: Any) -> Iterator[str]:
    content = respelled_body(content)
    is_event = isinstance(content, Mapping) and "specversion" in content
    request = content.get("data") if is_event else content
    if not isinstance(request, Mapping):
        return
    records: list[Any] = [request, *(request.get(name) for name in KIND_BY_RECORD_MEMBER)]
    for name in KIND_BY_RECORDS_MEMBER:
        value = request.get(name)
        records += value if isinstance(value, list) else []
    for record in records:
        for name in KIND_BY_ID_MEMBER if isinstance(record, Mapping) else ():
            if isinstance(record.get(name), str):
                yield record[name]


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
