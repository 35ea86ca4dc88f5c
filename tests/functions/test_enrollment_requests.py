"""Queue requests for one record: applied, answered with a result, safe to repeat."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from local.servicebus import QueueCounts
from tests.functions.queue_stack import (
    MISSING_QUEUE,
    REJECTED,
    REPLIES,
    REQUESTS,
    RESULTS,
    Dps,
    Queues,
    message,
    until,
)
from tests.functions.samples import (
    CREATE,
    DELETE,
    UPDATE,
    UPSERT,
    Document,
    bulk_fault,
    enrollment,
    enrollment_with_keys,
    group,
    request_for,
)

RECORDS = [
    pytest.param("enrollment", enrollment, id="enrollment"),
    pytest.param("enrollmentGroup", group, id="group"),
]

EVENT = {"specversion": "1.0", "id": "e-1", "source": "/erp", "type": "shipped"}


def plain(request: Document) -> dict[str, Any]:
    """Returns the message of a plain request."""
    return {"body": request}


def structured(request: Document) -> dict[str, Any]:
    """Returns the message of a request in a structured CloudEvent."""
    return {"body": {**EVENT, "data": request}, "content_type": "application/cloudevents+json"}


def binary(request: Document) -> dict[str, Any]:
    """Returns the message of a request with a CloudEvent in its properties."""
    properties = {f"cloudEvents:{name}": value for name, value in EVENT.items()}
    return {
        "body": request,
        "application_properties": properties,
        "content_type": "application/json",
    }


@pytest.mark.parametrize("form", [plain, structured, binary])
@pytest.mark.parametrize(("member", "record"), RECORDS)
def test_record_is_created_updated_and_deleted(
    queues: Queues, queue_dps: Dps, member: str, record: Any, form: Any
) -> None:
    """By requests of every form: plain, structured and binary events."""
    steps = [
        ({"operation": CREATE, member: record(provisioningStatus="disabled")}, "disabled"),
        ({"operation": UPDATE, member: record(provisioningStatus="enabled")}, "enabled"),
        ({"operation": UPSERT, member: record(provisioningStatus="disabled")}, "disabled"),
        ({"operation": DELETE, member: record()}, None),
    ]
    for number, (request, status) in enumerate(steps, start=1):
        queues.request(**form(request), message_id=f"m-{number}")

        outcome = queues.outcomes(number)[-1]
        stored = queue_dps.get(record())

        assert (outcome["operation"], outcome["status"]) == (request["operation"], "succeeded")
        assert (stored and stored["provisioningStatus"]) == status


@pytest.mark.parametrize(("member", "record"), RECORDS)
@pytest.mark.parametrize("is_quoted", [False, True], ids=["raw", "quoted"])
def test_request_with_the_current_etag_succeeds(
    queues: Queues, queue_dps: Dps, member: str, record: Any, is_quoted: bool
) -> None:
    """An update and a delete with `ifMatch`, with or without quotes."""

    def formatted(etag: str) -> str:
        return f'"{etag}"' if is_quoted else etag

    etag = queue_dps.put(record())["etag"]
    changed = record(provisioningStatus="disabled")
    queues.request({"operation": UPDATE, member: changed, "ifMatch": formatted(etag)})
    assert queues.outcomes(1)[0]["status"] == "succeeded"
    stored = queue_dps.stored(record())
    assert stored["provisioningStatus"] == "disabled"

    queues.request({"operation": DELETE, member: record(), "ifMatch": formatted(stored["etag"])})
    assert queues.outcomes(2)[1]["status"] == "succeeded"
    assert queue_dps.get(record()) is None


ANY_CASE = {
    "RegistrationId": "dev-1",
    "ATTESTATION": {"Type": "SymmetricKey"},
    "provisioningstatus": "Disabled",
    "AllocationPolicy": "GeoLatency",
    "initialTwin": {"tags": {"ProvisioningStatus": "Enabled"}},
}
WRITTEN = {
    "provisioningStatus": "disabled",
    "allocationPolicy": "geoLatency",
    "initialTwin": {"tags": {"ProvisioningStatus": "Enabled"}},
}


@pytest.mark.parametrize("form", [plain, structured, binary])
def test_names_and_values_may_be_in_any_case(queues: Queues, queue_dps: Dps, form: Any) -> None:
    """Those of the request and of its record, which is written in DPS's spelling."""
    etag = queue_dps.put(enrollment())["etag"]
    queues.request(**form({"Operation": "UPDATE", "IfMatch": etag, "Enrollment": ANY_CASE}))
    outcome = queues.outcomes(1)[0]
    stored = queue_dps.stored(enrollment())

    assert (outcome["operation"], outcome["status"]) == ("update", "succeeded")
    assert {name: stored[name] for name in WRITTEN} == WRITTEN
    assert len(set(map(str.lower, stored))) == len(stored)

    queues.request(**form({"operation": "Delete", "registrationID": "dev-1"}))

    assert queues.outcomes(2)[1]["registrationId"] == "dev-1"
    assert queue_dps.get(enrollment()) is None


