"""
`python -m local.asyncapi`: prints the AsyncAPI 3.0 document of the queues.

It is generated from the models and the settings. AsyncAPI has an empty binding for AMQP 1.0 and none
for Service Bus (github.com/asyncapi/bindings), so Service Bus's own properties are in
`x-azure-servicebus`.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from local.asyncapi.schemas import (
    binary_attributes,
    rejection_properties,
    schemas,
    trace_properties,
)
from local.json_schemas import VERSION, Json, ref
from shared.messaging.cloud_events import STRUCTURED
from shared.messaging.results import CONTENT_TYPE
from shared.settings import ServiceBusSettings

EXAMPLES = Path(__file__).parents[2] / "examples" / "messages"
JSON = "application/json"


def document() -> Json:
    """Returns the AsyncAPI document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Enrollment functions for Azure IoT Hub Device Provisioning Service: queues",
            "version": VERSION,
            "description": "Requests that the app receives from Service Bus queues, and the messages "
            "that it sends. See docs/messages.md.",
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
    "description": "A Service Bus namespace, for any Service Bus SDK or AMQP 1.0 client.",
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
    """Returns the channel of a queue; its address is the setting that names the queue."""
    field = ServiceBusSettings.model_fields[ServiceBusSettings.fields()[setting]]
    parameter = {"description": field.description}
    return {
        "address": f"{{{setting}}}",
        "description": field.description,
        "parameters": {setting: parameter | ({"default": field.default} if field.default else {})},
        "messages": {message: ref("components", "messages", message) for message in names},
        "x-azure-servicebus": {"entity": "queue", "setting": setting},
    }


def _operation(action: str, channel: str, summary: str, *, has_reply: bool = False) -> Json:
    names = _CHANNELS[channel][1]
    operation: Json = {
        "action": action,
        "summary": summary,
        "channel": ref("channels", channel),
        "messages": [ref("channels", channel, "messages", name) for name in names],
    }
    results = {
        "channel": ref("channels", "enrollmentResults"),
        "messages": [ref("channels", "enrollmentResults", "messages", "result")],
    }
    return operation | ({"reply": results} if has_reply else {})


_OPERATIONS: Json = {
    "receiveEnrollmentRequest": _operation(
        "receive", "enrollmentRequests", "Applies an operation to one record.", has_reply=True
    ),
    "receiveBulkRequest": _operation(
        "receive", "bulkOperations", "Applies an operation to many records.", has_reply=True
    ),
    "sendResult": _operation(
        "send", "enrollmentResults", "Sends the result of a request, once for each record."
    ),
    "sendRejectedMessage": _operation(
        "send", "enrollmentRejected", "Keeps a rejected request with the reason."
    ),
}

_SYSTEM_PROPERTIES = {
    "messageId": "Identifies the request in its result. A queue with duplicate detection drops a "
    "second message with the same id.",
    "correlationId": "Copied to the result; the default is the message id.",
    "replyTo": "The queue for the result; ENROLLMENT_REPLY_QUEUES must name it.",
}


def _messages() -> Json:
    requests = {"x-azure-servicebus": _SYSTEM_PROPERTIES}
    messages: Json = {}
    for name, schema, summary in (
        ("enrollmentRequest", "EnrollmentRequest", "One operation on one enrollment or group"),
        ("bulkRequest", "BulkRequest", "One operation on many enrollments or groups"),
    ):
        messages[name] = requests | _message(f"{summary}.", JSON, schema)
        messages[f"{name}Event"] = requests | _message(
            f"{summary}: a CloudEvent in structured mode.", STRUCTURED, f"{schema}Event"
        )
        messages[f"{name}BinaryEvent"] = requests | _message(
            f"{summary}: a CloudEvent in binary mode.", JSON, schema, headers=binary_attributes()
        )
    messages["result"] = {
        "x-azure-servicebus": {
            "messageId": "The event's id; a repeated result of the same request has the same id.",
            "correlationId": "The correlation id of the request, or its message id if it has none.",
            "subject": "The id of the record, as in the event.",
        }
    } | _message("The result for one record.", CONTENT_TYPE, "Result", headers=trace_properties())
    messages["rejectedMessage"] = _message(
        "A rejected message, unchanged, with the reason.",
        None,
        None,
        headers=rejection_properties(),
    )
    for name, examples in _EXAMPLES.items():
        messages[name]["examples"] = [_example(example) for example in examples]
    return messages


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
