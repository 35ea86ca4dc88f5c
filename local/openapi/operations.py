"""The operation of each HTTP function: what it takes and returns, and with which errors."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from functions.http import handlers, rejected_handlers
from functions.http.requests import JSON, MERGE_PATCH
from local.host.app import AppFunction
from local.json_schemas import Json, model_schemas, ref
from local.openapi.components import schema_ref
from local.stack import ROOT
from shared import errors
from shared.dps.models import ENROLLMENT_GROUP, INDIVIDUAL_ENROLLMENT, RecordKind
from shared.error_catalog import ERROR_CATALOG, INTERNAL_ERROR

TAGS = {
    "Individual enrollments": "Enrollments of single devices.",
    "Enrollment groups": "Enrollments of devices that share a certificate authority or a key.",
    "Registration states": "States of devices that have registered.",
    "Allocation": "The custom-allocation webhook that DPS calls, and explanations of its answers.",
    "Rejected messages": "Queue messages that could not be applied.",
    "Health": "Liveness and readiness.",
    "Documentation": "This document, and pages for people.",
}

_REQUEST_ERRORS = (errors.InvalidRequestError, errors.NotConfiguredError)
_DPS_ERRORS = (*_REQUEST_ERRORS, errors.DpsError)
_ALLOCATION_ERRORS = (errors.InvalidRequestError, errors.AllocationError, errors.PolicyFileError)
_QUEUE_ERRORS = (*_REQUEST_ERRORS, errors.QueueError, errors.MessageNotFoundError)
_OBJECT: Json = {"type": "object"}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation; `result` is the schema of the response, `None` if it has no body."""

    tag: str
    errors: tuple[type[Exception], ...]
    parameters: tuple[Json, ...] = ()
    body: Json | None = None
    media_types: tuple[str, ...] = (JSON,)
    examples: Mapping[str, Json] = field(default_factory=dict)
    result: Json | None = None
    result_types: tuple[str, ...] = (JSON,)
    headers: tuple[str, ...] = ()
    handler: Callable[..., Any] | None = None
    """The function whose docstring is the summary; `None` if the trigger has its own."""
    takes_signature: bool = False
    """Whether it is an operation of DPS, which takes a signature in SAS mode."""
    statuses: tuple[HTTPStatus, ...] = ()
    """Further statuses with the same result as 200."""

    def document(self, function: AppFunction) -> Json:
        """Returns the OpenAPI operation of the function."""
        text = inspect.getdoc(self.handler or function.call) or ""
        summary, _, details = text.partition("\n")
        return {
            "operationId": function.name,
            "tags": [self.tag],
            "summary": summary,
            **({"description": details.strip()} if details.strip() else {}),
            **({"parameters": list(self.parameters)} if self.parameters else {}),
            **({"requestBody": self._request_body()} if self.body else {}),
            "responses": dict(self._responses()),
        }

    def _request_body(self) -> Json:
        examples = {"examples": self.examples} if self.examples else {}
        content = {"schema": self.body, **examples}
        return {"required": True, "content": dict.fromkeys(self.media_types, content)}

    def _responses(self) -> Iterator[tuple[str, Json]]:
        names = ("x-ms-request-id", *self.headers)
        headers = {name: ref("components", "headers", name) for name in names}
        success = HTTPStatus.OK if self.result else HTTPStatus.NO_CONTENT
        content = {"content": {name: {"schema": self.result} for name in self.result_types}}
        for status in (success, *self.statuses):
            text = {"description": status.phrase, "headers": headers}
            yield str(status.value), {**text, **(content if self.result else {})}
        for status in sorted(set(_statuses(self.errors)) - {*self.statuses}):
            yield str(status.value), ref("components", "responses", str(status.value))


def _statuses(kinds: tuple[type[Exception], ...]) -> Iterator[HTTPStatus]:
    yield INTERNAL_ERROR.status
    for error, entry in ERROR_CATALOG.items():
        if issubclass(error, kinds):
            yield entry.status


def _parameters(*names: str) -> tuple[Json, ...]:
    return tuple(ref("components", "parameters", name) for name in names)


_VERSION = ("apiVersion", "clientRequestId")


def _examples(folder: str) -> dict[str, Json]:
    names = sorted(path.stem for path in Path(ROOT, "examples", folder).glob("*.json"))
    return {name: ref("components", "examples", name) for name in names}


def _list_of(name: str) -> Json:
    return {"type": "array", "items": schema_ref(name)}


def _enrollment_operations(kind: RecordKind, tag: str, folder: str) -> Json:
    """Returns the operations of one kind of records, by verb."""
    verbs = _record_verbs(kind, folder) | _collection_verbs(kind)
    return {
        verb: Operation(
            tag=tag,
            handler=getattr(handlers, verb),
            errors=_DPS_ERRORS,
            takes_signature=verb != "patch",
            **members,
        )
        for verb, members in verbs.items()
    }


