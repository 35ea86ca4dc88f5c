"""Messages that can never succeed: kept aside at once, with their reason and all of their body."""

from datetime import datetime
from typing import Any

import pytest

from local.servicebus import Step
from local.servicebus.amqp.errors import Condition
from tests import secret_factory
from tests.functions.queue_messages import Document, data, message
from tests.functions.queue_requests import (
    CREATE,
    DELETE,
    UPDATE,
    Dps,
    asked,
    enrollment,
    failing,
    with_keys,
)
from tests.functions.queue_stack import MOST_DELIVERIES, REJECTED, REQUESTS, Queues
from tests.local.servicebus.handlers import leaves_sockets

NO_ETAG = "AAAAAAAAAAA="
_MALFORMED = {"operation": CREATE, "enrollment": {"registrationId": "dev-1"}}


def _event(form: str) -> dict[str, Any]:
    return {"body": asked(CREATE), "content_type": f"application/cloudevents{form}"}


@pytest.mark.parametrize(
    ("request_of", "reason", "code"),
    [
        pytest.param({"body": b"nonsense"}, "InvalidRequest", 400004, id="unreadable"),
        pytest.param({"body": b""}, "InvalidRequest", 400004, id="empty"),
        pytest.param({"body": _MALFORMED}, "InvalidRequest", 400004, id="malformed"),
        pytest.param({"body": {"operation": "move"}}, "InvalidRequest", 400004, id="unknown"),
        pytest.param(_event("-batch+json"), "UnsupportedMediaType", 415001, id="batch of events"),
        pytest.param(_event("+json"), "InvalidRequest", 400004, id="event without its members"),
        pytest.param({"body": asked(UPDATE, "dev-2")}, "DpsNotFound", 404201, id="404 on update"),
        pytest.param({"body": asked(DELETE, "dev-2")}, "DpsNotFound", 404201, id="404 on delete"),
        pytest.param({"body": asked(CREATE, "DEV-1")}, "DpsConflict", 409201, id="409"),
        pytest.param(
            {"body": asked(UPDATE) | {"ifMatch": NO_ETAG}},
            "DpsPreconditionFailed",
            412000,
            id="412 on update",
        ),
        pytest.param(
            {"body": asked(DELETE) | {"ifMatch": NO_ETAG}},
            "DpsPreconditionFailed",
            412000,
            id="412 on delete",
        ),
    ],
)
def test_message_is_parked_on_its_first_delivery(
    queues: Queues, dps_of_queues: Dps, request_of, reason: str, code: int
):
    """With a reason of the catalogue, and its sender is told."""
    dps_of_queues.put(enrollment())

    queues.request(**request_of)

    [parked], [told] = queues.parked(), data(queues.results())
    assert (parked["properties"]["reason"], told["status"]) == (reason, "rejected")
    assert parked["properties"]["errorCode"] // 1000 == code // 1000
    assert told["errorCode"] == parked["properties"]["errorCode"]
    assert told["message"] in parked["properties"]["description"]
    assert (queues.broker.statistics.delivered - queues.broker.statistics.abandoned) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"operation": ' + b"1" * 5000 + b"}",
        b'{"operation": NaN}',
        b'{"operation": "create", "operation": "delete"}',
        b'{"operation": "delete", "registrationId": "\\ud800"}',
        b"\xff\xfe{\x00}\x00",
        b"\xe4\xf6\xfc",
        b"null",
    ],
    ids=["deep", "long number", "NaN", "named twice", "half a letter", "UTF-16", "Latin-1", "null"],
)
@pytest.mark.parametrize("send", [Queues.request, Queues.bulk], ids=["one", "many"])
def test_body_that_is_odd_is_parked_as_it_is(queues: Queues, send, body: bytes):
    """Whatever it is, it is no fault of the app."""
    send(queues, body)

    [parked] = queues.parked()
    assert (parked["body"], parked["properties"]["reason"]) == (body, "InvalidRequest")
    assert queues.broker.statistics.abandoned == 0


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [(400, "DpsBadRequest", 400000), (415, "DpsRefused", 502004)],
)
def test_what_dps_refuses_is_parked_with_its_words(
    queues: Queues, dps_of_queues: Dps, status: int, reason: str, code: int
):
    """And with the tracking id of DPS's, for a support request."""
    dps_of_queues.faults(failing(status))

    queues.request(asked(CREATE))

    [parked], [told] = queues.parked(), data(queues.results())
    named = {name: parked["properties"][name] for name in ("reason", "errorCode", "trackingId")}
    assert named == {"reason": reason, "errorCode": code, "trackingId": "dps-1"}
    assert (told["errorCode"], told["trackingId"]) == (code, "dps-1")
    assert len(dps_of_queues.calls) == 1


