"""What a sender is told of its request."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.errors import InvalidRequestError
from shared.messaging.requests import read_bulk_request, read_request
from shared.messaging.results import result
from tests import secret_factory
from tests.shared.dps.documents import individual, keys
from tests.shared.messaging.incoming import (
    EVENT,
    GROUP,
    create,
    example,
    message,
)

REJECTED = {"error_code": 404201, "text": "Enrollment not found.", "tracking_id": "t-1"}


def event_in(outgoing):
    """The event of a result."""
    return json.loads(outgoing.body)


def told(body, **outcome):
    """The event about a request for one record."""
    asked = message(body)
    return event_in(result(asked, read_request(asked), **outcome))


def test_a_success_is_told_with_the_etag():
    """The event is about the record, and says what was done to it."""
    event = told(create(), etag="abc")

    assert event["data"] == {
        "operation": "create",
        "status": "succeeded",
        "registrationId": "dev-1",
        "etag": "abc",
    }
    assert event["subject"] == "dev-1"


def test_a_rejection_is_told_with_its_reason():
    """In DPS's words: code, message, trackingId, and what is wrong where."""
    event = told({"operation": "delete", "enrollmentGroup": GROUP}, **REJECTED, faults={"/a": "b"})

    assert event["data"] == {
        "operation": "delete",
        "status": "rejected",
        "enrollmentGroupId": "group-1",
        "errorCode": 404201,
        "message": "Enrollment not found.",
        "trackingId": "t-1",
        "info": {"/a": "b"},
    }


def test_a_result_is_a_structured_event():
    """CloudEvents 1.0: its required attributes, and the time in UTC; the message says what it is."""
    asked = message(create(), queue="in/requests 1")
    outgoing = result(asked, read_request(asked))
    event = event_in(outgoing)

    assert outgoing.content_type == "application/cloudevents+json; charset=utf-8"
    assert (event["specversion"], event["type"]) == ("1.0", "EnrollmentFunctions.RequestCompleted")
    assert event["source"] == "/queues/in/requests%201"
    assert event["datacontenttype"] == "application/json"
    assert outgoing.message_id == event["id"]
    assert outgoing.subject == "dev-1"
    assert datetime.fromisoformat(event["time"]).tzinfo == UTC


@pytest.mark.parametrize(
    ("members", "id"),
    [
        ({"correlation_id": "c-1"}, "c-1"),
        ({}, "m-1"),
        ({"message_id": "copy", "application_properties": {"sourceMessageId": "m-0"}}, "m-0"),
    ],
)
def test_a_result_is_correlated_with_the_request(members, id):
    """By what its sender chose for that, or else by its message id."""
    asked = message(create(), **members)

    assert result(asked, read_request(asked)).correlation_id == id


def test_an_item_that_is_rejected_is_told_with_its_id():
    """Its faults are places in the bulk message."""
    asked = message({"mode": "create", "enrollments": [{"registrationId": "dev-1"}]})
    (item,) = read_bulk_request(asked).items

    event = event_in(result(asked, item, error_code=400004, faults=item.faults))

    assert event["subject"] == "dev-1"
    assert event["data"]["info"] == {"/enrollments/0/attestation": "is required"}


@pytest.mark.parametrize(
    ("body", "subject", "operation"),
    [
        (create(enrollment={"registrationId": "dev-1"}), "dev-1", "create"),
        ({"operation": "drop", "registrationId": "dev-1"}, "dev-1", None),
        ({**EVENT, "data": {"operation": "create", "enrollmentGroup": GROUP, "x": 1}}, "group-1", "create"),
        (create(enrollment={"registrationId": "no id"}), None, "create"),
        (create(registrationId="dev-1"), None, "create"),
        ({"mode": "create", "enrollments": 5}, None, None),
        ([], None, None),
        (b"\xff", None, None),
    ],
)  # fmt: skip
def test_of_an_invalid_request_is_told_what_can_be_read(body, subject, operation):
    """A record that can be named is named; where there is none the event has no subject."""
    event = event_in(result(message(body), None, error_code=400004))

    assert event.get("subject") == subject
    assert event["data"].get("operation") == operation
    assert event["data"]["status"] == "rejected"


def test_results_hold_no_key():
    """Whatever the request held."""
    key = secret_factory.symmetric_key()
    body = create(enrollment=individual(attestation=keys(key)))

    valid, invalid = told(body), result(message({**body, "x": 1}), None, error_code=400004)

    assert key not in json.dumps(valid) + repr(invalid.body)


def test_results_are_small():
    """Though the request has thousands of faults, under names of any length."""
    faults = {f"/{'ä' * 10_000}{n}": "is not known here" for n in range(5000)}

    outgoing = result(message({}), None, error_code=400004, text="x" * 100_000, faults=faults)

    assert len(outgoing.body) < 100_000
    assert "4950 more faults are not named" in event_in(outgoing)["data"]["info"].values()


def test_results_can_be_written_whatever_an_error_says():
    """Half a surrogate pair is no text, and must not keep a sender from its result."""
    outgoing = result(message({}), None, error_code=1, text="\ud800", faults={"/\udfff": "\ud800"})

    assert event_in(outgoing)["data"]["message"] == "?"


def test_examples_of_results_are_what_is_told():
    """Whoever reads one knows what comes back, but for the time."""
    good = message(example("update-if-match"), message_id="erp-4712")
    bad = message(example("create"), message_id="erp-4711")
    bad = replace(bad, body=bad.body.replace(b'"symmetricKey"', b'"symmetricKey", "symmetricKey": {"primaryKey": "c2hvcnQ="}'))  # fmt: skip
    with pytest.raises(InvalidRequestError) as raised:
        read_request(bad)

    shown = json.loads(example("result-succeeded")), json.loads(example("result-rejected"))
    found = (
        event_in(result(good, read_request(good), etag=shown[0]["data"]["etag"])),
        event_in(
            result(
                bad,
                None,
                error_code=400004,
                text=str(raised.value),
                faults=raised.value.faults,
            )
        ),
    )

    assert [{**event, "time": None} for event in found] == [
        {**event, "time": None} for event in shown
    ]
