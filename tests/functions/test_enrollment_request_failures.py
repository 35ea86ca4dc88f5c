"""
Queue requests that fail: rejected at once, or retried and in the end rejected or dead-lettered.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from local.servicebus import Step
from local.servicebus.amqp.errors import Condition
from shared.dps.batching.items import RequestItem
from shared.messaging.messages import Message
from shared.messaging.requests import read_request
from tests import secret_factory
from tests.functions.queue_stack import (
    MAX_DELIVERY_COUNT,
    REJECTED,
    REPLIES,
    REQUESTS,
    Dps,
    Queues,
    message,
    to_document,
)
from tests.functions.samples import (
    CREATE,
    DELETE,
    THROTTLED,
    UPDATE,
    Document,
    bulk_fault,
    enrollment,
    enrollment_with_keys,
    request_for,
)
from tests.local.servicebus.handlers import leaves_sockets

OTHER_ETAG = "AAAAAAAAAAA="
_MALFORMED = {"operation": CREATE, "enrollment": {"registrationId": "dev-1"}}


def _event(form: str) -> dict[str, Any]:
    return {"body": request_for(CREATE), "content_type": f"application/cloudevents{form}"}


@pytest.mark.parametrize(
    ("message", "reason", "code"),
    [
        pytest.param({"body": b"nonsense"}, "InvalidRequest", 400004, id="unreadable"),
        pytest.param({"body": b""}, "InvalidRequest", 400004, id="empty"),
        pytest.param({"body": _MALFORMED}, "InvalidRequest", 400004, id="malformed"),
        pytest.param({"body": {"operation": "move"}}, "InvalidRequest", 400004, id="unknown"),
        pytest.param(_event("-batch+json"), "UnsupportedMediaType", 415001, id="batch of events"),
        pytest.param(_event("+json"), "InvalidRequest", 400004, id="event without its members"),
        pytest.param(
            {"body": request_for(UPDATE, "dev-2")}, "DpsNotFound", 404201, id="404 on update"
        ),
        pytest.param(
            {"body": request_for(DELETE, "dev-2")}, "DpsNotFound", 404201, id="404 on delete"
        ),
        pytest.param({"body": request_for(CREATE, "DEV-1")}, "DpsConflict", 409201, id="409"),
        pytest.param(
            {"body": request_for(UPDATE) | {"ifMatch": OTHER_ETAG}},
            "DpsPreconditionFailed",
            412000,
            id="412 on update",
        ),
        pytest.param(
            {"body": request_for(DELETE) | {"ifMatch": OTHER_ETAG}},
            "DpsPreconditionFailed",
            412000,
            id="412 on delete",
        ),
    ],
)
def test_invalid_message_is_rejected_on_its_first_delivery(
    queues: Queues, queue_dps: Dps, message: Any, reason: str, code: int
) -> None:
    """With the reason of the error catalogue, and a result for its sender."""
    queue_dps.put(enrollment())

    queues.request(**message)

    [rejected], [outcome] = queues.rejected(), queues.outcomes()
    assert (rejected["properties"]["reason"], outcome["status"]) == (reason, "rejected")
    assert rejected["properties"]["errorCode"] // 1000 == code // 1000
    assert outcome["errorCode"] == rejected["properties"]["errorCode"]
    assert outcome["message"] in rejected["properties"]["description"]
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
    ids=[
        "deep",
        "long number",
        "NaN",
        "duplicate member",
        "unpaired surrogate",
        "UTF-16",
        "Latin-1",
        "null",
    ],
)
@pytest.mark.parametrize("send", [Queues.request, Queues.bulk], ids=["one", "many"])
def test_unreadable_body_is_rejected_unchanged(queues: Queues, send: Any, body: bytes) -> None:
    """It is never an internal error."""
    send(queues, body)

    [rejected] = queues.rejected()
    assert (rejected["body"], rejected["properties"]["reason"]) == (body, "InvalidRequest")
    assert queues.broker.statistics.abandoned == 0


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [(400, "DpsBadRequest", 400000), (415, "DpsRefused", 502004)],
)
def test_rejection_by_dps_has_its_message_and_tracking_id(
    queues: Queues, queue_dps: Dps, status: int, reason: str, code: int
) -> None:
    """The tracking id is for a support request."""
    queue_dps.faults(bulk_fault(status))

    queues.request(request_for(CREATE))

    [rejected], [outcome] = queues.rejected(), queues.outcomes()
    properties = {
        name: rejected["properties"][name] for name in ("reason", "errorCode", "trackingId")
    }
    assert properties == {"reason": reason, "errorCode": code, "trackingId": "dps-1"}
    assert (outcome["errorCode"], outcome["trackingId"]) == (code, "dps-1")
    assert len(queue_dps.calls) == 1


def test_rejected_message_is_unchanged(queues: Queues) -> None:
    """Its origin and the reason are added as properties."""
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

    [rejected] = queues.rejected()

    properties = rejected["properties"]
    enqueued = datetime.fromisoformat(properties.pop("enqueuedTimeUtc"))
    assert rejected["body"] == body
    assert {name: rejected[name] for name in ("content_type", "correlation_id", "subject")} == {
        "content_type": "application/json",
        "correlation_id": "order-1",
        "subject": "devices",
    }
    assert rejected["reply_to"] == "erp-replies"
    assert rejected["message_id"] not in {"erp-4711", None}
    assert enqueued.tzinfo
    assert properties.pop("description").startswith("The request is not valid. /enrollment ")
    assert properties == {
        "reason": "InvalidRequest",
        "errorCode": 400004,
        "attempt": 1,
        "sourceQueue": REQUESTS,
        "sourceMessageId": "erp-4711",
        "copyId": rejected["message_id"],
        "plant": "graz",
        "line": 4,
    }


def _misplaced_key() -> Document:
    return {
        "operation": CREATE,
        "enrollment": enrollment_with_keys(),
        "key": secret_factory.symmetric_key(),
    }


def _key_for_an_id() -> Document:
    return {"operation": DELETE, "registrationId": secret_factory.symmetric_key()}


def _short_key() -> Document:
    record = enrollment_with_keys()
    record["attestation"]["symmetricKey"]["primaryKey"] = secret_factory.symmetric_key(4)
    return {"operation": CREATE, "enrollment": record}


def _key_for_an_etag() -> Document:
    return request_for(UPDATE) | {"ifMatch": f" {secret_factory.symmetric_key()} "}


@pytest.mark.parametrize("make", [_misplaced_key, _key_for_an_id, _short_key, _key_for_an_etag])
def test_key_in_a_rejected_message_is_only_in_its_body(
    queues: Queues, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the result, the properties or the log."""
    queues.request(make())

    assert queues.rejected()[0]["properties"]["reason"] == "InvalidRequest"
    assert queues.outcomes()[0]["info"]
    assert caplog.messages


