"""The JSON Schemas of the AsyncAPI document: of bodies, from the models, and of properties."""

from typing import Any

from pydantic.json_schema import models_json_schema

from shared.dps.models import Document
from shared.dps.models.enrollments import EnrollmentGroupKey, EnrollmentKey
from shared.messaging import messages
from shared.messaging.cloud_events import PREFIXES, REQUIRED_ATTRIBUTES
from shared.messaging.envelopes import BULK_ENVELOPES, ENVELOPES, KIND_OF_RECORDS
from shared.messaging.results import Result

Json = dict[str, Any]

_TEXT: Json = {"type": "string", "minLength": 1}
_KEYS: dict[str, type[Document]] = {
    "enrollments": EnrollmentKey,
    "enrollmentGroups": EnrollmentGroupKey,
}


def ref(*steps: str) -> Json:
    """A reference to another place in the document."""
    return {"$ref": "#/" + "/".join(steps)}


def schemas() -> Json:
    """What bodies may hold: the members of `components/schemas`."""
    single = dict.fromkeys(model for models in ENVELOPES.values() for model in models.values())
    bulk = BULK_ENVELOPES.values()
    records = [kind.record for kind in KIND_OF_RECORDS.values()]
    found = _of_models([*single, *bulk, *records, *_KEYS.values(), Result])
    for member, kind in KIND_OF_RECORDS.items():
        # The app checks each record by itself; an editor had better know what one is.
        listed = found[BULK_ENVELOPES[member].__name__]["properties"][member]
        listed["items"] = {"anyOf": [_schema(kind.record), _schema(_KEYS[member])]}
    requests: dict[str, Json] = {
        "EnrollmentRequest": {"oneOf": [_schema(model) for model in single]},
        "BulkRequest": {"oneOf": [_schema(model) for model in bulk]},
    }
    events = {f"{name}Event": _event(name) for name in requests}
    return dict(sorted({**found, **requests, **events}.items()))


def _schema(model: type[Document]) -> Json:
    return ref("components", "schemas", model.__name__)


def _of_models(models: list[type[Document]]) -> Json:
    _, found = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    tidied: Json = _tidied(found["$defs"])
    return tidied


def _tidied(node: Any) -> Any:
    """Leaves out titles that repeat a name, and defaults that only say "left out"."""
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    noise = {"title"} if isinstance(node.get("title"), str) else set()
    noise |= {"default"} if "default" in node and node["default"] is None else set()
    return {name: _tidied(child) for name, child in node.items() if name not in noise}


def _event(name: str) -> Json:
    return {
        "description": "A CloudEvent 1.0 around the request; other attributes may stand beside.",
        "type": "object",
        "required": list(REQUIRED_ATTRIBUTES),
        "properties": {
            **dict.fromkeys(REQUIRED_ATTRIBUTES, _TEXT),
            "specversion": {"const": "1.0"},
            "data": ref("components", "schemas", name),
            "data_base64": {"type": "string", "description": "The request in base64, for `data`."},
        },
        "oneOf": [{"required": ["data"]}, {"required": ["data_base64"]}],
    }


def binary_attributes() -> Json:
    """The application properties of a CloudEvent in binary mode."""
    words = ", ".join(f"`{prefix}`" for prefix in PREFIXES)
    prefix = PREFIXES[0]
    return {
        "description": f"Attributes of the event; each begins with one of {words}.",
        "type": "object",
        "required": [prefix + name for name in REQUIRED_ATTRIBUTES],
        "properties": {prefix + name: _TEXT for name in REQUIRED_ATTRIBUTES},
    }


def rejection_properties() -> Json:
    """The application properties that a rejected message has beside its own."""
    text, number = {"type": "string"}, {"type": "integer"}
    return {
        "type": "object",
        "properties": {
            messages.REASON: text | {"description": "Why it was rejected, as one word."},
            messages.DESCRIPTION: text | {"description": "Why, in words; long ones are shortened."},
            messages.ERROR_CODE: number | {"description": "The code, as in docs/errors.md."},
            messages.TRACKING_ID: text | {"description": "DPS's own, where DPS answered."},
            messages.ATTEMPT: number | {"description": "How many attempts were made."},
            messages.SOURCE_QUEUE: text | {"description": "The queue it was sent to."},
            messages.SOURCE_MESSAGE_ID: text | {"description": "The message id its sender gave."},
            messages.ENQUEUED_TIME_UTC: text | {"description": "When it came into that queue."},
        },
    }
