"""Results: their content, their ids, and the queue they are sent to."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.errors import InvalidRequestError
from shared.messaging.messages import Message
from shared.messaging.requests import read_request
from shared.messaging.results import choose_reply_queue
from shared.settings import ServiceBusSettings
from tests import secret_factory
from tests.shared.dps.documents import individual, keys
from tests.shared.messaging.samples import (
    BULK_QUEUE,
    EVENT,
    GROUP,
    RECORD,
    create_request,
    example_file,
    message,
    outcome_message,
    read_bulk,
)

REJECTED = {"error_code": 404201, "text": "Enrollment not found.", "tracking_id": "t-1"}


def event_in(outgoing: Any) -> Any:
    """Returns the event of a result."""
    return json.loads(outgoing.body)


def result_event(body: Any, **outcome: Any) -> Any:
    """Returns the result event for a valid request with this body."""
    request_message = message(body)
    return event_in(outcome_message(request_message, read_request(request_message), **outcome))


def test_result_of_a_success_has_the_etag() -> None:
    """It has the record's id, the operation and the etag."""
    event = result_event(create_request(), etag="abc")

    assert event["data"] == {
        "operation": "create",
        "status": "succeeded",
        "registrationId": "dev-1",
        "etag": "abc",
    }
    assert event["subject"] == "dev-1"


def test_result_of_a_rejection_has_the_error() -> None:
    """As in DPS's errors: code, message and tracking id."""
    event = result_event({"operation": "delete", "enrollmentGroup": GROUP}, **REJECTED)

    assert event["data"] == {
        "operation": "delete",
        "status": "rejected",
        "enrollmentGroupId": "group-1",
        "errorCode": 404201,
        "message": "Enrollment not found.",
        "trackingId": "t-1",
    }


def test_result_is_a_structured_cloud_event() -> None:
    """CloudEvents 1.0, with its required attributes and the time in UTC."""
    request_message = message(create_request(), queue="in/requests 1")
    outgoing = outcome_message(request_message, read_request(request_message))
    event = event_in(outgoing)

    assert outgoing.content_type == "application/cloudevents+json; charset=utf-8"
    assert (event["specversion"], event["type"]) == ("1.0", "EnrollmentFunctions.RequestCompleted")
    assert event["source"] == "/queues/in/requests%201"
    assert event["datacontenttype"] == "application/json"
    assert outgoing.message_id == event["id"]
    assert outgoing.subject == "dev-1"
    assert datetime.fromisoformat(event["time"]).tzinfo == UTC


COPY_OF_M_0 = {
    "message_id": "rescheduled-enrollment-requests-6",
    "application_properties": {"sourceMessageId": "m-0"},
}


@pytest.mark.parametrize(
    ("members", "id"),
    [
        ({"correlation_id": "c-1"}, "c-1"),
        ({}, "m-1"),
        (COPY_OF_M_0, "m-0"),
    ],
)
def test_result_has_the_correlation_id_of_the_request(members: dict[str, Any], id: str) -> None:
    """Or the original message id if the sender set none."""
    request_message = message(create_request(), **members)

    assert outcome_message(request_message, read_request(request_message)).correlation_id == id


def test_result_of_an_item_has_its_id_and_faults() -> None:
    """The faults point into the bulk message."""
    request_message = message({"mode": "create", "enrollments": [{"registrationId": "dev-1"}]})
    (item,) = read_bulk(request_message).items

    event = event_in(outcome_message(request_message, item, error_code=400004, faults=item.faults))

    assert event["subject"] == "dev-1"
    assert event["data"]["info"] == {"/enrollments/0/attestation": "is required"}


@pytest.mark.parametrize(
    ("body", "subject", "operation"),
    [
        (create_request(enrollment={"registrationId": "dev-1"}), "dev-1", "create"),
        ({"operation": "drop", "registrationId": "dev-1"}, "dev-1", None),
        ({**EVENT, "data": {"operation": "create", "enrollmentGroup": GROUP, "x": 1}}, "group-1", "create"),
        (create_request(enrollment={"registrationId": "no id"}), None, "create"),
        (create_request(registrationId="dev-1"), None, "create"),
        ({"mode": "create", "enrollments": 5}, None, None),
        ([], None, None),
        (b"\xff", None, None),
    ],
)  # fmt: skip
def test_result_of_an_invalid_request_has_what_can_be_read(
    body: Any, subject: str | None, operation: str | None
) -> None:
    """The subject is the record's id, if it can be read."""
    event = event_in(outcome_message(message(body), None, error_code=400004))

    assert event.get("subject") == subject
    assert event["data"].get("operation") == operation
    assert event["data"]["status"] == "rejected"


