"""Errors that are reported to the client, and the error conditions of AMQP and Service Bus."""

from collections.abc import Mapping
from enum import StrEnum


class Condition(StrEnum):
    """Error conditions of AMQP (part 2, 2.8.15-2.8.18) and of Service Bus."""

    DECODE_ERROR = "amqp:decode-error"
    INVALID_FIELD = "amqp:invalid-field"
    NOT_ALLOWED = "amqp:not-allowed"
    NOT_FOUND = "amqp:not-found"
    NOT_IMPLEMENTED = "amqp:not-implemented"
    RESOURCE_LIMIT_EXCEEDED = "amqp:resource-limit-exceeded"
    CONNECTION_FORCED = "amqp:connection:forced"
    FRAMING_ERROR = "amqp:connection:framing-error"
    DETACH_FORCED = "amqp:link:detach-forced"
    MESSAGE_SIZE_EXCEEDED = "amqp:link:message-size-exceeded"
    HANDLE_IN_USE = "amqp:session:handle-in-use"
    MESSAGE_LOCK_LOST = "com.microsoft:message-lock-lost"
    MESSAGE_NOT_FOUND = "com.microsoft:message-not-found"
    SERVER_BUSY = "com.microsoft:server-busy"
    SESSION_CANNOT_BE_LOCKED = "com.microsoft:session-cannot-be-locked"
    SESSION_LOCK_LOST = "com.microsoft:session-lock-lost"
    TIMEOUT = "com.microsoft:timeout"


# Status codes of management responses, from learn.microsoft.com, "AMQP 1.0 in Azure Service Bus:
# request-response-based operations". Every other condition has 400.
_STATUSES: Mapping[str, int] = {
    Condition.NOT_FOUND: 404,
    Condition.MESSAGE_NOT_FOUND: 404,
    Condition.MESSAGE_LOCK_LOST: 410,
    Condition.SESSION_LOCK_LOST: 410,
    Condition.RESOURCE_LIMIT_EXCEEDED: 403,
    Condition.NOT_IMPLEMENTED: 501,
    Condition.SERVER_BUSY: 503,
}


class AmqpError(Exception):
    """An error that the broker reports to the client."""

    def __init__(self, condition: str, description: str) -> None:
        super().__init__(description)
        self.condition = condition
        self.description = description

    @property
    def status(self) -> int:
        """The status code of a management response with this error."""
        return _STATUSES.get(self.condition, 400)


class DecodeError(AmqpError):
    """An error in bytes that are not valid AMQP."""

    def __init__(self, description: str) -> None:
        super().__init__(Condition.DECODE_ERROR, description)
