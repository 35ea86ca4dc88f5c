"""Rejected messages over HTTP: read, replay, discard."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import azure.functions as func
from pydantic import ConfigDict, Field, PlainValidator, TypeAdapter

from functions import _replies
from functions._requests import body
from functions._services import queues
from shared.dps.models import Document, faults_in
from shared.dps.models.document import fault
from shared.errors import InvalidRequestError
from shared.messaging.rejected import MOST_IN_PAGE, MOST_IN_REPLAY
from shared.messaging.rejections import Filter

_OF_THE_HOST = {"code", "clientid", "api-version"}
"""Parameters that are not for this app, or mean nothing here."""

_SequenceNumber = Annotated[int, Field(ge=0, lt=2**63)]
_MOST_DIGITS = len(str(2**63))
_DURATION = TypeAdapter(timedelta)


def _past(value: object) -> datetime | None:
    """The time that is meant by one, or by how long ago it was."""
    try:
        if isinstance(value, str) and value.startswith("P"):
            return datetime.now(UTC) - _DURATION.validate_python(value)
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        time = None
    if value is not None and (time is None or time.tzinfo is None):
        raise fault("must be a duration, or a time with its zone (ISO 8601)")
    return time


class _Place(Document):
    model_config = ConfigDict(extra="forbid")

    queue: str | None = None


class _Wanted(_Place):
    reason: str | None = None
    id: str | None = None
    older_than: Annotated[datetime | None, PlainValidator(_past)] = None
    start: _SequenceNumber = 0

    @property
    def filter(self) -> Filter:
        return Filter(reason=self.reason, id=self.id, older_than=self.older_than)


class Listing(_Wanted):
    """What `GET rejected` takes; `olderThan` is a time or a duration (ISO 8601)."""

    top: Annotated[int, Field(ge=1, le=MOST_IN_PAGE)] = 20


class Replay(_Wanted):
    """What `POST rejected/replay` takes for all messages that match."""

    max: Annotated[int, Field(ge=1, le=MOST_IN_REPLAY)] = 100
    dry_run: bool = False


class ReplayOfOne(_Place):
    """What it takes for one message; `patch` is a JSON Merge Patch (RFC 7396) on its body."""

    sequence_number: _SequenceNumber
    patch: dict[str, Any] | None = None


async def page(req: func.HttpRequest) -> func.HttpResponse:
    """Rejected messages as they lie, keys as asterisks."""
    asked = _parameters(req, Listing)
    found = await queues().rejected.page(
        asked.queue, asked.filter, top=asked.top, start=asked.start
    )
    return _replies.document(found, headers={"Cache-Control": "no-store"})


async def replay(req: func.HttpRequest) -> func.HttpResponse:
    """Sends messages back to the queues they came from."""
    asked = body(req, check=_faults_in_replay)
    rejected = queues().rejected
    if "sequenceNumber" in asked:
        one = ReplayOfOne.model_validate(asked)
        return _replies.document(
            await rejected.replay_one(one.sequence_number, place=one.queue, merge_patch=one.patch)
        )
    some = Replay.model_validate(asked)
    return _replies.document(
        await rejected.replay(
            some.filter,
            place=some.queue,
            at_most=some.max,
            start=some.start,
            dry_run=some.dry_run,
        )
    )


async def discard(req: func.HttpRequest) -> func.HttpResponse:
    """Takes one message away for good."""
    place = _parameters(req, _Place)
    number = _sequence_number(req.route_params["sequenceNumber"])
    return _replies.document(await queues().rejected.discard(number, place=place.queue))


def _faults_in_replay(document: Any) -> Mapping[str, str]:
    is_one = isinstance(document, dict) and "sequenceNumber" in document
    return faults_in(document, ReplayOfOne if is_one else Replay)


ModelT = TypeVar("ModelT", bound=Document)


def _parameters(req: func.HttpRequest, model: type[ModelT]) -> ModelT:
    given = {name: req.params[name] for name in req.params if name.lower() not in _OF_THE_HOST}
    faults = faults_in(given, model)
    if faults:
        raise InvalidRequestError({name.removeprefix("/"): it for name, it in faults.items()})
    return model.model_validate(given)


def _sequence_number(text: str) -> int:
    # Python itself refuses to read some thousands of digits.
    if not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) >= 2**63:
        raise InvalidRequestError({"sequenceNumber": "must be a whole number"})
    return int(text)
