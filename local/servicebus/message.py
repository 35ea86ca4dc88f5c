"""A message as the broker keeps it: what it must know decoded, the rest as it came (part 3, 3.2)."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

from local.servicebus.amqp import decode, encode, spans
from local.servicebus.amqp.encode import NULL
from local.servicebus.amqp.errors import DecodeError

_HEADER, _DELIVERY_ANNOTATIONS, _ANNOTATIONS = 0x70, 0x71, 0x72
_PROPERTIES, _APPLICATION_PROPERTIES = 0x73, 0x74
_MESSAGE_ID, _GROUP_ID = 0, 10  # of the properties; Service Bus keeps the session id in the latter
_TTL = 2  # of the header
_LONGEST_LIFE = 2**32 - 1  # milliseconds
_NO_HEADER = (encode.FALSE, NULL, NULL)  # durable, priority, ttl

_SCHEDULED = "x-opt-scheduled-enqueue-time"
_SEQUENCE_NUMBER = encode.symbol("x-opt-sequence-number")
_ENQUEUED = encode.symbol("x-opt-enqueued-time")
_LOCKED_UNTIL = encode.symbol("x-opt-locked-until")
_STATE = encode.symbol("x-opt-message-state")
# What a sender says of these is not passed on: the broker knows better.
_OF_THE_BROKER = {
    "x-opt-sequence-number",
    "x-opt-enqueued-time",
    "x-opt-locked-until",
    "x-opt-message-state",
    "x-opt-lock-token",
    "x-opt-enqueue-sequence-number",
}
# What keeping a message costs beside its bytes, measured with small ones.
_OVERHEAD = 1024


class MessageState(IntEnum):
    """The values of x-opt-message-state."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


class Message:
    """A message and where it stands in its queue; DecodeError if `raw` is none.

    It is locked while it has a token. Times are milliseconds since 1970.
    """

    __slots__ = (
        "_annotations",
        "_application_properties",
        "_body",
        "_header",
        "_properties",
        "delivery_count",
        "enqueued",
        "expires",
        "holder",
        "locked_until",
        "message_id",
        "scheduled",
        "sequence_number",
        "session_id",
        "size",
        "state",
        "time_to_live",
        "token",
    )

    def __init__(self, raw: bytes) -> None:
        self.size = len(raw)
        self.message_id: Any = None
        self.session_id: str | None = None
        self.time_to_live: int | None = None
        self.scheduled: int | None = None

        self.state = MessageState.ACTIVE
        self.sequence_number = 0
        self.enqueued = 0
        self.expires: int | None = None
        self.delivery_count = 0
        self.token: bytes | None = None
        self.holder: object = None
        self.locked_until = 0

        # Tuples, so that the garbage collector has less to look at while many are kept.
        self._header: Sequence[bytes] = _NO_HEADER
        self._annotations: Sequence[bytes] = ()
        self._properties = b""
        self._application_properties = b""
        self._body = b""
        self._read(raw)

    @property
    def cost(self) -> int:
        """The bytes that it takes to keep it."""
        return self.size + _OVERHEAD

    def dies_at(self) -> int | None:
        """When it expires by itself; one that is deferred does when it is asked for."""
        return None if self.state is MessageState.DEFERRED else self.expires

    def activates_at(self) -> int | None:
        """When it becomes active, if it is scheduled."""
        return self.scheduled if self.state is MessageState.SCHEDULED else None

    def describe(self, properties: Mapping[str, bytes]) -> int:
        """Sets application properties to encoded values; how many bytes that adds."""
        if not properties:
            return 0
        pairs: dict[Any, bytes] = {}
        if self._application_properties:
            _, at = spans.descriptor(self._application_properties, 0)
            pairs = spans.raw_pairs(self._application_properties, at)
        pairs |= {name: encode.string(name) + properties[name] for name in properties}
        encoded = encode.raw_map(list(pairs.values()))
        described = encode.described(_APPLICATION_PROPERTIES, encoded)
        growth = len(described) - len(self._application_properties)
        self._application_properties = described
        self.size += growth
        return growth

    def limit_life(self, milliseconds: int) -> None:
        """Expires so long after it was enqueued; receivers are told so."""
        self.expires = self.enqueued + milliseconds
        told = encode.uint(min(milliseconds, _LONGEST_LIFE))
        self._header = (*self._header[:_TTL], told)

    def encoded(self, *, locked_until: int | None = None) -> bytes:
        """The message with the broker's annotations."""
        annotations = [
            *self._annotations,
            _SEQUENCE_NUMBER + encode.long(self.sequence_number),
            _ENQUEUED + encode.timestamp(self.enqueued),
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
        for code, start, at, end in spans.sections(raw):
            if code == _HEADER:
                self._read_header(raw, at)
            elif code == _ANNOTATIONS:
                self._read_annotations(raw, at)
            elif code == _PROPERTIES:
                self._properties = raw[start:end]
                self._read_properties(raw, at)
            elif code == _APPLICATION_PROPERTIES:
                spans.raw_pairs(raw, at)
                self._application_properties = raw[start:end]
            elif code != _DELIVERY_ANNOTATIONS and not self._body:
                self._body = raw[start:]

    def _read_header(self, raw: bytes, at: int) -> None:
        fields = spans.raw_items(raw, at)[:3]
        self._header = (*fields, *_NO_HEADER[len(fields) :])
        self.time_to_live = _number(decode.value(self._header[_TTL])[0], "ttl")

    def _read_annotations(self, raw: bytes, at: int) -> None:
        pairs = spans.raw_pairs(raw, at)
        self.scheduled = _number(self._value(pairs.get(_SCHEDULED)), _SCHEDULED)
        kept = (pair for name, pair in pairs.items() if name not in _OF_THE_BROKER)
        self._annotations = tuple(kept)

    def _read_properties(self, raw: bytes, at: int) -> None:
        fields, _ = decode.value(raw, at)
        if not isinstance(fields, list):
            raise DecodeError("properties that are no list")
        if fields:
            self.message_id = _hashable(fields[_MESSAGE_ID])
        if len(fields) > _GROUP_ID:
            self.session_id = fields[_GROUP_ID]
        if self.session_id is not None and not isinstance(self.session_id, str):
            raise DecodeError("a group-id that is no text")

    @staticmethod
    def _value(pair: bytes | None) -> Any:
        return decode.value(spans.value_of(pair))[0] if pair else None


def _number(value: Any, name: str) -> int | None:
    if isinstance(value, int | None):
        return value
    raise DecodeError(f"{name} must be a number")


def _hashable(value: Any) -> Any:
    if isinstance(value, list | dict):
        raise DecodeError("an id that is a list or a map")
    return value
