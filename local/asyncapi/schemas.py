"""JSON Schemas of the AsyncAPI document: message bodies, from the models, and properties."""

from local.json_schemas import Json, model_schemas, ref
from shared.dps.models import Document
from shared.dps.models.enrollments import EnrollmentGroupKey, EnrollmentKey
from shared.messaging.cloud_events import PREFIXES, REQUIRED_ATTRIBUTES
from shared.messaging.copies import TRACE_PROPERTIES
from shared.messaging.messages import Property
from shared.messaging.request_models import (
    BULK_REQUEST_MODELS,
    KIND_BY_RECORDS_MEMBER,
    REQUEST_MODELS,
)
from shared.messaging.results import Result

_TEXT: Json = {"type": "string", "minLength": 1}
_KEYS: dict[str, type[Document]] = {
    "enrollments": EnrollmentKey,
    "enrollmentGroups": EnrollmentGroupKey,
}


def schemas() -> Json:
    """Returns the schemas of all bodies, for `components/schemas`."""
    single = dict.fromkeys(model for models in REQUEST_MODELS.values() for model in models.values())
    bulk = BULK_REQUEST_MODELS.values()
    records = [kind.record for kind in KIND_BY_RECORDS_MEMBER.values()]
    definitions = model_schemas([*single, *bulk, *records, *_KEYS.values(), Result])
    for member, kind in KIND_BY_RECORDS_MEMBER.items():
        # The models accept any item, because the app validates each record separately. Tools need its
        # schema.
        array = definitions[BULK_REQUEST_MODELS[member].__name__]["properties"][member]
        array["items"] = {"anyOf": [_schema(kind.record), _schema(_KEYS[member])]}
    requests: dict[str, Json] = {
        "EnrollmentRequest": {"oneOf": [_schema(model) for model in single]},
        "BulkRequest": {"oneOf": [_schema(model) for model in bulk]},
    }
    events = {f"{name}Event": _event(name) for name in requests}
    return dict(sorted({**definitions, **requests, **events}.items()))


def _schema(model: type[Document]) -> Json:
    return ref("components", "schemas", model.__name__)


def _event(name: str) -> Json:
    return {
        "description": "A CloudEvent 1.0 with the request as its data; further attributes are allowed.",
        "type": "object",
        "required": list(REQUIRED_ATTRIBUTES),
        "properties": {
            **dict.fromkeys(REQUIRED_ATTRIBUTES, _TEXT),
            "specversion": {"const": "1.0"},
            "data": ref("components", "schemas", name),
            "data_base64": {
                "type": "string",
                "description": "The request in base64, instead of `data`.",
            },
        },
        "oneOf": [{"required": ["data"]}, {"required": ["data_base64"]}],
    }


def binary_attributes() -> Json:
    """Returns the schema of the application properties of a CloudEvent in binary mode."""
    prefixes = ", ".join(f"`{prefix}`" for prefix in PREFIXES)
    prefix = PREFIXES[0]
    return {
        "description": f"Attributes of the event, each with one of the prefixes {prefixes}.",
        "type": "object",
        "required": [prefix + name for name in REQUIRED_ATTRIBUTES],
        "properties": {prefix + name: _TEXT for name in REQUIRED_ATTRIBUTES},
    }


def trace_properties() -> Json:
    """Returns the schema of the application properties that a result has from its request."""
    text = {"type": "string", "description": "As in the request, if it has it."}
    return {"type": "object", "properties": dict.fromkeys(TRACE_PROPERTIES, text)}


def rejection_properties() -> Json:
    """Returns the schema of the application properties that a rejected message has in addition."""
    text, number = {"type": "string"}, {"type": "integer"}
    return {
        "type": "object",
        "properties": {
            Property.COPY_ID: text | {"description": "The message id of this message."},
            Property.POSITIONS: text
            | {"description": "The positions of the records in the sender's bulk message."},
            Property.POSTPONED_RESULTS: number
            | {"description": "The number of results in the body, which is then no request."},
            Property.REASON: text | {"description": "The reason of the rejection, as a code."},
            Property.DESCRIPTION: text
            | {"description": "The reason as text; a long one is shortened."},
            Property.ERROR_CODE: number | {"description": "The error code, as in docs/errors.md."},
            Property.TRACKING_ID: text
            | {"description": "The tracking id of DPS, if DPS responded."},
            Property.ATTEMPT: number | {"description": "The number of attempts."},
            Property.SOURCE_QUEUE: text
            | {"description": "The queue that the message was sent to."},
            Property.SOURCE_MESSAGE_ID: text
            | {"description": "The message id that its sender set."},
            Property.ENQUEUED_TIME_UTC: text
            | {"description": "When the message was enqueued there."},
        },
    }
