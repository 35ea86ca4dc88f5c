"""Handlers of rejected messages over HTTP: list, replay, discard."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import azure.functions as func
from pydantic import ConfigDict, Field, PlainValidator, TypeAdapter

from functions.http.requests import parse_body
from functions.http.responses import json_response
from functions.runtime import messaging
from shared.dps.models import Document, find_faults, respelled
from shared.dps.models.document import validation_error
from shared.errors import InvalidRequestError
from shared.messaging.rejected.model import Filter
from shared.messaging.rejected.service import MAX_PAGE_SIZE, MAX_REPLAY_SIZE

_HOST_PARAMETERS = {"code", "clientid", "api-version"}
"""Query parameters of the host, and `api-version`, which has no meaning here."""

_SequenceNumber = Annotated[int, Field(ge=0, lt=2**63)]
_MAX_DIGITS = len(str(2**63))
_DURATION = TypeAdapter(timedelta)


def _parse_time(value: object) -> datetime | None:
    """Returns the time, or the current time minus the duration."""
    try:
        if isinstance(value, str) and value.startswith("P"):
            return datetime.now(UTC) - _DURATION.validate_python(value)
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        time = None
    if value is not None and (time is None or time.tzinfo is None):
        raise validation_error("must be a duration, or a time with a time zone (ISO 8601)")
    return time


class _QueueParameter(Document):
    model_config = ConfigDict(extra="forbid")

    queue: str | None = None


class _FilterParameters(_QueueParameter):
    reason: str | None = None
    id: str | None = None
    older_than: Annotated[
        datetime | None, PlainValidator(_parse_time, json_schema_input_type=str | None)
    ] = None
    start: _SequenceNumber = 0

    @property
    def filter(self) -> Filter:
        return Filter(reason=self.reason, id=self.id, older_than=self.older_than)


class ListParameters(_FilterParameters):
    """The query of `GET rejected`; `olderThan` is a time or a duration (ISO 8601)."""

    top: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)] = 20


class ReplayRequest(_FilterParameters):
    """The body of `POST rejected/replay` for all messages that the filter selects."""

    max: Annotated[int, Field(ge=1, le=MAX_REPLAY_SIZE)] = 100
    dry_run: bool = False


class ReplayOneRequest(_QueueParameter):
    """The body for one message; `patch` is a JSON Merge Patch (RFC 7396) for its body."""

    sequence_number: _SequenceNumber
    patch: dict[str, Any] | None = None


async def list_messages(req: func.HttpRequest) -> func.HttpResponse:
    """Returns one page of rejected messages, with keys masked."""
    parameters = _parse_query(req, ListParameters)
    page = await messaging().rejected.page(
        parameters.queue, parameters.filter, top=parameters.top, start=parameters.start
    )
    return json_response(page, headers={"Cache-Control": "no-store"})


async def replay(req: func.HttpRequest) -> func.HttpResponse:
    """Sends messages back to the queues they came from."""
    body = await parse_body(req, ReplayRequest, ReplayOneRequest, check=_find_replay_faults)
    rejected = messaging().rejected
    if "sequenceNumber" in body:
        one = ReplayOneRequest.model_validate(body)
        return json_response(
            await rejected.replay_one(
                one.sequence_number, queue_path=one.queue, merge_patch=one.patch
            )
        )
    many = ReplayRequest.model_validate(body)
    return json_response(
        await rejected.replay(
            many.filter,
            queue_path=many.queue,
            max_messages=many.max,
            start=many.start,
            dry_run=many.dry_run,
        )
    )


async def discard(req: func.HttpRequest) -> func.HttpResponse:
    """Removes one message for good."""
    text = req.route_params["sequenceNumber"]
    faults = {} if _is_sequence_number(text) else {"sequenceNumber": _NO_SEQUENCE_NUMBER}
    parameters = _parse_query(req, _QueueParameter, faults=faults)
    return json_response(await messaging().rejected.discard(int(text), queue_path=parameters.queue))


def _find_replay_faults(document: Any, _: bool) -> Mapping[str, str]:
    is_one = isinstance(document, dict) and "sequenceNumber" in document
    return _find_faults(document, ReplayOneRequest if is_one else ReplayRequest)


def _find_faults(document: Any, model: type[Document]) -> dict[str, str]:
    faults = find_faults(document, model)
    queue = document.get("queue") if isinstance(document, dict) else None
    if isinstance(queue, str) and (fault := messaging().rejected.find_queue_fault(queue)):
        faults["/queue"] = fault
    return faults


ModelT = TypeVar("ModelT", bound=Document)


def _parse_query(
    req: func.HttpRequest, model: type[ModelT], *, faults: Mapping[str, str] | None = None
) -> ModelT:
    """Returns the parameters; raises `InvalidRequestError` for theirs and the other `faults`."""
    values = {name: req.params[name] for name in req.params if name.lower() not in _HOST_PARAMETERS}
    values = respelled(values, model)
    own = {name.removeprefix("/"): text for name, text in _find_faults(values, model).items()}
    if all_faults := {**(faults or {}), **own}:
        raise InvalidRequestError(all_faults)
    return model.model_validate(values)


_NO_SEQUENCE_NUMBER = "must be a whole number less than 2^63"


def _is_sequence_number(text: str) -> bool:
    # Python refuses to parse thousands of digits.
    return text.isdecimal() and len(text) <= _MAX_DIGITS and int(text) < 2**63