def _record_verbs(kind: RecordKind, folder: str) -> dict[str, Json]:
    """Returns what differs between the operations on one record, by verb."""
    record = schema_ref(kind.record.__name__)
    by_id = _parameters("id", *_VERSION)
    conditional = (*by_id, *_parameters("ifMatch"))
    written: Json = {"result": record, "headers": ("ETag", "Warning")}
    return {
        "get": {"parameters": by_id, "result": record, "headers": ("ETag",)},
        "create_or_update": {
            "parameters": conditional,
            "body": record,
            "examples": _examples(folder),
            **written,
        },
        "patch": {
            "parameters": conditional,
            "body": _OBJECT,
            "media_types": (MERGE_PATCH, JSON),
            "examples": {"disable": {"value": {"provisioningStatus": "disabled"}}},
            **written,
        },
        "delete": {"parameters": conditional},
        "get_attestation_mechanism": {
            "parameters": by_id,
            "result": schema_ref("AttestationMechanism"),
        },
    }


def _collection_verbs(kind: RecordKind) -> dict[str, Json]:
    """Returns what differs between the operations on many records, by verb."""
    return {
        "query": {
            "parameters": _parameters("maxItemCount", "continuation", *_VERSION),
            "body": schema_ref("QuerySpecification"),
            "examples": {"all": {"value": {"query": "SELECT *"}}},
            "result": _list_of(kind.record.__name__),
            "headers": ("x-ms-continuation", "x-ms-item-type", "Warning"),
        },
        "run_bulk_operation": {
            "parameters": _parameters("validateOnly", *_VERSION),
            "body": schema_ref(kind.bulk.__name__),
            "examples": _examples("bulk") if kind is INDIVIDUAL_ENROLLMENT else {},
            "result": schema_ref("BulkOperationResult"),
            "headers": ("Warning",),
        },
    }


def _registration_operations() -> Json:
    state = "DeviceRegistrationState"
    by_id = _parameters("id", *_VERSION)
    shared: Json = {
        "tag": "Registration states",
        "errors": _DPS_ERRORS,
        "takes_signature": True,
    }
    return {
        "get": Operation(
            **shared,
            handler=handlers.get,
            parameters=by_id,
            result=schema_ref(state),
            headers=("ETag",),
        ),
        "delete": Operation(
            **shared,
            handler=handlers.delete,
            parameters=(*by_id, *_parameters("ifMatch")),
        ),
        "query": Operation(
            **shared,
            handler=handlers.query_group,
            parameters=(*by_id, *_parameters("maxItemCount", "continuation")),
            result=_list_of(state),
            headers=("x-ms-continuation", "x-ms-item-type"),
        ),
    }


def _allocation(*parameters: str) -> Operation:
    return Operation(
        tag="Allocation",
        errors=_ALLOCATION_ERRORS,
        parameters=_parameters(*parameters),
        body=_OBJECT,
        examples=_examples("allocation-requests"),
        result=_OBJECT,
    )


def _rejected(handler: Callable[..., Any], **members: Any) -> Operation:
    return Operation(
        tag="Rejected messages", handler=handler, errors=_QUEUE_ERRORS, result=_OBJECT, **members
    )


def _page(*media_types: str, name: str | None = None) -> Operation:
    return Operation(
        tag="Documentation",
        errors=(errors.RouteNotFoundError,),
        parameters=_parameters(name) if name else (),
        result={"type": "string"},
        result_types=media_types,
    )


def _query_parameters(model: type[rejected_handlers.ListParameters]) -> tuple[Json, ...]:
    properties = model_schemas([model])[model.__name__]["properties"]
    return tuple({"name": name, "in": "query", "schema": s} for name, s in properties.items())


def _by_function() -> Iterator[tuple[str, Operation]]:
    for prefix, operations in (
        (
            "enrollments",
            _enrollment_operations(INDIVIDUAL_ENROLLMENT, "Individual enrollments", "enrollments"),
        ),
        (
            "enrollment_groups",
            _enrollment_operations(ENROLLMENT_GROUP, "Enrollment groups", "enrollment-groups"),
        ),
        ("registration_states", _registration_operations()),
    ):
        for verb, operation in operations.items():
            yield f"{prefix}_{verb}", operation


_LIST_PARAMETERS = _query_parameters(rejected_handlers.ListParameters)
_QUEUE = tuple(parameter for parameter in _LIST_PARAMETERS if parameter["name"] == "queue")
_REPLAYS: Json = {"oneOf": [schema_ref("ReplayRequest"), schema_ref("ReplayOneRequest")]}
_HEALTH: Json = {"type": "object", "required": ["status"]}

OPERATIONS: dict[str, Operation] = {
    **dict(_by_function()),
    "allocation_decide": _allocation(),
    "allocation_decide_by_policy": _allocation("policy"),
    "allocation_explain": _allocation("policy"),
    "rejected_page": _rejected(rejected_handlers.list_messages, parameters=_LIST_PARAMETERS),
    "rejected_replay": _rejected(rejected_handlers.replay, body=_REPLAYS),
    "rejected_discard": _rejected(
        rejected_handlers.discard, parameters=(*_parameters("sequenceNumber"), *_QUEUE)
    ),
    "openapi": Operation(tag="Documentation", errors=(), result=_OBJECT),
    "start_page": _page("text/html"),
    "docs_page": _page("text/html"),
    "docs_file": _page("text/css", "text/javascript", name="name"),
    "health_live": Operation(tag="Health", errors=(), result=_HEALTH),
    "health_ready": Operation(
        tag="Health",
        errors=(),
        result=_HEALTH,
        statuses=(HTTPStatus.SERVICE_UNAVAILABLE,),
    ),
}
