"""Components of the OpenAPI document: schemas, parameters, headers, error responses, security."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel

from functions.http.rejected_handlers import ReplayOneRequest, ReplayRequest
from local.json_schemas import Json, model_schemas, ref
from local.stack import ROOT
from shared.dps.models import (
    ENROLLMENT_GROUP,
    INDIVIDUAL_ENROLLMENT,
    AttestationMechanism,
    BulkOperationResult,
    DeviceRegistrationState,
    QuerySpecification,
)
from shared.dps.models.enrollments import ID_PATTERN
from shared.dps.models.operations import IF_MATCH
from shared.error_catalog import ERROR_CATALOG, INTERNAL_ERROR, ErrorEntry
from shared.settings import KNOWN_API_VERSIONS

PROBLEM = "application/problem+json"
_KINDS = (INDIVIDUAL_ENROLLMENT, ENROLLMENT_GROUP)
_TEXT: Json = {"type": "string"}


def components() -> Json:
    """Returns `components`."""
    return {
        "schemas": _schemas(),
        "parameters": PARAMETERS,
        "headers": HEADERS,
        "responses": dict(_error_responses()),
        "examples": EXAMPLES,
        "securitySchemes": _SECURITY_SCHEMES,
    }


def _parameter(name: str, location: str, description: str, schema: Json) -> Json:
    return {
        "name": name,
        "in": location,
        "description": description,
        "schema": schema,
        **({"required": True} if location == "path" else {}),
    }


PARAMETERS: dict[str, Json] = {
    "id": _parameter(
        "id", "path", "The id of the record.", _TEXT | {"pattern": f"^{ID_PATTERN.pattern}$"}
    ),
    "name": _parameter("name", "path", "The name of a file of the pages.", _TEXT),
    "policy": _parameter("policy", "path", "The name of an allocation policy.", _TEXT),
    "sequenceNumber": _parameter(
        "sequenceNumber",
        "path",
        "The sequence number of a rejected message.",
        {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    ),
    "apiVersion": _parameter(
        "api-version",
        "query",
        "The version of the DPS API, by default that in `DPS_DEFAULT_API_VERSION`. "
        "`DPS_API_VERSIONS` adds further ones.",
        _TEXT | {"examples": list(KNOWN_API_VERSIONS)},
    ),
    "validateOnly": _parameter(
        "validateOnly",
        "query",
        "With `true` the request is validated, and nothing is sent to DPS.",
        {"type": "boolean", "default": False},
    ),
    "ifMatch": _parameter(
        "If-Match",
        "header",
        "The etag that the record must have, with or without quotes, or `*` for any.",
        _TEXT | {"pattern": f"^({IF_MATCH.pattern})$"},
    ),
    "maxItemCount": _parameter(
        "x-ms-max-item-count",
        "header",
        "The size of a page.",
        {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    ),
    "continuation": _parameter(
        "x-ms-continuation",
        "header",
        "The token of the page, from the response with the previous one.",
        _TEXT | {"pattern": r"^[\x21-\x7e]*$"},
    ),
    "clientRequestId": _parameter(
        "x-ms-client-request-id", "header", "Returned in the response, and sent to DPS.", _TEXT
    ),
}


def _header(description: str, schema: Json = _TEXT) -> Json:
    return {"description": description, "schema": schema}


HEADERS: dict[str, Json] = {
    "x-ms-request-id": _header("Identifies the request in the log."),
    "ETag": _header("The etag of the record, in quotes."),
    "Warning": _header("What the caller should know about the response (RFC 7234, 5.5)."),
    "x-ms-continuation": _header("The token of the next page; absent on the last one."),
    "x-ms-item-type": _header("The type of the records, as DPS returns it."),
    "x-ms-error-code": _header("The same as `errorCode`."),
    "Retry-After": _header("Seconds to wait before a retry.", {"type": "integer", "minimum": 0}),
}


# Of a bulk request two records are enough here.
_MAX_RECORDS = 2


def _example(path: Path) -> Json:
    value = json.loads(path.read_bytes())
    for kind in _KINDS:
        if isinstance(value.get(kind.path), list):
            value[kind.path] = value[kind.path][:_MAX_RECORDS]
    return {"value": value}


EXAMPLES: dict[str, Json] = {
    path.stem: _example(path)
    for folder in ("enrollments", "enrollment-groups", "bulk", "allocation-requests")
    for path in sorted(Path(ROOT, "examples", folder).glob("*.json"))
}
"""The example files by name."""


def _schemas() -> Json:
    models: list[type[BaseModel]] = [
        *(model for kind in _KINDS for model in (kind.record, kind.key, kind.bulk)),
        AttestationMechanism,
        BulkOperationResult,
        DeviceRegistrationState,
        QuerySpecification,
        ReplayRequest,
        ReplayOneRequest,
    ]
    schemas = model_schemas(models)
    for kind in _KINDS:
        # The models accept any item, because the app validates each record on its own.
        items = {"anyOf": [schema_ref(model.__name__) for model in (kind.record, kind.key)]}
        schemas[kind.bulk.__name__]["properties"][kind.path]["items"] = items
    return dict(sorted({**schemas, **_ERROR_SCHEMAS}.items()))


def schema_ref(name: str) -> Json:
    """Returns a reference to a schema."""
    return ref("components", "schemas", name)


_ERROR_MEMBERS: dict[str, Json] = {
    "errorCode": {"type": "integer", "description": "Six digits; the first three are the status."},
    "trackingId": _TEXT | {"description": "DPS's id of the call, or the request id of the app."},
    "timestampUtc": _TEXT | {"format": "date-time"},
}
_FAULTS: Json = {
    "type": "object",
    "description": "Every fault: a JSON Pointer into the body, or the name of a header, parameter "
    "or setting, and what is wrong there.",
    "additionalProperties": True,
}
_ERROR_SCHEMAS: dict[str, Json] = {
    "Error": {
        "type": "object",
        "description": "An error, in the format of DPS's own errors.",
        "required": [*_ERROR_MEMBERS, "message"],
        "properties": {**_ERROR_MEMBERS, "message": _TEXT, "info": _FAULTS},
    },
    "Problem": {
        "type": "object",
        "description": "The same error in the format of RFC 9457.",
        "required": [*_ERROR_MEMBERS, "title", "status", "detail"],
        "properties": {
            **_ERROR_MEMBERS,
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "info": _FAULTS,
        },
    },
}


def _error_responses() -> Iterator[tuple[str, Json]]:
    """Yields a response for each status of the error catalogue, by its status."""
    entries = sorted((*ERROR_CATALOG.values(), INTERNAL_ERROR), key=lambda entry: entry.code)
    for status, rows in groupby(entries, key=lambda entry: entry.status):
        content = {"application/json": "Error", PROBLEM: "Problem"}
        yield (
            str(status.value),
            {
                "description": "\n".join(map(_describe, rows)),
                "headers": {
                    name: ref("components", "headers", name)
                    for name in ("x-ms-request-id", "x-ms-error-code", "Retry-After")
                },
                "content": {
                    media_type: {"schema": schema_ref(name)} for media_type, name in content.items()
                },
            },
        )


def _describe(entry: ErrorEntry) -> str:
    return f"- {entry.code}: {entry.meaning} {entry.remedy}"


_SECURITY_SCHEMES: dict[str, Json] = {
    "functionKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-functions-key",
        "description": "A key of the function or of the function app.",
    },
    "functionKeyInQuery": {
        "type": "apiKey",
        "in": "query",
        "name": "code",
        "description": "The same key in the URL, for callers that cannot send a header.",
    },
    "sharedAccessSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "SAS mode: `SharedAccessSignature sr=…&sig=…&se=…&skn=…`, signed with a key "
        "of one of the app's shared access policies.",
    },
}