def test_parked_message_is_the_message_that_came(queues: Queues):
    """Nothing of it is changed, and where it came from is added."""
    body = b'{"operation": "create",\n "enrollment": "\xc3\xa4"}'
    queues.request(
        body,
        message_id="erp-4711",
        content_type="application/json",
        correlation_id="order-1",
        subject="devices",
        reply_to="erp-replies",
        application_properties={"plant": "graz", "line": 4},
    )

    [parked] = queues.parked()

    properties = parked["properties"]
    enqueued = datetime.fromisoformat(properties.pop("enqueuedTimeUtc"))
    assert parked["body"] == body
    assert {name: parked[name] for name in ("content_type", "correlation_id", "subject")} == {
        "content_type": "application/json",
        "correlation_id": "order-1",
        "subject": "devices",
    }
    assert parked["reply_to"] == "erp-replies"
    assert parked["message_id"] not in {"erp-4711", None}
    assert enqueued.tzinfo
    assert properties.pop("description").startswith("The request is not valid. /enrollment ")
    assert properties == {
        "reason": "InvalidRequest",
        "errorCode": 400004,
        "attempt": 1,
        "sourceQueue": REQUESTS,
        "sourceMessageId": "erp-4711",
        "plant": "graz",
        "line": 4,
    }


def _misplaced_key() -> Document:
    return {"operation": CREATE, "enrollment": with_keys(), "key": secret_factory.symmetric_key()}


def _key_for_an_id() -> Document:
    return {"operation": DELETE, "registrationId": secret_factory.symmetric_key()}


def _short_key() -> Document:
    record = with_keys()
    record["attestation"]["symmetricKey"]["primaryKey"] = secret_factory.symmetric_key(4)
    return {"operation": CREATE, "enrollment": record}


def _key_for_an_etag() -> Document:
    return asked(UPDATE) | {"ifMatch": f" {secret_factory.symmetric_key()} "}


@pytest.mark.parametrize("make", [_misplaced_key, _key_for_an_id, _short_key, _key_for_an_etag])
def test_key_in_a_rejected_message_is_nowhere_else(queues: Queues, make, caplog):
    """Neither in its result, nor in its properties, nor in the log: the body alone keeps it."""
    queues.request(make())

    assert queues.parked()[0]["properties"]["reason"] == "InvalidRequest"
    assert data(queues.results())[0]["info"]
    assert caplog.messages


@leaves_sockets
def test_message_that_cannot_be_parked_is_delivered_again(queues: Queues):
    """Until the rejected queue takes it; nothing is lost."""
    queues.broker.refuse(
        Step.SEND, Condition.RESOURCE_LIMIT_EXCEEDED, times=2, queue=REJECTED
    )  # it is believed the second time

    queues.request(b"nonsense", message_id="m-1")

    assert queues.parked()[0]["properties"]["sourceMessageId"] == "m-1"
    assert queues.broker.statistics.abandoned == 1
    assert len(queues.results()) == 1


@leaves_sockets
def test_message_that_can_never_be_parked_is_a_dead_letter(queues: Queues):
    """Service Bus keeps it then, with all of its body."""
    queues.broker.refuse(
        Step.SEND, Condition.RESOURCE_LIMIT_EXCEEDED, times=2 * MOST_DELIVERIES, queue=REJECTED
    )

    queues.request(b"nonsense")

    [found] = queues.dead_letters()
    assert found["body"] == b"nonsense"
    assert found["properties"]["DeadLetterReason"] == "MaxDeliveryCountExceeded"


def test_message_with_no_room_for_a_reason_is_a_dead_letter(queues: Queues):
    """It is as large as a message may be."""
    limit = queues.broker.options.max_message_bytes
    body = b"x" * (limit - 128)

    queues.send(REQUESTS, message(body))

    [found] = queues.dead_letters()
    assert found["body"] == body
    assert queues.broker.queue(REJECTED).active == 0


def test_reason_gives_way_to_the_body(queues: Queues):
    """Of a message that leaves little room the words are dropped, never the body."""
    body = b"x" * (queues.broker.options.max_message_bytes - 600)

    queues.send(REQUESTS, message(body, message_id="m-1"))

    [parked] = queues.parked()
    assert parked["body"] == body
    assert parked["properties"]["reason"] == "InvalidRequest"
