"""Results: the outcome of a request as a CloudEvent 1.0 in structured mode."""

from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final, Literal, NamedTuple
from urllib.parse import quote
from uuid import UUID, uuid5

from shared.dps.batching.items import ItemResult, RequestItem, record_id
from shared.dps.models import Document, Operation, RecordKind
from shared.error_catalog import code_for
from shared.errors import InvalidRequestError
from shared.messaging.cloud_events import STRUCTURED, read_content
from shared.messaging.copies import trace_properties
from shared.messaging.messages import Message, OutgoingMessage
from shared.messaging.request_models import (
    KIND_BY_MEMBER,
    KIND_BY_RECORD_MEMBER,
    non_null_members,
    read_operation,
    respelled_request,
)
from shared.settings import ServiceBusSettings

CONTENT_TYPE = f"{STRUCTURED}; charset=utf-8"
EVENT_TYPE: Final = "EnrollmentFunctions.RequestCompleted"

# A result must fit in any queue, whatever the request: the smallest limit is 256 KB.
_MAX_FAULTS = 50
_MAX_CHARACTERS = 256
_MAX_MESSAGE = 2000

_ID_NAMESPACE = UUID("5d0a4c43-7a3b-4c9e-9c4f-0f6d6d0f2b1a")
"""The namespace of result ids, the same in every version of the app."""


class Status(StrEnum):
    """The outcome of a request."""

    SUCCEEDED = "succeeded"
    REJECTED = "rejected"


# Hashed into result ids: the same in every version of the app.
_STATUS_TEXT = {
    Status.SUCCEEDED: "<Status.SUCCEEDED: 'succeeded'>",
    Status.REJECTED: "<Status.REJECTED: 'rejected'>",
}


class Outcome(Document):
    """The outcome of one request, or of one record of a bulk request."""

    operation: Operation | None = None
    status: Status
    registration_id: str | None = None
    enrollment_group_id: str | None = None
    etag: str | None = None
    error_code: int | None = None
    message: str | None = None
    tracking_id: str | None = None
    info: dict[str, str] | None = None
    """The faults of the request by JSON Pointer into its body."""


class Result(Document):
    """The event around an outcome; `subject` is the record's id, if it is known."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: Literal["EnrollmentFunctions.RequestCompleted"] = EVENT_TYPE
    subject: str | None = None
    time: str
    datacontenttype: Literal["application/json"] = "application/json"
    data: Outcome

    def json_bytes(self) -> bytes:
        """Returns the event as JSON."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


def result_of(message: Message, result: ItemResult) -> Result:
    """
    Returns the result for the sender of a message; it is rejected if there is an error.

    If the request could not be read, the result has what can be read of it. Its id is the same
    whenever the same request, in any copy or delivery, has the same outcome, so that a queue with
    duplicate detection keeps one.
    """
    item, error = result.item, result.error
    summary = _RequestSummary.of(item) if item else _read_summary(message)
    outcome = Outcome(
        operation=summary.operation,
        status=Status.REJECTED if error else Status.SUCCEEDED,
        etag=result.etag,
        error_code=code_for(error) if error else None,
        message=_shortened(str(error), _MAX_MESSAGE) if error else None,
        tracking_id=_shortened(result.tracking_id),
        info=_shortened_faults(error) if isinstance(error, InvalidRequestError) else None,
        **summary.id_member,
    )
    return Result(
        id=_result_id(message, item, outcome),
        source=f"/queues/{quote(message.queue)}",
        subject=summary.id,
        time=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        data=outcome,
    )


def result_message(message: Message, result: Result) -> OutgoingMessage:
    """Returns the message with a result, for the sender of `message`."""
    return OutgoingMessage(
        body=result.json_bytes(),
        message_id=result.id,
        content_type=CONTENT_TYPE,
        correlation_id=message.correlation_id or message.original_id,
        subject=result.subject,
        application_properties=trace_properties(message),
    )