def test_no_fault_of_a_request_hides_another(queues: Queues) -> None:
    """The result has all of them, and identifies the record; the description is in sentences."""
    queues.request(
        b'{"operation": "creat", "operation": "Creates", "enrollment": {"RegistrationId": "dev-1",'
        b' "attestation": {"type": "symmetricKey", "type": "none"}, "iotHubs": ["h"], "ETag": 1,'
        b' "etag": 1, "reprovisionPolicies": {}, "capability": {}, "capabilites": {}}}'
    )

    outcome = queues.outcomes()[0]
    properties = queues.rejected()[0]["properties"]

    assert outcome["registrationId"] == "dev-1"
    assert outcome["info"] == {
        "/operation": "must not appear more than once",
        "/enrollment/attestation/type": "must not appear more than once",
        "/enrollment/allocationPolicy": "is required when iotHubs are specified",
        "/enrollment/ETag": "must not appear beside etag, which is the same member in another case",
        "/enrollment/capabilites": "is not a member here; did you mean 'capabilities'?",
    }
    assert properties["description"] == (
        "The request is not valid. /operation must not appear more than once. "
        "/enrollment/attestation/type must not appear more than once. "
        "/enrollment/allocationPolicy is required when iotHubs are specified. "
        "/enrollment/ETag must not appear beside etag, which is the same member in another case. "
        "/enrollment/capabilites is not a member here; did you mean 'capabilities'?"
    )


def test_upsert_creates_a_record(queues: Queues, queue_dps: Dps) -> None:
    """If it does not exist."""
    queues.request(request_for(UPSERT))

    queues.results()

    assert queue_dps.get(enrollment())


def test_result_identifies_its_request(queues: Queues) -> None:
    """By the record, by the correlation id, and with its own id."""
    queues.request(request_for(CREATE), message_id="erp-4711", correlation_id="order-1")

    [result] = queues.results()

    event = result["event"]
    assert (result["subject"], event["subject"]) == ("dev-1", "dev-1")
    assert result["correlation_id"] == "order-1"
    assert result["message_id"] == event["id"] == str(UUID(event["id"]))
    assert result["content_type"].startswith("application/cloudevents+json")
    assert event["source"] == "/queues/enrollment-requests"
    assert event["data"] == {
        "operation": "create",
        "status": "succeeded",
        "registrationId": "dev-1",
    }


def test_result_has_the_etag_if_dps_returns_it(queues: Queues, queue_dps: Dps) -> None:
    """A single write returns the record, a bulk call does not."""
    queue_dps.put(enrollment())

    queues.request(request_for(UPDATE))

    [outcome] = queues.outcomes()
    assert outcome["etag"] == queue_dps.stored(enrollment())["etag"]


def test_unknown_properties_are_ignored(queues: Queues, queue_dps: Dps) -> None:
    """The body is UTF-8; other application properties have no meaning."""
    body = json.dumps(
        request_for(CREATE, initialTwin={"tags": {"größe": 1}}), ensure_ascii=False
    ).encode()
    properties = {"plant": "graz", "line": 4}
    queues.send(
        "enrollment-requests", message(body, subject="x", application_properties=properties)
    )

    queues.results()

    assert queue_dps.stored(enrollment())["initialTwin"]["tags"] == {"größe": 1}


def test_message_is_logged(queues: Queues, caplog: pytest.LogCaptureFixture) -> None:
    """In its own invocation, with the request id of the DPS call."""
    queues.request(request_for(CREATE), message_id="erp-4711")
    queues.results()

    [line] = [line for line in caplog.messages if line.startswith("message 'erp-4711'")]
    assert "Succeeded" in line
    assert "DPS call" in line


def test_result_goes_to_the_reply_queue(queues: Queues) -> None:
    """If the settings allow it, and only there."""
    queues.request(request_for(CREATE), reply_to=REPLIES)

    assert queues.outcomes(queue=REPLIES)[0]["status"] == "succeeded"
    assert queues.broker.queue(RESULTS) == QueueCounts()


