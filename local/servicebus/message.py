"""A stored message (part 3, 3.2): decoded as far as the broker needs it, otherwise as received."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

from local.servicebus.amqp import decode, encode
from local.servicebus.amqp.encode import NULL
from local.servicebus.amqp.errors import DecodeError

# Descriptors of sections.
_HEADER, _DELIVERY_ANNOTATIONS, _ANNOTATIONS = 0x70, 0x71, 0x72
_PROPERTIES, _APPLICATION_PROPERTIES = 0x73, 0x74

# Indexes of fields. Service Bus takes the session id from group-id.
_MESSAGE_ID, _GROUP_ID = 0, 10  # in the properties
_TTL = 2  # in the header

_MAX_TTL = 2**32 - 1  # milliseconds; ttl is a uint
_EMPTY_HEADER = (encode.FALSE, NULL, NULL)  # durable, priority, ttl

_SCHEDULED = "x-opt-scheduled-enqueue-time"
_SEQUENCE_NUMBER = encode.symbol("x-opt-sequence-number")
_ENQUEUED = encode.symbol("x-opt-enqueued-time")
_LOCKED_UNTIL = encode.symbol("x-opt-locked-until")
_STATE = encode.symbol("x-opt-message-state")
# Annotations that only the broker sets; a sender's are dropped.
_BROKER_ANNOTATIONS = {
    "x-opt-sequence-number",
    "x-opt-enqueued-time",
    "x-opt-locked-until",
    "x-opt-message-state",
    "x-opt-lock-token",
    "x-opt-enqueue-sequence-number",
}
# Bytes of memory that a stored message needs beyond its content, measured with small messages.
_OVERHEAD = 1024


class MessageState(IntEnum):
    """Values of x-opt-message-state."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


