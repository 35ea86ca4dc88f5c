"""
The AsyncAPI 3.0 document of the queues, generated from the models and the settings.

`python -m local.asyncapi` prints it. AsyncAPI's binding for AMQP 1.0 is empty and there is
none for Service Bus (github.com/asyncapi/bindings), so what is Service Bus's own stands under
`x-azure-servicebus`.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from local.asyncapi.schemas import (
    Json,
    binary_attributes,
    ref,
    rejection_properties,
    schemas,
)
from shared.messaging.cloud_events import STRUCTURED
from shared.messaging.results import CONTENT_TYPE
from shared.settings import MessagingSettings

EXAMPLES = Path(__file__).parents[2] / "examples" / "messages"
JSON = "application/json"


def document() -> Json:
    """The AsyncAPI document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Enrollment functions for Azure IoT Hub Device Provisioning Service: queues",
            "version": "1.0.0",
            "description": "Requests that the app takes from Service Bus queues, and what it sends. "
            "In words: docs/messages.md.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": JSON,
        "servers": {"serviceBus": _SERVER},
        "channels": {name: _channel(*row) for name, row in _CHANNELS.items()},
        "operations": _OPERATIONS,
        "components": {"messages": _messages(), "schemas": schemas()},
    }


_SERVER: Json = {
    "host": "{namespace}.servicebus.windows.net",
    "protocol": "amqps",
    "protocolVersion": "1.0",
    "description": "A Service Bus namespace; any of its SDKs, or any client of AMQP 1.0.",
    "variables": {"namespace": {"description": "The name of the Service Bus namespace."}},
    "bindings": {"amqp1": {}},
}

_REQUESTS = ("enrollmentRequest", "enrollmentRequestEvent", "enrollmentRequestBinaryEvent")
_BULK_REQUESTS = ("bulkRequest", "bulkRequestEvent", "bulkRequestBinaryEvent")
_CHANNELS: dict[str, tuple[str, Iterable[str]]] = {
    "enrollmentRequests": ("ENROLLMENT_REQUESTS_QUEUE", _REQUESTS),
    "bulkOperations": ("BULK_OPERATIONS_QUEUE", _BULK_REQUESTS),
    "enrollmentResults": ("ENROLLMENT_RESULTS_QUEUE", ("result",)),
    "enrollmentRejected": ("ENROLLMENT_REJECTED_QUEUE", ("rejectedMessage",)),
}


def _channel(setting: str, names: Iterable[str]) -> Json:
    """A queue; the setting that names it is the parameter of its address."""
    field = MessagingSettings.model_fields[MessagingSettings.fields()[setting]]
    parameter = {"description": field.description}
    return {
        "address": f"{{{setting}}}",
        "description": field.description,
        "parameters": {setting: parameter | ({"default": field.default} if field.default else {})},
        "messages": {message: ref("components", "messages", message) for message in names},
        "x-azure-servicebus": {"entity": "queue", "setting": setting},
    }


def _operation(action: str, channel: str, summary: str, *, is_answered: bool = False) -> Json:
    names = _CHANNELS[channel][1]
    found: Json = {
        "action": action,
        "summary": summary,
        "channel": ref("channels", channel),
        "messages": [ref("channels", channel, "messages", name) for name in names],
    }
    results = {
        "channel": ref("channels", "enrollmentResults"),
        "messages": [ref("channels", "enrollmentResults", "messages", "result")],
    }
    return found | ({"reply": results} if is_answered else {})


_OPERATIONS: Json = {
    "receiveEnrollmentRequest": _operation(
        "receive", "enrollmentRequests", "Does what is asked for one record.", is_answered=True
    ),
    "receiveBulkRequest": _operation(
        "receive", "bulkOperations", "Does what is asked for many records.", is_answered=True
    ),
    "sendResult": _operation(
        "send", "enrollmentResults", "Tells what became of a request, once for each record."
    ),
    "sendRejectedMessage": _operation(
        "send", "enrollmentRejected", "Keeps a request that can never succeed, with its reason."
    ),
}

_SYSTEM_PROPERTIES = {
    "messageId": "Names the request in its result; a queue with duplicate detection drops a second "
    "message of one id.",
    "correlationId": "Comes back with the result; without it the message id does.",
    "replyTo": "The queue for the result, if ENROLLMENT_REPLY_QUEUES names it.",
}


def _messages() -> Json:
    requests = {"x-azure-servicebus": _SYSTEM_PROPERTIES}
    found: Json = {}
    for name, schema, words in (
        ("enrollmentRequest", "EnrollmentRequest", "One operation on one enrollment or group"),
        ("bulkRequest", "BulkRequest", "One operation on many enrollments or groups"),
    ):
        found[name] = requests | _message(f"{words}.", JSON, schema)
        found[f"{name}Event"] = requests | _message(
            f"{words}: a CloudEvent in structured mode.", STRUCTURED, f"{schema}Event"
        )
        found[f"{name}BinaryEvent"] = requests | _message(
            f"{words}: a CloudEvent in binary mode.", JSON, schema, headers=binary_attributes()
        )
    found["result"] = {
        "x-azure-servicebus": {
            "messageId": "The event's id: the same for the same request that ends the same way.",
            "correlationId": "The correlation id of the request, or else its message id.",
            "subject": "The record's id, as in the event.",
        }
    } | _message("What became of one record.", CONTENT_TYPE, "Result")
    found["rejectedMessage"] = _message(
        "A message as it came, with the reason why it can never succeed.",
        None,
        None,
        headers=rejection_properties(),
    )
    for name, examples in _EXAMPLES.items():
        found[name]["examples"] = [_example(example) for example in examples]
    return found


_EXAMPLES: dict[str, tuple[str, ...]] = {
    "enrollmentRequest": ("create", "update-if-match", "upsert-group", "delete"),
    "enrollmentRequestEvent": ("upsert-event",),
    "bulkRequest": ("bulk-upsert", "bulk-delete-groups"),
    "bulkRequestEvent": ("bulk-create-event",),
    "result": ("result-succeeded", "result-rejected"),
}


def _example(name: str) -> Json:
    return {"name": name, "payload": json.loads((EXAMPLES / f"{name}.json").read_bytes())}


def _message(
    summary: str, content_type: str | None, schema: str | None, *, headers: Json | None = None
) -> Json:
    return {
        "summary": summary,
        **({"contentType": content_type} if content_type else {}),
        **({"headers": headers} if headers else {}),
        **({"payload": ref("components", "schemas", schema)} if schema else {}),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(), indent=2, ensure_ascii=False) + "\n")
