"""A request wrapped in a CloudEvent 1.0, structured or binary, is the request inside."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from uuid import UUID

import pytest

from shared.errors import InvalidRequestError, UnsupportedMediaTypeError
from shared.messaging.requests import read_request
from tests.shared.messaging.incoming import EVENT, create, example, message

STRUCTURED = "application/cloudevents+json"


def faults_of(body, **members):
    """What is wrong with a message."""
    with pytest.raises(InvalidRequestError) as raised:
        read_request(message(body, **members))
    return raised.value.faults


def in_base64(document):
    """A document as `data_base64` has it."""
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
@pytest.mark.parametrize("inside", [{"data": create()}, {"data_base64": in_base64(create())}])
def test_a_structured_event_is_the_request_inside(content_type, inside):
    """However it is labelled: an event that went through other services may come as plain JSON."""
    found = read_request(message({**EVENT, **inside}, content_type=content_type))

    assert (found.operation, found.id) == ("create", "dev-1")


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
def test_a_binary_event_is_the_request_in_its_body(separator, attributes):
    """Attributes are application properties, of either prefix and of any type AMQP has for them."""
    properties = {f"cloudEvents{separator}{name}": value for name, value in attributes.items()}

    found = read_request(
        message(create(), content_type="application/json", application_properties=properties)
    )

    assert (found.operation, found.id) == ("create", "dev-1")


@pytest.mark.parametrize("name", EVENT)
@pytest.mark.parametrize("spoilt", [None, "", 5, ["x"]])
def test_structured_attributes_are_required(name, spoilt):
    """Each that is missing, empty or no text is named, as a place in the body."""
    event = {**EVENT, name: spoilt, "data": create()}

    assert faults_of(event, content_type=STRUCTURED).keys() == {f"/{name}"}


@pytest.mark.parametrize("separator", [":", "_"])
@pytest.mark.parametrize("name", EVENT)
@pytest.mark.parametrize(
    "spoilt", [None, "", b"", ["x"], {}], ids=["none", "text", "bytes", "list", "map"]
)
def test_binary_attributes_are_required(separator, name, spoilt):
    """Each that is missing, empty or no text is named, as the property it should be."""
    properties = {
        f"cloudEvents{separator}{attribute}": value
        for attribute, value in {**EVENT, name: spoilt}.items()
    }

    assert faults_of(create(), application_properties=properties).keys() == {
        f"cloudEvents{separator}{name}"
    }


def test_version_is_1_0():
    """Another version may mean something else."""
    event = {**EVENT, "specversion": "0.3", "data": create()}

    assert faults_of(event) == {"/specversion": "must be 1.0"}


def test_faults_of_event_and_request_are_named_at_once():
    """Those of the request begin at the event's beginning."""
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
        ({"data": create(), "data_base64": "e30="}, {""}),
        ({"data": "text"}, {"/data"}),
        ({"data": []}, {"/data"}),
        ({"data_base64": "%"}, {"/data_base64"}),
        ({"data_base64": "ä"}, {"/data_base64"}),
        ({"data_base64": 5}, {"/data_base64"}),
        ({"data_base64": ""}, {"/data_base64"}),
        ({"data_base64": b64encode(b"{").decode()}, {"/data_base64"}),
        ({"data_base64": b64encode(b'{"a":1,"a":1}').decode()}, {"/data_base64/a"}),
        ({"data_base64": in_base64({"operation": "delete"})}, {"/data_base64"}),
    ],
)
def test_data_that_is_no_request_is_refused(inside, faults):
    """Once, and in a form that can be read."""
    assert faults_of({**EVENT, **inside}, content_type=STRUCTURED).keys() == faults


@pytest.mark.parametrize("body", [[], [EVENT], "text", None])
def test_a_structured_event_is_an_object(body):
    """A body that is labelled as an event and is none is refused."""
    assert faults_of(body, content_type=STRUCTURED) == {"": "must be an object: one event"}


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents-batch+json", "application/cloudevents+avro"]
)
def test_other_forms_of_events_are_refused(content_type):
    """One event a message, as JSON."""
    with pytest.raises(UnsupportedMediaTypeError) as raised:
        read_request(message([{**EVENT, "data": create()}], content_type=content_type))

    assert set(raised.value.faults) == {"content-type"}


@pytest.mark.parametrize("named", [{5: "x"}, {b"cloudEvents:id": "x"}, {"other": object()}])
def test_properties_of_the_senders_own_mean_nothing(named):
    """Whatever they are, the body is a plain request."""
    assert read_request(message(create(), application_properties=named)).id == "dev-1"


def test_example_of_an_event_is_sound():
    """Whoever copies it sends a good request."""
    found = read_request(message(example("upsert-event"), content_type=STRUCTURED))

    assert (found.operation, found.id) == ("upsert", "press-0117")
