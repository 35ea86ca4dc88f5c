"""A request may be the data of a CloudEvent 1.0, in structured or binary mode."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from shared.errors import InvalidRequestError, UnsupportedMediaTypeError
from shared.messaging.requests import read_request
from tests.shared.messaging.samples import EVENT, create_request, example_file, message

STRUCTURED = "application/cloudevents+json"


def faults_of(body: Any, **members: Any) -> Any:
    """Returns the faults of a message."""
    with pytest.raises(InvalidRequestError) as raised:
        read_request(message(body, **members))
    return raised.value.faults


def in_base64(document: Any) -> Any:
    """Returns a document as `data_base64` has it."""
    return b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize(
    "content_type",
    [
        STRUCTURED,
        "application/cloudevents+json; charset=UTF-8",
        "Application/CloudEvents+JSON;charset=utf-8;x=y",
        "application/json",
        "text/plain",
        None,
    ],
)
@pytest.mark.parametrize(
    "inside", [{"data": create_request()}, {"data_base64": in_base64(create_request())}]
)
def test_request_is_the_data_of_a_structured_event(
    content_type: Any, inside: dict[str, Any]
) -> None:
    """The content type may be any: other services may pass an event on as plain JSON."""
    request = read_request(message({**EVENT, **inside}, content_type=content_type))

    assert (request.operation, request.id) == ("create", "dev-1")


@pytest.mark.parametrize("separator", [":", "_"])
@pytest.mark.parametrize(
    "attributes",
    [
        EVENT,
        {**EVENT, "specversion": b"1.0", "id": b"e-1"},
        {**EVENT, "specversion": 1.0, "id": 17, "extension": True},
        {**EVENT, "id": UUID(int=1), "time": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
    ids=["text", "bytes", "numbers", "types of AMQP"],
)
def test_request_is_the_body_of_a_binary_event(separator: str, attributes: Any) -> None:
    """The attributes are application properties with either prefix, of any AMQP type."""
    properties = {f"cloudEvents{separator}{name}": value for name, value in attributes.items()}

    request = read_request(
        message(
            create_request(), content_type="application/json", application_properties=properties
        )
    )

    assert (request.operation, request.id) == ("create", "dev-1")


@pytest.mark.parametrize("name", EVENT)
@pytest.mark.parametrize("invalid", [None, "", 5, ["x"]])
def test_structured_attribute_is_required(name: Any, invalid: str | list[Any] | int | None) -> None:
    """A missing, empty or non-string attribute is a fault at its pointer."""
    event = {**EVENT, name: invalid, "data": create_request()}

    assert faults_of(event, content_type=STRUCTURED).keys() == {f"/{name}"}


@pytest.mark.parametrize("separator", [":", "_"])
@pytest.mark.parametrize("name", EVENT)
@pytest.mark.parametrize(
    "invalid", [None, "", b"", ["x"], {}], ids=["none", "text", "bytes", "list", "map"]
)
def test_binary_attribute_is_required(
    separator: str, name: Any, invalid: list[Any] | bytes | dict[str, Any] | str | None
) -> None:
    """A missing, empty or non-string attribute is a fault of its property."""
    properties = {
        f"cloudEvents{separator}{attribute}": value
        for attribute, value in {**EVENT, name: invalid}.items()
    }

    assert faults_of(create_request(), application_properties=properties).keys() == {
        f"cloudEvents{separator}{name}"
    }


def test_version_must_be_1_0() -> None:
    """Another version may have another meaning."""
    event = {**EVENT, "specversion": "0.3", "data": create_request()}

    assert faults_of(event) == {"/specversion": "must be 1.0"}


def test_faults_of_event_and_request_are_reported_together() -> None:
    """The pointers of the request's faults start at the event."""
    event = {**EVENT, "id": "", "data": {"operation": "create", "enrollment": {}}}

    assert set(faults_of(event)) == {
        "/id",
        "/data/enrollment/registrationId",
        "/data/enrollment/attestation",
    }


@pytest.mark.parametrize(
    ("inside", "faults"),
    [
        ({}, {""}),
        ({"data": None}, {""}),
        ({"data": create_request(), "data_base64": "e30="}, {""}),
        ({"data": "text"}, {"/data"}),
        ({"data": []}, {"/data"}),
        ({"data_base64": "%"}, {"/data_base64"}),
        ({"data_base64": "ä"}, {"/data_base64"}),
        ({"data_base64": 5}, {"/data_base64"}),
        ({"data_base64": ""}, {"/data_base64"}),
        ({"data_base64": b64encode(b"{").decode()}, {"/data_base64"}),
        (
            {"data_base64": b64encode(b'{"a":1,"a":1}').decode()},
            {"/data_base64/a", "/data_base64", "/data_base64/operation"},
        ),
        ({"data_base64": in_base64({"operation": "delete"})}, {"/data_base64"}),
    ],
)
def test_invalid_data_is_a_fault_at_its_pointer(inside: dict[str, Any], faults: Any) -> None:
    """Each fault is reported once, with a valid pointer."""
    assert faults_of({**EVENT, **inside}, content_type=STRUCTURED).keys() == faults


@pytest.mark.parametrize("body", [[], [EVENT], 42, None])
def test_structured_event_must_be_an_object(body: int | list[Any] | None) -> None:
    """The content type says that the body is an event."""
    assert faults_of(body, content_type=STRUCTURED) == {"": "must be an object: one event"}


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents-batch+json", "application/cloudevents+avro"]
)
def test_other_event_formats_are_unsupported(content_type: str) -> None:
    """Batches of events and formats other than JSON are unsupported."""
    with pytest.raises(UnsupportedMediaTypeError) as raised:
        read_request(message([{**EVENT, "data": create_request()}], content_type=content_type))

    assert set(raised.value.faults) == {"content-type"}


@pytest.mark.parametrize("properties", [{5: "x"}, {b"cloudEvents:id": "x"}, {"other": object()}])
def test_other_properties_are_ignored(properties: dict[str, Any]) -> None:
    """Properties that are no attributes of an event do not affect a plain request."""
    assert read_request(message(create_request(), application_properties=properties)).id == "dev-1"


def test_documented_event_is_valid() -> None:
    """The event in `examples/messages` is valid."""
    request = read_request(message(example_file("upsert-event"), content_type=STRUCTURED))

    assert (request.operation, request.id) == ("upsert", "press-0117")