def test_result_of_a_rejection_goes_to_the_reply_queue(queues: Queues) -> None:
    """The outcome makes no difference."""
    queues.request(b"nonsense", reply_to=REPLIES)

    assert queues.outcomes(queue=REPLIES)[0]["status"] == "rejected"


def test_reply_queue_must_be_allowed(
    queues: Queues, queue_dps: Dps, caplog: pytest.LogCaptureFixture
) -> None:
    """The result goes to the results queue, with a warning."""
    queues.request(request_for(CREATE), message_id="m-1", reply_to="erp-secrets")

    assert queues.outcomes()[0]["status"] == "succeeded"
    warning = "reply_to of message 'm-1' is not one of ENROLLMENT_REPLY_QUEUES"
    assert _warnings(caplog) == [warning]
    assert queue_dps.calls == ["enrollments.bulk"]


def test_missing_reply_queue_is_replaced_by_the_results_queue(
    queues: Queues, queue_dps: Dps, caplog: pytest.LogCaptureFixture
) -> None:
    """The operation is applied once."""
    queues.request(request_for(CREATE), reply_to=MISSING_QUEUE)

    assert queues.outcomes()[0]["status"] == "succeeded"
    assert queue_dps.calls == ["enrollments.bulk"]
    assert [MISSING_QUEUE in line for line in _warnings(caplog)] == [True]


def test_results_queue_is_optional(
    queues: Queues,
    configure: Callable[..., None],
    queue_dps: Dps,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without it there are no results and no warnings."""
    configure(ENROLLMENT_RESULTS_QUEUE="")

    queues.request(request_for(CREATE), message_id="m-1")
    queues.request(b"nonsense", message_id="m-2")

    assert queues.rejected()[0]["properties"]["sourceMessageId"] == "m-2"
    queues.wait_until_idle()
    assert queue_dps.get(enrollment())
    assert queues.broker.queue(RESULTS) == QueueCounts()
    assert _warnings(caplog) == []


def test_missing_results_queue_repeats_no_operation(
    queues: Queues,
    configure: Callable[..., None],
    queue_dps: Dps,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The message is completed, with a warning; its result is postponed."""
    configure(ENROLLMENT_RESULTS_QUEUE=MISSING_QUEUE)

    queues.request(request_for(CREATE))
    queues.wait_until_completed(1)

    queues.postponed()
    assert queue_dps.calls == ["enrollments.bulk"]
    assert queues.broker.statistics.delivered == 1
    assert [MISSING_QUEUE in line for line in _warnings(caplog)] == [True]


TRACE = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "Diagnostic-Id": "|a000b421-5d183ab6.1.8e2d4c28_1.",
}


def test_result_has_the_trace_of_the_request(queues: Queues) -> None:
    """The properties by which Azure's SDKs correlate, and no other of the request."""
    queues.request(
        request_for(CREATE),
        application_properties=TRACE | {"plant": "graz", "Diagnostic-ID": "other"},
    )
    queues.request(b"nonsense", application_properties={"traceparent": f"{TRACE} ", "a": 1})

    by_status = {r["event"]["data"]["status"]: r["properties"] for r in queues.results(2)}
    assert by_status == {"succeeded": TRACE, "rejected": {}}


def test_senders_property_is_not_taken_for_the_apps(
    queues: Queues, queue_app: httpx.Client
) -> None:
    """The request is not repeated, its result and its rejected copy have its own ids."""
    own = {
        "sourceMessageId": "erp-1",
        "sourceQueue": "bulk-operations",
        "enqueuedTimeUtc": "noon",
        "attempt": 31,
        "reason": "restock",
        "errorCode": 7,
        "copyId": "rescheduled-bulk-operations-1",
    }
    queues.request(request_for(DELETE), message_id="m-1", application_properties=own)
    [rejected], [result] = queues.rejected(), queues.results()

    queue_app.post("/rejected/replay", json={"reason": "DpsNotFound"}).raise_for_status()
    again = queues.results(2)[1]

    # The delete of a missing record is only a success if an earlier attempt may have deleted it.
    assert (result["correlation_id"], result["event"]["data"]["status"]) == ("m-1", "rejected")
    assert datetime.fromisoformat(rejected["properties"].pop("enqueuedTimeUtc")).tzinfo
    assert (
        rejected["properties"].items()
        >= {
            "sourceMessageId": "m-1",
            "sourceQueue": REQUESTS,
            "attempt": 1,
            "errorCode": 404201,
        }.items()
    )
    assert (again["correlation_id"], again["event"]["data"]["status"]) == ("m-1", "succeeded")
    assert again["event"]["source"] == f"/queues/{REQUESTS}"