def test_results_have_no_keys() -> None:
    """Whatever the request has."""
    key = secret_factory.symmetric_key()
    body = create_request(enrollment=individual(attestation=keys(key)))

    valid, invalid = (
        result_event(body),
        outcome_message(message({**body, "x": 1}), None, error_code=400004),
    )

    assert key not in json.dumps(valid) + repr(invalid.body)


def test_results_are_small() -> None:
    """Even if the request has thousands of faults with long pointers."""
    faults = {f"/{'ä' * 10_000}{n}": "is not a member here" for n in range(5000)}

    outgoing = outcome_message(
        message({}), None, error_code=400004, text="x" * 100_000, faults=faults
    )

    assert len(outgoing.body) < 100_000
    assert (
        "has more faults than are listed (4950 more)" in event_in(outgoing)["data"]["info"].values()
    )


def test_unpaired_surrogates_do_not_prevent_a_result() -> None:
    """They are replaced, because UTF-8 cannot encode them."""
    outgoing = outcome_message(
        message({}), None, error_code=1, text="\ud800", faults={"/\udfff": "\ud800"}
    )

    assert event_in(outgoing)["data"]["message"] == "?"


def test_documented_results_are_correct() -> None:
    """`examples/messages` has exactly what the app sends, except for the time."""
    good = message(example_file("update-if-match"), message_id="erp-4712")
    bad = message(example_file("create"), message_id="erp-4711")
    bad = replace(bad, body=bad.body.replace(b'"symmetricKey"', b'"symmetricKey", "symmetricKey": {"primaryKey": "c2hvcnQ="}'))  # fmt: skip
    with pytest.raises(InvalidRequestError) as raised:
        read_request(bad)

    shown = (
        json.loads(example_file("result-succeeded")),
        json.loads(example_file("result-rejected")),
    )
    sent = (
        event_in(outcome_message(good, read_request(good), etag=shown[0]["data"]["etag"])),
        event_in(
            outcome_message(
                bad,
                None,
                error_code=400004,
                text=str(raised.value),
                faults=raised.value.faults,
            )
        ),
    )

    assert [{**event, "time": None} for event in sent] == [
        {**event, "time": None} for event in shown
    ]


def read_items(*documents: Any, mode: Any = "create", **members: Any) -> Any:
    """Returns a bulk message for these enrollments, and its items."""
    request_message = message({"mode": mode, "enrollments": documents}, queue=BULK_QUEUE, **members)
    return request_message, read_bulk(request_message).items


def test_redelivery_and_copy_have_the_same_result_id() -> None:
    """So that a queue with duplicate detection keeps one result."""
    request_message = message(create_request())
    copy = replace(
        request_message,
        message_id="rescheduled-enrollment-requests-1",
        sequence_number=99,
        delivery_count=4,
        application_properties={"sourceMessageId": "m-1", "attempt": 3},
    )

    first, again = (
        outcome_message(each, read_request(each), etag="x") for each in (request_message, copy)
    )

    assert first.message_id == again.message_id


@pytest.mark.parametrize(
    "other",
    [
        message(create_request(), message_id="m-2"),
        message(create_request(), queue="others"),
        message(create_request(operation="upsert")),
        message(create_request(enrollment={**RECORD, "deviceId": "d"})),
        message({"operation": "create", "enrollmentGroup": GROUP}),
    ],
    ids=["message", "queue", "operation", "record", "kind"],
)
def test_different_requests_have_different_result_ids(other: Message) -> None:
    """Duplicate detection would drop the second result otherwise."""
    request_message = message(create_request())

    assert (
        outcome_message(request_message, read_request(request_message)).message_id
        != outcome_message(other, read_request(other)).message_id
    )


def test_different_outcomes_have_different_result_ids() -> None:
    """A replay that succeeds after a rejection has a result of its own."""
    request_message = message(create_request())
    request = read_request(request_message)

    ids = {
        outcome_message(request_message, request).message_id,
        outcome_message(request_message, request, error_code=409201).message_id,
        outcome_message(request_message, request, error_code=404201).message_id,
    }

    assert len(ids) == 3


def test_every_item_has_its_own_result_id() -> None:
    """Even equal items, and items without an id."""
    request_message, items = read_items(RECORD, RECORD, {}, {})

    assert (
        len(
            {outcome_message(request_message, item, error_code=400004).message_id for item in items}
        )
        == 4
    )


