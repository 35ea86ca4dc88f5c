"""The operations on a queue's $management node.

learn.microsoft.com: "AMQP 1.0 in Azure Service Bus: request-response-based operations" names
them and the members of their bodies; what SDKs send is spelled as there, "defered" too.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from local.servicebus.amqp import encode
from local.servicebus.amqp.encode import NULL
from local.servicebus.amqp.errors import AmqpError, Condition
from local.servicebus.browsing import peek
from local.servicebus.message import Message, MessageState
from local.servicebus.message_sessions import MessageSession
from local.servicebus.queue import Queue
from local.servicebus.requests import Reply, Request, refused
from local.servicebus.settlement import Settlement, because, encoded_values

T = TypeVar("T")
Operation = Callable[[Queue, "Body"], bytes | None]

_VENDOR = "com.microsoft:"
_NOTHING = Reply(204, "No Content")
_NOT_FOUND = "Failed to find one or more specified messages."
_RECEIVE_AND_DELETE = 0
_SETTLEMENTS = {
    "completed": Settlement.COMPLETE,
    "abandoned": Settlement.ABANDON,
    "defered": Settlement.DEFER,
    "suspended": Settlement.DEAD_LETTER,
}


class Body:
    """The map that a request carries; AmqpError for a member that is not as it must be."""

    def __init__(self, members: Any, raw: bytes = NULL) -> None:
        self._members: Mapping[Any, Any] = members if isinstance(members, dict) else {}
        self._raw = raw

    def one(self, name: str, kind: type[T]) -> T:
        """The member of that name."""
        value = self._members.get(name)
        if isinstance(value, kind):
            return value
        raise AmqpError(Condition.INVALID_FIELD, f"{name} must be of type {kind.__name__}.")

    def optional(self, name: str, kind: type[T]) -> T | None:
        """The same, None if there is none."""
        return None if self._members.get(name) is None else self.one(name, kind)

    def one_or(self, name: str, kind: type[T], default: T) -> T:
        """The same, or `default` if there is none."""
        value = self.optional(name, kind)
        return default if value is None else value

    def many(self, name: str, kind: type[T]) -> list[T]:
        """The items of the member of that name."""
        return [Body({name: value}).one(name, kind) for value in self.one(name, list)]

    def encoded(self, name: str) -> dict[str, bytes]:
        """The names and encoded values of the map of that name, if there is one."""
        own = encoded_values(self._raw) if self.optional(name, dict) else {}
        return encoded_values(own.get(name, NULL))


def answer(queue: Queue, request: Request) -> Reply:
    """Does what is asked of `queue`."""
    operation = _OPERATIONS.get(request.operation.removeprefix(_VENDOR), _unknown)
    try:
        body = operation(queue, Body(request.body, request.raw_body))
    except AmqpError as error:
        return refused(error)
    return _NOTHING if body is None else Reply(200, "OK", body)


def _unknown(_: Queue, __: Body) -> bytes:
    raise AmqpError(Condition.NOT_IMPLEMENTED, "The operation is not known.")


def _renew_lock(queue: Queue, body: Body) -> bytes:
    messages = _locked(queue, body)
    return _result("expirations", encode.timestamps(map(queue.locks.renew, messages)))


def _renew_session_lock(queue: Queue, body: Body) -> bytes:
    return _result("expiration", encode.timestamp(queue.sessions.renew(_session(queue, body))))


def _update_disposition(queue: Queue, body: Body) -> bytes:
    status = body.one("disposition-status", str)
    if status not in _SETTLEMENTS:
        raise AmqpError(Condition.INVALID_FIELD, f"The disposition-status {status!r} is not known.")
    properties = body.encoded("properties-to-modify")
    settlement = _SETTLEMENTS[status]
    if settlement is Settlement.DEAD_LETTER:
        told = ("deadletter-reason", "deadletter-description")
        properties = {**because(*(body.one_or(name, str, "") for name in told)), **properties}
    queue.settle(_locked(queue, body), settlement, properties)
    return encode.map_()


def _peek_message(queue: Queue, body: Body) -> bytes | None:
    start, limit = body.one("from-sequence-number", int), body.one("message-count", int)
    messages = peek(queue, start, limit, body.optional("session-id", str))
    return _messages(messages) if messages else None


def _receive_by_sequence_number(queue: Queue, body: Body) -> bytes:
    messages = _in_state(queue, body, MessageState.DEFERRED)
    # Only now does one that was deferred for too long expire ("Message deferral").
    expired = [message for message in messages if queue.dies(message)]
    if expired:
        raise AmqpError(Condition.MESSAGE_NOT_FOUND, _NOT_FOUND)
    is_kept = body.one_or("receiver-settle-mode", int, 1) != _RECEIVE_AND_DELETE
    holder = _session(queue, body).holder if queue.requires_session else None
    for message in messages:
        queue.locks.grant(message, holder)
    encoded = _messages(messages, with_tokens=True)
    if not is_kept:
        queue.settle(messages, Settlement.COMPLETE)
    return encoded


def _schedule_message(queue: Queue, body: Body) -> bytes:
    raw = [Body(entry).one("message", bytes) for entry in body.many("messages", dict)]
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
    skip = max(body.one_or("skip", int, 0), 0)
    ids = queue.sessions.ids(
        busy={message.session_id or "" for message in queue.messages.values()},
        since=body.one_or("last-updated-time", int, 0),
        skip=skip,
        top=max(body.one_or("top", int, 100), 0),
    )
    if not ids:
        return None
    following = (encode.string("skip"), encode.int_(skip + len(ids)))
    return encode.map_(following, (encode.string("sessions-ids"), encode.strings(ids)))


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
    return queue.sessions.held(body.one("session-id", str))


def _locked(queue: Queue, body: Body) -> list[Message]:
    tokens = dict.fromkeys(body.many("lock-tokens", UUID))
    return [queue.locks.find(token.bytes_le) for token in tokens]


def _in_state(queue: Queue, body: Body, state: MessageState) -> list[Message]:
    numbers = dict.fromkeys(body.many("sequence-numbers", int))
    messages = [queue.messages.get(number) for number in numbers]
    found = [message for message in messages if message and _is_free(message, state)]
    if len(found) < len(messages):
        raise AmqpError(Condition.MESSAGE_NOT_FOUND, _NOT_FOUND)
    return found


def _is_free(message: Message, state: MessageState) -> bool:
    return message.state is state and message.token is None


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
        (encode.string("lock-token"), encode.uuid(UUID(bytes_le=message.token))),
        (encode.string("message"), content),
    )