class _RequestSummary(NamedTuple):
    """What a result says about its request."""

    operation: Operation | None = None
    kind: RecordKind | None = None
    id: str | None = None

    @classmethod
    def of(cls, item: RequestItem) -> "_RequestSummary":
        return cls(item.operation, item.kind, item.id or None)

    @property
    def id_member(self) -> dict[str, str]:
        """The id by the name of its member."""
        return {self.kind.id_member: self.id} if self.kind and self.id else {}


def _read_summary(message: Message) -> _RequestSummary:
    """Returns what can be read of an invalid request; of a bulk request, no record."""
    try:
        document = read_content(message).document
    except InvalidRequestError:
        return _RequestSummary()
    if not isinstance(document, dict):
        return _RequestSummary()
    request = non_null_members(respelled_request(document))
    targets = KIND_BY_MEMBER.keys() & request.keys()
    kind = KIND_BY_MEMBER[next(iter(targets))] if len(targets) == 1 else None
    record = next((request[name] for name in KIND_BY_RECORD_MEMBER if name in request), request)
    id = record_id(record, kind) if kind else None
    return _RequestSummary(read_operation(request), kind, id)


def _result_id(message: Message, item: RequestItem | None, outcome: Outcome) -> str:
    """
    Returns an id made of request and outcome, so that a replay that succeeds has another id.

    An item of a bulk request is identified by its record, not by its position, because the rest of
    a bulk request is sent on as a smaller message.
    """
    queue, status = message.queue.casefold(), _STATUS_TEXT[outcome.status]
    key = _item_key(item) if item else sha256(message.body).hexdigest()
    # The form of a tuple's repr: ids must stay the same in every version of the app.
    name = f"({queue!r}, {message.original_id!r}, {status}, {outcome.error_code!r}, {key!r})"
    return str(uuid5(_ID_NAMESPACE, name))


def _item_key(item: RequestItem) -> tuple[object, ...]:
    key = (item.kind.path, item.id.casefold(), item.digest)
    if item.position is None:
        return key
    return (*key, item.occurrence, None if item.id else item.position)


def _shortened_faults(error: InvalidRequestError) -> dict[str, str]:
    return {
        str(_shortened(pointer)): str(_shortened(fault))
        for pointer, fault in error.list_faults(_MAX_FAULTS).items()
    }


def _shortened(text: str | None, limit: int = _MAX_CHARACTERS) -> str | None:
    """Returns the beginning of the text, with `?` for what UTF-8 cannot encode."""
    if text is None:
        return None
    start = text if len(text) <= limit else text[: limit - 1] + "…"
    return start.encode(errors="replace").decode()


class ReplyQueue(NamedTuple):
    """The queue for a result; `None` for no result."""

    queue: str | None
    is_redirected: bool
    """Whether `reply_to` is not allowed, so that the results queue is used instead."""


def choose_reply_queue(message: Message, settings: ServiceBusSettings) -> ReplyQueue:
    """Returns the queue for a message's result: its `reply_to` if allowed, else the results queue."""
    if not message.reply_to:
        return ReplyQueue(settings.enrollment_results_queue, is_redirected=False)
    # The names of queues are case-insensitive.
    requested = _queue_name(message.reply_to).casefold()
    own = {*settings.input_queues, settings.enrollment_rejected_queue}
    forbidden = {name.casefold() for name in own}
    for name in (settings.enrollment_results_queue, *settings.enrollment_reply_queues):
        if name and name.casefold() == requested and requested not in forbidden:
            return ReplyQueue(name, is_redirected=False)
    return ReplyQueue(settings.enrollment_results_queue, is_redirected=True)


def _queue_name(address: str) -> str:
    """Returns the queue of an address: `sb://host/queue`, or the name itself."""
    _, scheme, rest = address.partition("://")
    return (rest.partition("/")[2] if scheme else address).strip("/")