class Message:
    """
    A message and its state in a queue; raises DecodeError if `raw` is not a message.

    It is locked while it has a lock token. Times are milliseconds since 1970.
    """

    __slots__ = (
        "_annotations",
        "_application_properties",
        "_body",
        "_header",
        "_properties",
        "delivery_count",
        "enqueued_at",
        "expires_at",
        "lock_holder",
        "lock_token",
        "locked_until",
        "message_id",
        "scheduled_at",
        "sequence_number",
        "session_id",
        "size",
        "state",
        "time_to_live",
    )

    def __init__(self, raw: bytes) -> None:
        self.size = len(raw)
        self.message_id: Any = None
        self.session_id: str | None = None
        self.time_to_live: int | None = None
        self.scheduled_at: int | None = None

        self.state = MessageState.ACTIVE
        self.sequence_number = 0
        self.enqueued_at = 0
        self.expires_at: int | None = None
        self.delivery_count = 0
        self.lock_token: bytes | None = None
        self.lock_holder: object = None
        self.locked_until = 0

        # Tuples of bytes: the garbage collector does not track them, unlike lists.
        self._header: Sequence[bytes] = _EMPTY_HEADER
        self._annotations: Sequence[bytes] = ()
        self._properties = b""
        self._application_properties = b""
        self._body = b""
        self._read(raw)

    @property
    def stored_size(self) -> int:
        """Bytes of memory that the message takes."""
        return self.size + _OVERHEAD

    def expiration_time(self) -> int | None:
        """Returns when the message expires; a deferred one expires only when it is received."""
        return None if self.state is MessageState.DEFERRED else self.expires_at

    def activation_time(self) -> int | None:
        """Returns when the message becomes active, or None if it is not scheduled."""
        return self.scheduled_at if self.state is MessageState.SCHEDULED else None

    def set_application_properties(self, properties: Mapping[str, bytes]) -> int:
        """Sets application properties, given encoded; returns how many bytes that adds."""
        if not properties:
            return 0
        pairs: dict[Any, bytes] = {}
        if self._application_properties:
            _, at = decode.descriptor(self._application_properties, 0)
            pairs = decode.raw_pairs(self._application_properties, at)
        pairs |= {name: encode.string(name) + properties[name] for name in properties}
        encoded = encode.raw_map(list(pairs.values()))
        section = encode.described(_APPLICATION_PROPERTIES, encoded)
        growth = len(section) - len(self._application_properties)
        self._application_properties = section
        self.size += growth
        return growth

    def set_time_to_live(self, milliseconds: int) -> None:
        """Sets the expiration time and the ttl that receivers see."""
        self.expires_at = self.enqueued_at + milliseconds
        ttl = encode.uint(min(milliseconds, _MAX_TTL))
        self._header = (*self._header[:_TTL], ttl)

    def encoded(self, *, locked_until: int | None = None) -> bytes:
        """Returns the message with the broker's annotations."""
        annotations = [
            *self._annotations,
            _SEQUENCE_NUMBER + encode.long(self.sequence_number),
            _ENQUEUED + encode.timestamp(self.enqueued_at),
        ]
        if locked_until is not None:
            annotations.append(_LOCKED_UNTIL + encode.timestamp(locked_until))
        if self.state:
            annotations.append(_STATE + encode.int_(self.state))
        header = encode.list_(*self._header, NULL, encode.uint(self.delivery_count))
        return b"".join(
            (
                encode.described(_HEADER, header),
                encode.described(_ANNOTATIONS, encode.raw_map(annotations)),
                self._properties,
                self._application_properties,
                self._body,
            )
        )

    def _read(self, raw: bytes) -> None:
        for code, start, at, end in decode.sections(raw):
            if code == _HEADER:
                self._read_header(raw, at)
            elif code == _ANNOTATIONS:
                self._read_annotations(raw, at)
            elif code == _PROPERTIES:
                self._properties = raw[start:end]
                self._read_properties(raw, at)
            elif code == _APPLICATION_PROPERTIES:
                _check_simple(decode.raw_pairs(raw, at))
                self._application_properties = raw[start:end]
            elif code != _DELIVERY_ANNOTATIONS and not self._body:
                self._body = raw[start:]

    def _read_header(self, raw: bytes, at: int) -> None:
        fields = decode.raw_items(raw, at)[:3]
        self._header = (*fields, *_EMPTY_HEADER[len(fields) :])
        self.time_to_live = _int_or_none(decode.value(self._header[_TTL])[0], "ttl")

    def _read_annotations(self, raw: bytes, at: int) -> None:
        pairs = decode.raw_pairs(raw, at)
        self.scheduled_at = _int_or_none(_decoded_value(pairs.get(_SCHEDULED)), _SCHEDULED)
        kept = (pair for name, pair in pairs.items() if name not in _BROKER_ANNOTATIONS)
        self._annotations = tuple(kept)

    def _read_properties(self, raw: bytes, at: int) -> None:
        fields, _ = decode.value(raw, at)
        if not isinstance(fields, list):
            raise DecodeError("properties must be a list")
        if fields:
            self.message_id = _hashable(fields[_MESSAGE_ID])
        if len(fields) > _GROUP_ID:
            self.session_id = fields[_GROUP_ID]
        if self.session_id is not None and not isinstance(self.session_id, str):
            raise DecodeError("group-id must be a string")


def _check_simple(pairs: Mapping[Any, bytes]) -> None:
    """Raises DecodeError for a list, map or array: application properties are simple (3.2.5)."""
    for name, pair in pairs.items():
        if decode.raw_value(pair)[0] in decode.COMPOUND_CONSTRUCTORS:
            text = f"the application property {name!r} must not be a list, map or array"
            raise DecodeError(text)


def _decoded_value(pair: bytes | None) -> Any:
    return decode.value(decode.raw_value(pair))[0] if pair else None


def _int_or_none(value: Any, name: str) -> int | None:
    if isinstance(value, int | None):
        return value
    raise DecodeError(f"{name} must be an integer")


def _hashable(value: Any) -> Any:
    if isinstance(value, list | dict):
        raise DecodeError("message-id must not be a list or map")
    return value