def test_result_id_does_not_depend_on_the_position() -> None:
    """The rest of a bulk request is sent on as a smaller message: its result ids stay the same."""
    last = {**RECORD, "registrationId": "dev-9"}
    whole, (_, item) = read_items(RECORD, last)
    rest, (left,) = read_items(
        last,
        message_id="rescheduled-bulk-operations-1",
        application_properties={"sourceMessageId": "m-1"},
    )

    assert outcome_message(whole, item).message_id == outcome_message(rest, left).message_id


LITERAL = Message(
    body=b'{"operation": "create", "enrollment": {"registrationId": "Press-0117", '
    b'"attestation": {"type": "symmetricKey"}}}',
    queue="enrollment-requests",
    sequence_number=41,
    message_id="order-7",
)
LITERAL_RECORD = {"registrationId": "Press-0117", "attestation": {"type": "symmetricKey"}}
LITERAL_BULK = Message(
    body=json.dumps(
        {
            "mode": "create",
            "enrollments": [LITERAL_RECORD, LITERAL_RECORD, {"registrationId": "?"}],
        }
    ).encode(),
    queue="bulk-operations",
    sequence_number=42,
    message_id="order-8",
)


def test_result_ids_are_the_same_in_every_version() -> None:
    """Otherwise a request that two versions process would have two results."""
    request = read_request(LITERAL)

    assert [
        outcome_message(LITERAL, request).message_id,
        outcome_message(LITERAL, request, error_code=409201).message_id,
        outcome_message(LITERAL, None, error_code=400004).message_id,
    ] == [
        "babf87a6-c959-5d72-bceb-bf8b5c90b541",
        "9c1fa903-4252-5016-8d65-56869b0754e3",
        "c4053cae-c6ec-5b49-bde3-30a887366560",
    ]


def test_result_ids_of_items_are_the_same_in_every_version() -> None:
    """Of an item that succeeds or fails, of an equal item, and of one without a valid id."""
    items = read_bulk(LITERAL_BULK).items

    assert [
        (
            outcome_message(LITERAL_BULK, item).message_id,
            outcome_message(LITERAL_BULK, item, error_code=400004).message_id,
        )
        for item in items
    ] == [
        ("9e3d7340-bb6d-57cf-b36a-4df74ab45f27", "0a517838-18ed-59c8-8ef8-30c604ea4b05"),
        ("4cc70b94-b648-5de1-a5b3-e81a703817ff", "77038d0c-9849-5c84-8d47-bd8f831f5425"),
        ("c8044889-8922-5593-9d3b-c158bd1138ce", "4ea58c9d-7014-5c3d-99fc-9d1b4c7e1237"),
    ]


def settings_with(**variables: Any) -> Any:
    """Returns settings with a results queue and reply queues."""
    return ServiceBusSettings.read(
        {
            "ServiceBus__fullyQualifiedNamespace": "x.servicebus.windows.net",
            "ENROLLMENT_RESULTS_QUEUE": "results",
            "ENROLLMENT_REPLY_QUEUES": "erp-replies,mes,Bulk-Operations,enrollment-rejected",
            **variables,
        }
    )


@pytest.mark.parametrize(
    ("reply_to", "queue", "is_redirected"),
    [
        (None, "results", False),
        ("", "results", False),
        ("mes", "mes", False),
        ("ERP-Replies", "erp-replies", False),
        ("sb://x.servicebus.windows.net/mes", "mes", False),
        ("amqps://x.servicebus.windows.net:5671/mes/", "mes", False),
        ("Results", "results", False),
        ("others", "results", True),
        ("sb://mes", "results", True),
        ("enrollment-requests", "results", True),
        ("bulk-operations", "results", True),
        ("ENROLLMENT-REJECTED", "results", True),
        ("sb://[", "results", True),
    ],
)
def test_reply_queue_must_be_allowed(reply_to: str | None, queue: str, is_redirected: bool) -> None:
    """A result never goes to the app's own input queues: that would be a loop."""
    assert choose_reply_queue(message({}, reply_to=reply_to), settings_with()) == (
        queue,
        is_redirected,
    )


def test_results_queue_is_optional() -> None:
    """Without it, only requests with an allowed `reply_to` have a result."""
    unset = settings_with(ENROLLMENT_RESULTS_QUEUE="")

    assert choose_reply_queue(message({}), unset) == (None, False)
    assert choose_reply_queue(message({}, reply_to="x"), unset) == (None, True)
    assert choose_reply_queue(message({}, reply_to="mes"), unset) == ("mes", False)