def test_copy_of_an_earlier_version_is_a_copy(queues: Queues) -> None:
    """It has no `copyId`: its message id shows it."""
    queues.request(
        request_for(DELETE),
        message_id="rescheduled-enrollment-requests-7",
        application_properties={"sourceMessageId": "m-1", "attempt": 2},
    )

    [result] = queues.results()

    assert (result["correlation_id"], result["event"]["data"]["status"]) == ("m-1", "succeeded")


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelname == "WARNING" and record.name.startswith("shared.messaging.")
    ]


CHANGED = {"provisioningStatus": "disabled"}


def create(_: Dps) -> Document:
    """Of a record that does not exist."""
    return request_for(CREATE, **CHANGED)


def create_with_keys(_: Dps) -> Document:
    """DPS does not return keys when the record is read."""
    return {"operation": CREATE, "enrollment": enrollment_with_keys()}


def create_group(_: Dps) -> Document:
    """Of a group that does not exist."""
    return {"operation": CREATE, "enrollmentGroup": group()}


def update(dps: Dps) -> Document:
    """With the current etag, which changes."""
    return request_for(UPDATE, **CHANGED) | {"ifMatch": dps.put(enrollment())["etag"]}


def update_with_keys(dps: Dps) -> Document:
    """With keys, it goes as a bulk call."""
    etag = dps.put(enrollment())["etag"]
    return {"operation": UPDATE, "enrollment": enrollment_with_keys(**CHANGED), "ifMatch": etag}


def upsert(dps: Dps) -> Document:
    """Of a record that exists."""
    dps.put(enrollment())
    return request_for(UPSERT, **CHANGED)


def delete(dps: Dps) -> Document:
    """Without an etag."""
    dps.put(enrollment())
    return request_for(DELETE)


def delete_by_etag(dps: Dps) -> Document:
    """With the current etag."""
    return request_for(DELETE) | {"ifMatch": dps.put(enrollment())["etag"]}


@pytest.mark.parametrize(
    "prepare",
    [
        create,
        create_with_keys,
        create_group,
        update,
        update_with_keys,
        upsert,
        delete,
        delete_by_etag,
    ],
)
def test_redelivered_message_succeeds_again(
    queues: Queues, queue_dps: Dps, prepare: Callable[[Dps], Document]
) -> None:
    """Both results have the same id, so that duplicate detection keeps one."""
    request = prepare(queue_dps)

    queues.deliver_twice(request)

    first, second = queues.results(2)
    assert {first["event"]["data"]["status"], second["event"]["data"]["status"]} == {"succeeded"}
    assert first["message_id"] == second["message_id"]


@pytest.mark.parametrize("prepare", [create, create_with_keys, update, update_with_keys])
def test_redelivery_after_another_writer_has_an_unknown_outcome(
    queues: Queues, queue_dps: Dps, prepare: Callable[[Dps], Document]
) -> None:
    """A record written between the two deliveries does not show whether the first was applied."""
    request = prepare(queue_dps)
    other = enrollment(deviceId="other")

    queues.deliver_twice(request, between=lambda: queue_dps.put(other, if_match="*"))

    first, second = queues.outcomes(2)
    assert (first["status"], second["status"]) == ("succeeded", "rejected")
    [rejected] = queues.rejected()
    assert rejected["properties"]["reason"] == "OutcomeUnknown"
    assert (rejected["properties"]["errorCode"], second["errorCode"]) == (503004, 503004)
    assert queue_dps.stored(enrollment())["deviceId"] == "other"


@pytest.mark.parametrize(("operation", "code"), [(CREATE, 409201), (DELETE, 412001)])
def test_redelivery_is_refused_for_a_record_older_than_the_message(
    queues: Queues, queue_dps: Dps, operation: str, code: int
) -> None:
    """No delivery can have been applied before such a record was written."""
    old = queue_dps.put(enrollment(deviceId="other"))
    queue_dps.put(enrollment(deviceId="other"), if_match=old["etag"])
    stale = {} if operation == CREATE else {"ifMatch": old["etag"]}

    queues.deliver_twice(request_for(operation) | stale)

    assert [outcome["errorCode"] for outcome in queues.outcomes(2)] == [code, code]


