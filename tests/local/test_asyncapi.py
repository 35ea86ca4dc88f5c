"""docs/asyncapi.json: the AsyncAPI document of the queues."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.messaging.cloud_events import STRUCTURED
from shared.messaging.requests import read_bulk_request, read_request
from shared.messaging.results import CONTENT_TYPE, Result
from shared.settings import ServiceBusSettings
from tests.shared.messaging.samples import EXAMPLES, message

ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads((ROOT / "docs" / "asyncapi.json").read_text())
MESSAGES = DOCUMENT["components"]["messages"]
SCHEMAS = DOCUMENT["components"]["schemas"]
QUEUES = [name for name in ServiceBusSettings.fields() if name.endswith("_QUEUE")]
READERS: dict[str, Callable[[Any], object]] = {
    "EnrollmentRequest": read_request,
    "EnrollmentRequestEvent": read_request,
    "BulkRequest": lambda message: asyncio.run(read_bulk_request(message)),
    "BulkRequestEvent": lambda message: asyncio.run(read_bulk_request(message)),
    "Result": lambda message: Result.model_validate_json(message.body),
}


def objects(node: Any) -> Iterator[dict[str, Any]]:
    """Yields every object in a document."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list):
            yield from objects(child)


def resolve(reference: str) -> Any:
    """Returns the node that a reference points to."""
    node = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_document_is_up_to_date() -> None:
    """docs/asyncapi.json is what `python -m local.asyncapi` prints."""
    command = [sys.executable, "-m", "local.asyncapi"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)  # noqa: S603 - our own module

    assert run.stdout == (ROOT / "docs" / "asyncapi.json").read_bytes()


def test_every_reference_resolves() -> None:
    """Every reference points to a node of the document."""
    references = {node["$ref"] for node in objects(DOCUMENT) if isinstance(node.get("$ref"), str)}

    assert len(references) > 20
    assert all(resolve(reference) for reference in references)


def test_every_schema_is_used() -> None:
    """Every schema is referenced."""
    used = {node["$ref"].rpartition("/")[2] for node in objects(DOCUMENT) if "$ref" in node}

    assert SCHEMAS.keys() - used == set()


@pytest.mark.parametrize("setting", QUEUES)
def test_every_queue_is_a_channel(setting: str) -> None:
    """Each queue setting is the address of a channel, with the setting's default."""
    field = ServiceBusSettings.model_fields[ServiceBusSettings.fields()[setting]]
    (channel,) = (
        channel for channel in DOCUMENT["channels"].values() if setting in channel["parameters"]
    )

    assert channel["address"] == f"{{{setting}}}"
    assert channel["parameters"][setting].get("default") == field.default


def test_operations_use_messages_of_their_channel() -> None:
    """AsyncAPI 3.0, Operation Object: its messages are a subset of its channel's."""
    for operation in DOCUMENT["operations"].values():
        for part in (operation, operation.get("reply", operation)):
            prefix = f"{part['channel']['$ref']}/messages/"
            assert all(item["$ref"].startswith(prefix) for item in part["messages"])


@pytest.mark.parametrize(
    "name", [name for name, message_object in MESSAGES.items() if "examples" in message_object]
)
def test_every_example_is_valid(name: str) -> None:
    """The app can parse each example, with the content type in the document."""
    message_object = MESSAGES[name]
    parse = READERS[message_object["payload"]["$ref"].rpartition("/")[2]]

    for example in message_object["examples"]:
        content_type = message_object["contentType"]
        assert parse(message(example["payload"], content_type=content_type))


def test_every_example_file_is_included() -> None:
    """The document has every file of examples/messages."""
    included = {
        example["name"]
        for message_object in MESSAGES.values()
        for example in message_object.get("examples", ())
    }

    assert included == {path.stem for path in EXAMPLES.glob("*.json")}


def test_envelopes_are_closed_and_records_open() -> None:
    """Unknown members are rejected in an envelope, but allowed in a record, as DPS may add some."""
    envelopes = [schema["$ref"] for schema in SCHEMAS["EnrollmentRequest"]["oneOf"]]
    envelopes += [schema["$ref"] for schema in SCHEMAS["BulkRequest"]["oneOf"]]

    assert {resolve(envelope)["additionalProperties"] for envelope in envelopes} == {False}
    assert SCHEMAS["IndividualEnrollment"]["additionalProperties"] is True


def test_content_types_are_those_of_the_app() -> None:
    """Structured events and results have the content type of CloudEvents."""
    types = {name: message_object.get("contentType") for name, message_object in MESSAGES.items()}

    assert types["bulkRequestEvent"] == types["enrollmentRequestEvent"] == STRUCTURED
    assert types["result"] == CONTENT_TYPE
