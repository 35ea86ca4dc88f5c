"""What became of a request, as a message: a CloudEvent 1.0 in structured mode."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from itertools import islice
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote
from uuid import UUID, uuid5

from shared.documents import MAX_BYTES_OF_REQUEST
from shared.dps.models import Document, Operation, RecordKind
from shared.errors import InvalidRequestError
from shared.messaging.cloud_events import STRUCTURED, content
from shared.messaging.envelopes import KIND_OF, KIND_OF_RECORD, given, operation_in
from shared.messaging.messages import Message, OutgoingMessage
from shared.messaging.requests import BulkItem, EnrollmentRequest, digest, id_of
from shared.settings import MessagingSettings

CONTENT_TYPE = f"{STRUCTURED}; charset=utf-8"
EVENT_TYPE: Final = "EnrollmentFunctions.RequestCompleted"

# A result is small whatever was asked: the least a queue takes is 256 KB.
_MAX_FAULTS = 50
_MAX_CHARACTERS = 256
_MAX_MESSAGE = 2000

_IDS = UUID("5d0a4c43-7a3b-4c9e-9c4f-0f6d6d0f2b1a")
"""The namespace of the ids of results: the same in every version of the app."""


class Status(StrEnum):
    """How a request ended."""

    SUCCEEDED = "succeeded"
    REJECTED = "rejected"


class Outcome(Document):
    """What became of one request, or of one record of a bulk request."""

    operation: Operation | None = None
    status: Status
    registration_id: str | None = None
    enrollment_group_id: str | None = None
    etag: str | None = None
    error_code: int | None = None
    message: str | None = None
    tracking_id: str | None = None
    info: dict[str, str] | None = None
    """Each place in the request's body that is wrong, and what is wrong there."""


class Result(Document):
    """The event around an outcome; `subject` is the record's id, if that is known."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: Literal["EnrollmentFunctions.RequestCompleted"] = EVENT_TYPE
    subject: str | None = None
    time: str
    datacontenttype: Literal["application/json"] = "application/json"
    data: Outcome


def result(
    message: Message,
    request: EnrollmentRequest | BulkItem | None,
    *,
    etag: str | None = None,
    error_code: int | None = None,
    text: str | None = None,
    tracking_id: str | None = None,
    faults: Mapping[str, str] | None = None,
) -> OutgoingMessage:
    """
    What to tell the sender of a message; it is rejected where there is an `error_code`.

    `request` is `None` where it could not be read; what can be told of it is told all the same. Its
    id is the same whenever the same request, in whatever copy or delivery of its message, ends the
    same way, so that a queue with duplicate detection keeps one.
    """
    asked = _Asked.of(request) if request else _glimpse(message)
    outcome = Outcome(
        operation=asked.operation,
        status=Status.SUCCEEDED if error_code is None else Status.REJECTED,
        etag=etag,
        error_code=error_code,
        message=_short(text, _MAX_MESSAGE),
        tracking_id=_short(tracking_id),
        info=_some(faults or {}) or None,
        **asked.named,
    )
    return _sent(message, outcome, id=_id(message, request, outcome), subject=asked.id)


def _sent(message: Message, outcome: Outcome, *, id: str, subject: str | None) -> OutgoingMessage:
    event = Result(
        id=id,
        source=f"/queues/{quote(message.queue)}",
        subject=subject,
        time=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        data=outcome,
    )
    return OutgoingMessage(
        body=event.model_dump_json(by_alias=True, exclude_none=True).encode(),
        message_id=event.id,
        content_type=CONTENT_TYPE,
        correlation_id=message.correlation_id or message.original_id,
        subject=subject,
    )


class _Asked(NamedTuple):
    """What a result says of its request."""

    operation: Operation | None = None
    kind: RecordKind | None = None
    id: str | None = None

    @classmethod
    def of(cls, request: EnrollmentRequest | BulkItem) -> "_Asked":
        return cls(request.operation, request.kind, request.id)

    @property
    def named(self) -> dict[str, str]:
        """The id, by the member that names such a record."""
        return {self.kind.id_member: self.id} if self.kind and self.id else {}


def _glimpse(message: Message) -> _Asked:
    """What can be told of a request for one record that is not valid."""
    try:
        document = content(message, max_bytes=MAX_BYTES_OF_REQUEST).document
    except InvalidRequestError:
        return _Asked()
    if not isinstance(document, dict):
        return _Asked()
    asked = given(document)
    named = KIND_OF.keys() & asked.keys()
    kind = KIND_OF[next(iter(named))] if len(named) == 1 else None
    return _Asked(operation_in(asked), kind, _id_in(asked, kind) if kind else None)


def _id_in(asked: Mapping[str, Any], kind: RecordKind) -> str | None:
    record = next((asked[name] for name in KIND_OF_RECORD if name in asked), asked)
    return id_of(record, kind)


def _id(message: Message, request: EnrollmentRequest | BulkItem | None, outcome: Outcome) -> str:
    """
    By request and outcome: what was rejected and succeeds when it is replayed is told twice.

    An item of a bulk request is known by its record rather than its position, for what is left of a
    bulk request goes on as a smaller message.
    """
    name = (message.queue.casefold(), message.original_id, outcome.status, outcome.error_code)
    asked = sha256(message.body).hexdigest() if request is None else _key(request)
    return str(uuid5(_IDS, repr((*name, asked))))


def _key(request: EnrollmentRequest | BulkItem) -> tuple[object, ...]:
    key = (request.kind.path, (request.id or "").casefold(), digest(request))
    if isinstance(request, BulkItem):
        return (*key, request.twins, request.position if request.id is None else None)
    return key


def _some(faults: Mapping[str, str]) -> dict[str, str]:
    found = {
        str(_short(place)): str(_short(words))
        for place, words in islice(faults.items(), _MAX_FAULTS)
    }
    left = len(faults) - _MAX_FAULTS
    return found | {"": f"{left} more faults are not named"} if left > 0 else found


def _short(text: str | None, limit: int = _MAX_CHARACTERS) -> str | None:
    """The text's beginning, without what UTF-8 cannot hold."""
    if text is None:
        return None
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return shown.encode(errors="replace").decode()


class Reply(NamedTuple):
    """The queue for a result; `None` if nobody is to be told."""

    queue: str | None
    is_redirected: bool
    """Whether the request names a queue that is not allowed: then it goes where results go."""


def reply_to(message: Message, settings: MessagingSettings) -> Reply:
    """Where the result of a message goes: where it says, if the settings allow that."""
    if not message.reply_to:
        return Reply(settings.enrollment_results_queue, is_redirected=False)
    own = {*settings.input_queues, settings.enrollment_rejected_queue}
    allowed = (settings.enrollment_results_queue, *settings.enrollment_reply_queues)
    # Names of queues have no case.
    wanted = _queue_of(message.reply_to).casefold()
    forbidden = {name.casefold() for name in own}
    for name in allowed:
        if name and name.casefold() == wanted and wanted not in forbidden:
            return Reply(name, is_redirected=False)
    return Reply(settings.enrollment_results_queue, is_redirected=True)


def _queue_of(address: str) -> str:
    """The queue's name in an address: `sb://host/queue`, or the name itself."""
    _, scheme, rest = address.partition("://")
    return (rest.partition("/")[2] if scheme else address).strip("/")