@leaves_sockets
def test_message_is_redelivered_if_the_rejected_queue_refuses_it(queues: Queues) -> None:
    """Until the queue accepts it."""
    # Twice, because the sender retries a refusal once.
    queues.broker.refuse(Step.SEND, Condition.RESOURCE_LIMIT_EXCEEDED, times=2, queue=REJECTED)

    queues.request(b"nonsense", message_id="m-1")

    assert queues.rejected()[0]["properties"]["sourceMessageId"] == "m-1"
    assert queues.broker.statistics.abandoned == 1
    assert len(queues.results()) == 1


@leaves_sockets
def test_message_is_dead_lettered_if_the_rejected_queue_always_refuses_it(queues: Queues) -> None:
    """With its whole body."""
    queues.broker.refuse(
        Step.SEND, Condition.RESOURCE_LIMIT_EXCEEDED, times=2 * MAX_DELIVERY_COUNT, queue=REJECTED
    )

    queues.request(b"nonsense")

    [dead_letter] = queues.dead_letters()
    assert dead_letter["body"] == b"nonsense"
    assert dead_letter["properties"]["DeadLetterReason"] == "MaxDeliveryCountExceeded"


def test_message_at_the_size_limit_is_dead_lettered(queues: Queues) -> None:
    """A copy with a reason would exceed the limit."""
    limit = queues.broker.options.max_message_bytes
    body = b"x" * (limit - 128)

    queues.send(REQUESTS, message(body))

    [dead_letter] = queues.dead_letters()
    assert dead_letter["body"] == body
    assert queues.broker.queue(REJECTED).active == 0


def test_reason_is_reduced_to_fit_the_size_limit(queues: Queues) -> None:
    """The description is dropped, never part of the body."""
    body = b"x" * (queues.broker.options.max_message_bytes - 600)

    queues.send(REQUESTS, message(body, message_id="m-1"))

    [rejected] = queues.rejected()
    assert rejected["body"] == body
    assert rejected["properties"]["reason"] == "InvalidRequest"


