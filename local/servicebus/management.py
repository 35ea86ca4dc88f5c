"""
The $management node of a queue.

Operations and the members of their bodies: learn.microsoft.com, "AMQP 1.0 in Azure Service Bus:
request-response-based operations". The spelling "defered" is the protocol's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from local.servicebus.amqp import encode
from local.servicebus.amqp.encode import NULL
from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.message import Message, MessageState
from local.servicebus.message_sessions import MessageSession
from local.servicebus.queue import Queue
from local.servicebus.requests import Request, Response, error_response
from local.servicebus.settlement import Settlement, dead_letter_properties, encoded_members

T = TypeVar("T")
Operation = Callable[[Queue, "Body"], bytes | None]

_VENDOR = "com.microsoft:"
_NO_CONTENT = Response(204, "No Content")
_NOT_FOUND = "Failed to find one or more specified messages."
_RECEIVE_AND_DELETE = 0
_SETTLEMENTS = {
    "completed": Settlement.COMPLETE,
    "abandoned": Settlement.ABANDON,
    "defered": Settlement.DEFER,
    "suspended": Settlement.DEAD_LETTER,
}


class Body:
    """The map in the body of a request; raises AmqpError for a member of the wrong type."""

    def __init__(self, members: Any, raw: bytes = NULL) -> None:
        self._members: Mapping[Any, Any] = members if isinstance(members, dict) else {}
        self._raw = raw

    def get(self, name: str, kind: type[T]) -> T:
        """Returns a required member."""
        value = self._members.get(name)
        if isinstance(value, kind):
            return value
        raise AmqpError(Condition.INVALID_FIELD, f"{name} must be of type {kind.__name__}.")

    def optional(self, name: str, kind: type[T]) -> T | None:
        """Returns an optional member, or None."""
        return None if self._members.get(name) is None else self.get(name, kind)

    def get_or(self, name: str, kind: type[T], default: T) -> T:
        """Returns an optional member, or `default`."""
        value = self.optional(name, kind)
        return default if value is None else value

    def get_list(self, name: str, kind: type[T]) -> list[T]:
        """Returns the items of a required list."""
        return [Body({name: value}).get(name, kind) for value in self.get(name, list)]

    def encoded(self, name: str) -> dict[str, bytes]:
        """Returns the encoded values of an optional map, by name."""
        members = encoded_members(self._raw) if self.optional(name, dict) else {}
        return encoded_members(members.get(name, NULL))


def execute(queue: Queue, request: Request) -> Response:
    """Executes an operation on `queue`."""
    operation = _OPERATIONS.get(request.operation.removeprefix(_VENDOR), _not_implemented)
    try:
        body = operation(queue, Body(request.body, request.raw_body))
    except AmqpError as error:
        return error_response(error)
    return _NO_CONTENT if body is None else Response(200, "OK", body)


def _not_implemented(_: Queue, __: Body) -> bytes:
    raise AmqpError(Condition.NOT_IMPLEMENTED, "The operation is not supported.")


def _renew_lock(queue: Queue, body: Body) -> bytes:
    messages = _locked(queue, body)
    return _result("expirations", encode.timestamps(map(queue.locks.renew, messages)))


def _renew_session_lock(queue: Queue, body: Body) -> bytes:
    return _result("expiration", encode.timestamp(queue.sessions.renew(_session(queue, body))))


def _update_disposition(queue: Queue, body: Body) -> bytes:
    status = body.get("disposition-status", str)
    if status not in _SETTLEMENTS:
        allowed = ", ".join(_SETTLEMENTS)
        raise AmqpError(Condition.INVALID_FIELD, f"disposition-status must be one of {allowed}.")
    properties = body.encoded("properties-to-modify")
    settlement = _SETTLEMENTS[status]
    if settlement is Settlement.DEAD_LETTER:
        reason = body.get_or("deadletter-reason", str, "")
        description = body.get_or("deadletter-description", str, "")
        properties = {**dead_letter_properties(reason, description), **properties}
    queue.settle(_locked(queue, body), settlement, properties)
    return encode.map_()


def _peek_message(queue: Queue, body: Body) -> bytes | None:
    start, limit = body.get("from-sequence-number", int), body.get("message-count", int)
    messages = queue.peek(start, limit, body.optional("session-id", str))
    return _messages(messages) if messages else None


def _receive_by_sequence_number(queue: Queue, body: Body) -> bytes:
    messages = _in_state(queue, body, MessageState.DEFERRED)
    # A deferred message expires only when it is received ("Message deferral").
    expired = [message for message in messages if queue.remove_if_expired(message)]
    if expired:
        raise AmqpError(Condition.MESSAGE_NOT_FOUND, _NOT_FOUND)
    is_deleted = body.get_or("receiver-settle-mode", int, 1) == _RECEIVE_AND_DELETE
    holder = _session(queue, body).holder if queue.requires_session else None
    for message in messages:
        queue.locks.grant(message, holder)
    encoded = _messages(messages, with_tokens=True)
    if is_deleted:
        queue.settle(messages, Settlement.COMPLETE)
    return encoded


def _schedule_message(queue: Queue, body: Body) -> bytes:
    raw = [Body(entry).get("message", bytes) for entry in body.get_list("messages", dict)]
    return _result("sequence-numbers", encode.longs(queue.put([Message(data) for data in raw])))


def _cancel_scheduled_message(queue: Queue, body: Body) -> bytes:
    for message in _in_state(queue, body, MessageState.SCHEDULED):
        queue.remove(message)
    return encode.map_()


def _get_session_state(queue: Queue, body: Body) -> bytes:
    state = queue.sessions.state(_session(queue, body).id)
    return _result("session-state", NULL if state is None else encode.binary(state))


def _set_session_state(queue: Queue, body: Body) -> bytes:
    state = body.optional("session-state", bytes)
    queue.sessions.set_state(_session(queue, body).id, state)
    return encode.map_()


def _get_message_sessions(queue: Queue, body: Body) -> bytes | None:
    skip = max(body.get_or("skip", int, 0), 0)
    ids = queue.sessions.ids(
        with_messages={message.session_id or "" for message in queue.messages.values()},
        updated_since=body.get_or("last-updated-time", int, 0),
        skip=skip,
        top=max(body.get_or("top", int, 100), 0),
    )
    if not ids:
        return None
    next_skip = (encode.string("skip"), encode.int_(skip + len(ids)))
    return encode.map_(next_skip, (encode.string("sessions-ids"), encode.strings(ids)))


_OPERATIONS: Mapping[str, Operation] = {
    "renew-lock": _renew_lock,
    "renew-session-lock": _renew_session_lock,
    "update-disposition": _update_disposition,
    "peek-message": _peek_message,
    "receive-by-sequence-number": _receive_by_sequence_number,
    "schedule-message": _schedule_message,
    "cancel-scheduled-message": _cancel_scheduled_message,
    "get-session-state": _get_session_state,
    "set-session-state": _set_session_state,
    "get-message-sessions": _get_message_sessions,
}


def _session(queue: Queue, body: Body) -> MessageSession:
    return queue.sessions.find_locked(body.get("session-id", str))


def _locked(queue: Queue, body: Body) -> list[Message]:
    tokens = dict.fromkeys(body.get_list("lock-tokens", UUID))
    return [queue.locks.find(token.bytes_le) for token in tokens]


def _in_state(queue: Queue, body: Body, state: MessageState) -> list[Message]:
    numbers = dict.fromkeys(body.get_list("sequence-numbers", int))
    messages = [queue.messages.get(number) for number in numbers]
    matching = [message for message in messages if message and _is_unlocked(message, state)]
    if len(matching) < len(messages):
        raise AmqpError(Condition.MESSAGE_NOT_FOUND, _NOT_FOUND)
    return matching


def _is_unlocked(message: Message, state: MessageState) -> bool:
    return message.state is state and message.lock_token is None


def _result(name: str, value: bytes) -> bytes:
    return encode.map_((encode.string(name), value))


def _messages(messages: Sequence[Message], *, with_tokens: bool = False) -> bytes:
    entry = _locked_entry if with_tokens else _peeked_entry
    return _result("messages", encode.list_(*map(entry, messages)))


def _peeked_entry(message: Message) -> bytes:
    return _result("message", encode.binary(message.encoded()))


def _locked_entry(message: Message) -> bytes:
    content = encode.binary(message.encoded(locked_until=message.locked_until))
    return encode.map_(
        (encode.string("lock-token"), encode.uuid(UUID(bytes_le=message.lock_token))),
        (encode.string("message"), content),
    )
