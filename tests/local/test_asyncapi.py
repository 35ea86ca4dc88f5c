"""docs/asyncapi.json: what the app takes from queues and puts into them, for tools."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.asyncapi.__main__ import document
from shared.messaging.cloud_events import STRUCTURED
from shared.messaging.requests import read_bulk_request, read_request
from shared.messaging.results import CONTENT_TYPE, Result
from shared.settings import MessagingSettings
from tests.shared.messaging.incoming import EXAMPLES, message

ROOT = Path(__file__).parents[2]
SHIPPED = json.loads((ROOT / "docs" / "asyncapi.json").read_text())
MESSAGES = SHIPPED["components"]["messages"]
SCHEMAS = SHIPPED["components"]["schemas"]
QUEUES = [name for name in MessagingSettings.fields() if name.endswith("_QUEUE")]
READERS = {
    "EnrollmentRequest": read_request,
    "EnrollmentRequestEvent": read_request,
    "BulkRequest": read_bulk_request,
    "BulkRequestEvent": read_bulk_request,
    "Result": lambda found: Result.model_validate_json(found.body),
}


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a document."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list):
            yield from nodes(child)


def target(reference: str) -> Any:
    """What a reference leads to."""
    node = SHIPPED
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_document_that_is_shipped_is_the_one_of_the_code():
    """docs/asyncapi.json is what the generator makes."""
    assert document() == SHIPPED


def test_command_prints_the_document():
    """`python -m local.asyncapi > docs/asyncapi.json` brings it up to date."""
    command = [sys.executable, "-m", "local.asyncapi"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)  # noqa: S603  our own

    assert run.stdout == (ROOT / "docs" / "asyncapi.json").read_bytes()


def test_every_reference_leads_somewhere():
    """None is left over from something that was renamed."""
    references = {node["$ref"] for node in nodes(SHIPPED) if isinstance(node.get("$ref"), str)}

    assert len(references) > 20
    assert all(target(reference) for reference in references)


def test_every_schema_is_used():
    """None is left over either."""
    used = {node["$ref"].rpartition("/")[2] for node in nodes(SHIPPED) if "$ref" in node}

    assert SCHEMAS.keys() - used == set()


@pytest.mark.parametrize("setting", QUEUES)
def test_every_queue_is_a_channel(setting):
    """Its address is what the setting says, and has the setting's default."""
    field = MessagingSettings.model_fields[MessagingSettings.fields()[setting]]
    (channel,) = (
        channel for channel in SHIPPED["channels"].values() if setting in channel["parameters"]
    )

    assert channel["address"] == f"{{{setting}}}"
    assert channel["parameters"][setting].get("default") == field.default


def test_operations_use_messages_of_their_channel():
    """AsyncAPI 3.0, Operation Object: its messages are a subset of its channel's."""
    for operation in SHIPPED["operations"].values():
        for part in (operation, operation.get("reply", operation)):
            place = part["channel"]["$ref"]
            assert all(found["$ref"].startswith(f"{place}/messages/") for found in part["messages"])


@pytest.mark.parametrize("name", [name for name, found in MESSAGES.items() if "examples" in found])
def test_every_example_is_a_sound_message(name):
    """The app's own readers take it, under the content type that is told."""
    found = MESSAGES[name]
    read = READERS[found["payload"]["$ref"].rpartition("/")[2]]

    for example in found["examples"]:
        assert read(message(example["payload"], content_type=found["contentType"]))


def test_every_example_is_shown():
    """All of examples/messages is in the document."""
    shown = {
        example["name"] for found in MESSAGES.values() for example in found.get("examples", ())
    }

    assert shown == {path.stem for path in EXAMPLES.glob("*.json")}


def test_envelopes_are_closed_and_records_open():
    """A misspelt member of an envelope is refused; DPS may add members to a record."""
    envelopes = [found["$ref"] for found in SCHEMAS["EnrollmentRequest"]["oneOf"]]
    envelopes += [found["$ref"] for found in SCHEMAS["BulkRequest"]["oneOf"]]

    assert {target(envelope)["additionalProperties"] for envelope in envelopes} == {False}
    assert SCHEMAS["IndividualEnrollment"]["additionalProperties"] is True


def test_content_types_are_those_of_the_app():
    """Structured events and results say that they are events."""
    types = {name: found.get("contentType") for name, found in MESSAGES.items()}

    assert types["bulkRequestEvent"] == types["enrollmentRequestEvent"] == STRUCTURED
    assert types["result"] == CONTENT_TYPE