FAILURES = [
    pytest.param({"status": 500}, id="500"),
    pytest.param({"status": 503, "html": True}, id="not a response of DPS"),
    pytest.param({"resetBefore": True}, id="reset"),
    pytest.param({"halfAnswer": True}, id="incomplete response"),  # after the change was applied
]


@pytest.mark.parametrize("do", FAILURES)
def test_transient_failure_is_retried_in_the_same_invocation(
    queues: Queues, queue_dps: Dps, do: Any
) -> None:
    """The message is delivered once."""
    queue_dps.faults(bulk_fault(times=1) | {"do": do})

    queues.request(request_for(CREATE))

    assert queues.outcomes()[0]["status"] == "succeeded"
    assert queues.broker.statistics.delivered == 1


@pytest.mark.parametrize("do", FAILURES[:3])
@pytest.mark.usefixtures("short_budget")
def test_failing_message_is_postponed(queues: Queues, queue_dps: Dps, do: Any) -> None:
    """A copy is the second attempt; the delivery count is not used for it."""
    queue_dps.faults(bulk_fault() | {"do": do})
    queues.request(
        request_for(CREATE),
        message_id="m-1",
        correlation_id="order-1",
        application_properties={"line": 4},
    )

    [copy] = queues.postponed()

    properties = copy["properties"]
    assert {name: properties[name] for name in ("attempt", "sourceMessageId", "line")} == {
        "attempt": 2,
        "sourceMessageId": "m-1",
        "line": 4,
    }
    assert json.loads(copy["body"]) == request_for(CREATE)
    assert (copy["correlation_id"], copy["delivery_count"]) == ("order-1", 0)
    assert queues.broker.statistics.abandoned == 0

    queue_dps.faults()
    queues.advance(60)
    [result] = queues.results()
    assert (result["event"]["data"]["status"], result["correlation_id"]) == ("succeeded", "order-1")


@pytest.mark.usefixtures("short_budget")
def test_message_is_postponed_while_dps_is_unreachable(
    queues: Queues, configure: Callable[..., None]
) -> None:
    """Also if no connection can be opened."""
    configure(DPS_CONNECTION_STRING=secret_factory.connection_string("127.0.0.1:9"))

    queues.request(request_for(CREATE))

    assert queues.postponed()[0]["properties"]["attempt"] == 2


@pytest.mark.usefixtures("short_budget")
def test_message_is_rejected_after_the_last_attempt(queues: Queues, queue_dps: Dps) -> None:
    """As RetriesExhausted with the last error, after increasing delays."""
    queue_dps.faults(bulk_fault())
    queues.request(request_for(CREATE), message_id="m-1")
    for attempt, (shortest, longest) in [(2, (25, 46)), (3, (55, 91))]:
        [copy] = queues.postponed()
        [peeked] = queues.peek(REQUESTS)
        assert peeked.scheduled_enqueue_time_utc
        delay = peeked.scheduled_enqueue_time_utc - datetime.now(UTC)
        assert copy["properties"]["attempt"] == attempt
        assert shortest < delay.total_seconds() < longest
        queues.advance(longest)

    [rejected], [outcome] = queues.rejected(), queues.outcomes()

    properties = rejected["properties"]
    assert (properties["reason"], properties["errorCode"]) == ("RetriesExhausted", 503009)
    assert (properties["attempt"], properties["sourceMessageId"]) == (3, "m-1")
    assert properties["sourceQueue"] == REQUESTS
    assert "DPS" in properties["description"]
    assert properties["trackingId"] == outcome["trackingId"] == "dps-1"
    assert (outcome["status"], outcome["errorCode"]) == ("rejected", 503009)
    assert json.loads(rejected["body"]) == request_for(CREATE)


@pytest.mark.usefixtures("short_budget")
def test_throttling_is_not_counted_as_attempt(queues: Queues, queue_dps: Dps) -> None:
    """A message may be postponed more often than it is attempted."""
    queue_dps.faults(bulk_fault() | THROTTLED)
    queues.request(request_for(CREATE))
    for _ in range(5):
        assert queues.postponed()[0]["properties"]["attempt"] == 1
        queues.advance(200)
    queues.postponed()

    queues.stack.restart_app()  # its rate limiter has slowed down
    queue_dps.faults()
    queues.drain(1)

    assert queues.outcomes()[0]["status"] == "succeeded"
    assert queues.broker.queue(REJECTED).active == 0