@pytest.mark.parametrize("operation", [CREATE, UPSERT, UPDATE])
def test_redelivery_keeps_the_keys_of_a_device(
    queues: Queues, queue_dps: Dps, operation: str
) -> None:
    """The message has none, and the keys that DPS created must not change."""
    keys = []
    if operation != CREATE:
        queue_dps.put(enrollment())
        keys.append(queue_dps.keys(enrollment()))

    queues.deliver_twice(
        request_for(operation, **CHANGED), between=lambda: keys.append(queue_dps.keys(enrollment()))
    )

    queues.results(2)
    assert all(queue_dps.keys(enrollment()) == before for before in keys)


def test_lost_response_is_no_conflict(queues: Queues, queue_dps: Dps) -> None:
    """The record is compared with the request, in the same invocation."""
    queue_dps.faults(bulk_fault(times=1) | {"do": {"resetAfterCommit": True}})

    queues.request(request_for(CREATE))

    assert queues.outcomes()[0]["status"] == "succeeded"
    assert queues.broker.statistics.delivered == 1


@pytest.mark.usefixtures("short_budget")
def test_retry_after_a_lost_response_is_no_conflict(queues: Queues, queue_dps: Dps) -> None:
    """The first attempt created the record but could not read it afterwards."""
    lost = {"do": {"resetAfterCommit": True}}
    unreadable = {"match": {"method": "GET"}, "do": {"status": 401}}
    queue_dps.faults(bulk_fault(times=1) | lost, bulk_fault(503), unreadable)
    queues.request(request_for(CREATE))
    queues.postponed()

    queue_dps.faults()
    queues.advance(60)

    assert queues.outcomes()[0]["status"] == "succeeded"
    assert queue_dps.get(enrollment())


def test_duplicate_message_is_applied_once(queues: Queues) -> None:
    """By the queue's duplicate detection, which does not affect the app's copies."""
    for _ in range(2):
        queues.request(request_for(CREATE), message_id="erp-4711")
    queues.send(REQUESTS, message(request_for(CREATE, "dev-2"), message_id="erp-4712"))

    subjects = {result["subject"] for result in queues.results(2)}

    assert subjects == {"dev-1", "dev-2"}
    assert queues.broker.statistics.duplicates == 1


@pytest.mark.parametrize("number", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_concurrent_requests_share_bulk_calls(
    queues: Queues, queue_dps: Dps, configure: Callable[..., None], number: int
) -> None:
    """Each message has its own outcome, and an invalid one is rejected alone."""
    configure(DPS_OPERATIONS_PER_MINUTE="300", DPS_PACING_START="300")
    queue_dps.configure("latency", {"bulkMs": 400})
    messages = [message(request_for(CREATE, f"dev-{position}")) for position in range(number)]
    messages.insert(number // 2, message(b"invalid", message_id="invalid"))

    queues.send(REQUESTS, *messages)
    # At five calls per second, 1,000 messages take 20 seconds.
    until(lambda: queues.broker.queue(RESULTS).active > number, timeout=120)

    results = queues.outcomes(number + 1)
    assert Counter(outcome["status"] for outcome in results) == {"succeeded": number, "rejected": 1}
    assert queues.rejected()[0]["properties"]["sourceMessageId"] == "invalid"
    stats = queue_dps.stats
    assert stats["records"]["enrollments"] == number
    assert stats["calls"] <= number / 5
    assert queues.broker.statistics.delivered == number + 1


@pytest.mark.parametrize("number", [60, pytest.param(400, marks=pytest.mark.long)])
def test_backlog_above_the_quota_is_applied(
    queues: Queues, queue_dps: Dps, configure: Callable[..., None], number: int
) -> None:
    """
    No message is rejected and no attempt is counted.

    A message has half a second here, in which DPS accepts ten.
    """
    configure(
        MESSAGE_BUDGET_SECONDS="0.5", DPS_OPERATIONS_PER_MINUTE="1000", DPS_PACING_START="1000"
    )
    queue_dps.configure(
        "throttle",
        {"enabled": True, "operationsPerMinute": 1200, "burst": 10, "count": "items"},
    )
    queues.send(REQUESTS, *(message(request_for(CREATE, f"dev-{id}")) for id in range(number)))

    attempts = queues.drain(number)

    assert {outcome["status"] for outcome in queues.outcomes(number)} == {"succeeded"}
    stats = queue_dps.stats
    assert stats["records"]["enrollments"] == number
    assert stats["byStatus"]["429"] > 0
    assert attempts == {1}
    assert queues.broker.queue(REJECTED).active == 0
    assert queues.broker.statistics.abandoned == 0