@pytest.mark.usefixtures("short_budget")
def test_waiting_for_a_permit_is_not_counted_as_attempt(
    queues: Queues, configure: Callable[..., None]
) -> None:
    """The app limits its own rate; a message without a permit in time is postponed."""
    configure(DPS_OPERATIONS_PER_MINUTE="1", DPS_PACING_START="1", MESSAGE_BUDGET_SECONDS="0.3")
    updates = [message(request_for(UPDATE, f"dev-{number}")) for number in range(12)]

    queues.send(REQUESTS, *updates)

    queues.wait_until_idle()
    copies = queues.peek(REQUESTS)
    assert len(copies) >= 5
    assert {to_document(copy)["properties"]["attempt"] for copy in copies} == {1}
    assert queues.broker.statistics.abandoned == 0


@pytest.mark.usefixtures("short_budget")
def test_rotated_key_rejects_no_message(
    queues: Queues, configure: Callable[..., None], queue_app: httpx.Client
) -> None:
    """Readiness names the setting; once it is corrected, all messages are applied."""
    correct_value = queues.stack.settings["DPS_CONNECTION_STRING"]
    host = queues.stack.dps.url.removeprefix("http://")
    configure(DPS_CONNECTION_STRING=secret_factory.connection_string(host))
    for number in range(3):
        queues.request(request_for(CREATE, f"dev-{number}"))
    for _ in range(4):
        assert {copy["properties"]["attempt"] for copy in queues.postponed(3)} == {1}
        queues.advance(60)
    queues.postponed(3)

    not_ready = queue_app.get("/health/ready")
    configure(DPS_CONNECTION_STRING=correct_value, ENROLLMENT_REPLY_QUEUES=REPLIES)
    queues.drain(3)

    assert {outcome["status"] for outcome in queues.outcomes(3)} == {"succeeded"}
    assert not_ready.status_code == 503
    assert "DPS_CONNECTION_STRING" in not_ready.json()["faults"][0]["cure"]
    assert queue_app.get("/health/ready").json()["status"] == "ready"


@pytest.mark.parametrize(
    ("invalid", "setting"),
    [
        ({"DPS_CONNECTION_STRING": ""}, "DPS_CONNECTION_STRING, DPS_ENDPOINT"),
        ({"MESSAGE_BUDGET_SECONDS": "soon"}, "MESSAGE_BUDGET_SECONDS"),
        ({"ENROLLMENT_RESULTS_QUEUE": REQUESTS}, "ENROLLMENT_RESULTS_QUEUE"),
    ],
)
def test_message_is_postponed_while_settings_are_invalid(
    queues: Queues,
    configure: Callable[..., None],
    queue_app: httpx.Client,
    invalid: dict[str, str],
    setting: str,
) -> None:
    """No message is lost, and readiness names the settings."""
    configure(**invalid)
    queues.request(request_for(CREATE))
    for _ in range(4):
        assert queues.postponed()[0]["properties"]["attempt"] == 1
        queues.advance(60)
    queues.postponed()
    not_ready = queue_app.get("/health/ready")

    configure(**{**dict.fromkeys(invalid, ""), **queues.stack.settings})
    queues.advance(60)

    assert queues.outcomes()[0]["status"] == "succeeded"
    assert not_ready.json()["faults"][0]["setting"] == setting


@pytest.mark.usefixtures("internal_error")
def test_message_with_an_internal_error_is_dead_lettered(queues: Queues) -> None:
    """After all its deliveries, with its whole body and without a result."""
    queues.request(request_for(CREATE, "bug"), message_id="m-1")
    queues.request(request_for(CREATE, "sound"))

    [dead_letter] = queues.dead_letters()

    assert [outcome["registrationId"] for outcome in queues.outcomes()] == ["sound"]
    assert json.loads(dead_letter["body"]) == request_for(CREATE, "bug")
    assert dead_letter["message_id"] == "m-1"
    assert queues.broker.statistics.abandoned == MAX_DELIVERY_COUNT
    assert queues.broker.queue(REJECTED).active == 0


def test_redelivery_after_an_internal_error_succeeds(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is processed as if it were the first delivery."""
    calls: list[Message] = []

    def fail_once(message: Message) -> RequestItem:
        calls.append(message)
        if len(calls) == 1:
            raise KeyError("bug")
        return read_request(message)

    monkeypatch.setattr("shared.messaging.processor.read_request", fail_once)

    queues.request(request_for(CREATE))

    assert queues.outcomes()[0]["status"] == "succeeded"
    assert queues.broker.statistics.abandoned == 1
