"""Queue messages: their results, rejections, throttling by DPS, and redelivery."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from azure.servicebus import ServiceBusMessage

from local.demo.checks import expect, expect_document, expect_same_record
from local.demo.context import DemoContext
from local.demo.example_messages import (
    REQUESTS,
    SUCCEEDED,
    ExampleMessage,
    MessageItem,
    parse_items,
)
from local.demo.queues import (
    QUEUE_TIMEOUT,
    RESULTS,
    RejectedMessage,
    ResultMessage,
    create_message,
)
from local.demo.steps import CheckFailedError, Client, Step, StepSkippedError
from local.servicebus import Step as BrokerStep
from local.servicebus.amqp.errors import Condition

CONTENT_TYPE = "application/cloudevents+json"
EVENT_TYPE = "EnrollmentFunctions.RequestCompleted"
# The members that a result may have; none can hold a key.
RESULT_MEMBERS = {
    "operation",
    "status",
    "registrationId",
    "enrollmentGroupId",
    "etag",
    "errorCode",
    "message",
    "trackingId",
    "info",
}
_MAX_POINTER_PARTS = 5

BURST = 50
MAX_RECORDS_PER_CALL = 10  # the limit of a bulk call to DPS
# The throttled call holds the first records to arrive; only the others fill whole batches.
MAX_CALLS = BURST // MAX_RECORDS_PER_CALL + 2
LOCK_SECONDS = 60
REDELIVERED_ID = "demo-redelivered"
POSTPONED_ID = "demo-postponed"
_UNTIL_CLEARED = 1_000_000

THROTTLE_FAULT = {
    "match": {"method": "POST", "path": "^/enrollments$"},
    "do": {"status": 429, "headers": {"Retry-After": "1"}},
}


def steps(demo: DemoContext) -> list[Step]:
    """Returns a step per example message, then a full result, a throttled DPS, and a redelivery."""
    examples = [
        Step(Client.QUEUE, message.title, partial(_send_example, demo, message))
        for message in demo.examples.messages
    ]
    return [
        Step(Client.QUEUE, "connect to the queues", partial(_connect, demo)),
        *examples,
        Step(Client.QUEUE, "show the first result", partial(_show_result, demo)),
        Step(
            Client.QUEUE,
            f"{BURST} creates while DPS returns 429",
            partial(_send_while_throttled, demo),
        ),
        Step(Client.QUEUE, "redelivery of a completed create", partial(_redeliver, demo)),
        Step(Client.QUEUE, "create while the results queue is full", partial(_postpone, demo)),
    ]


def _connect(demo: DemoContext) -> str:
    if not demo.examples.messages:
        raise StepSkippedError("there are no example messages")
    *others, last = demo.run(demo.queues.open())
    return f"{', '.join(others)} and {last}"


def _send_example(demo: DemoContext, message: ExampleMessage) -> str:
    return demo.run(_send(demo, message))


async def _send(demo: DemoContext, message: ExampleMessage) -> str:
    """Sends the message; checks its results, its rejected copies and the records in DPS."""
    queue = message.properties.get("reply_to") or RESULTS
    await demo.queues.send(message.queue, create_message(message.body, **message.properties))
    results = await demo.queues.receive_results(
        [message.correlation_id], len(message.expected), queue=queue
    )
    demo.results.extend(results)
    rejected = _rejected_by_id(message, await demo.queues.peek_rejected())
    data = {expect_event(item).get("subject", ""): item.event["data"] for item in results}
    outcomes = {
        id_: item["status"] if item["status"] == SUCCEEDED else _rejection_reason(rejected, id_)
        for id_, item in data.items()
    }
    if outcomes != dict(message.expected):
        raise CheckFailedError(_describe_difference(message, outcomes, data))
    succeeded = [item for item in message.items if outcomes.get(item.id) == SUCCEEDED]
    expect_applied(demo, succeeded)
    prefix = "" if queue == RESULTS else f"in {queue}: "
    return prefix + "; ".join(_describe_outcomes(data, outcomes))


def expect_event(result: ResultMessage) -> Mapping[str, Any]:
    """Checks the format of a result; returns its CloudEvent."""
    event: Mapping[str, Any] = result.event
    expect("content type", result.content_type.partition(";")[0], CONTENT_TYPE)
    expect("specversion and type", (event["specversion"], event["type"]), ("1.0", EVENT_TYPE))
    expect("message_id", result.message_id, event["id"])
    expect("unknown members of a result", sorted(event["data"].keys() - RESULT_MEMBERS), [])
    return event


def expect_applied(demo: DemoContext, items: Sequence[MessageItem]) -> None:
    """Checks that DPS has each record as it was sent, or that it was deleted."""
    for item in items:
        response = demo.http.get(f"{item.path}/{item.id}")
        stored = expect_document(response, 404 if item.is_deleted else 200)
        if not item.is_deleted:
            expect_same_record(item.id, item.record, stored)


def _rejected_by_id(
    message: ExampleMessage, rejected: Sequence[RejectedMessage]
) -> Mapping[str, RejectedMessage]:
    """Returns the rejected copies by record: the unchanged message, or a copy for each record."""
    copies = [copy for copy in rejected if copy.source_message_id == message.message_id]
    if len(message.expected) == 1:
        unchanged = {copy.body for copy in copies} <= {message.body}
        expect("rejected copy unchanged", unchanged, expected=True)
        return {id_: copy for id_ in message.expected for copy in copies}
    by_id: dict[str, RejectedMessage] = {}
    for copy in copies:
        ids = [item.id for item in parse_items(copy.body)]
        by_id[next(iter(ids), "")] = copy
    return by_id


def _rejection_reason(rejected: Mapping[str, RejectedMessage], id_: str) -> str:
    if id_ not in rejected:
        raise CheckFailedError(f"{id_ or 'the message'} has no copy in the rejected queue")
    return rejected[id_].reason


def _describe_outcomes(data: Mapping[str, Any], outcomes: Mapping[str, str]) -> Iterator[str]:
    if succeeded := [id_ for id_ in data if outcomes[id_] == SUCCEEDED]:
        yield f"{', '.join(succeeded)} {SUCCEEDED}"
    for id_, item in data.items():
        if outcomes[id_] != SUCCEEDED:
            # The table shows only the first pointer. A fault of the whole message has none.
            faults = item.get("info", {}).items()
            causes = [_shorten(pointer) or fault.partition(":")[0] for pointer, fault in faults]
            detail = f", {item['errorCode']} {' '.join(causes[:1])}".rstrip()
            yield f"{id_} rejected: {outcomes[id_]}{detail}".lstrip()


def _shorten(pointer: str) -> str:
    """Returns the end of a long pointer, which in full could be masked as a key."""
    parts = pointer.split("/")
    return pointer if len(parts) < _MAX_POINTER_PARTS else "/".join(["...", *parts[-2:]])


def _describe_difference(
    message: ExampleMessage, outcomes: Mapping[str, str], data: Mapping[str, Any]
) -> str:
    """Describes expected and actual outcomes, with every fault."""
    actual = []
    for id_, item in data.items():
        faults = [f"{pointer} {fault};" for pointer, fault in item.get("info", {}).items()]
        parts = [id_, outcomes[id_], str(item.get("message", "")), *faults]
        actual.append(" ".join(filter(None, parts)).rstrip(";"))
    expected = [f"{id_} {outcome}".lstrip() for id_, outcome in message.expected.items()]
    return f"expected {', '.join(expected)}; got {', '.join(actual)}"


def _show_result(demo: DemoContext) -> str:
    results = (item for item in demo.results if item.event["data"]["status"] == SUCCEEDED)
    first = next(results, None)
    if first is None:
        raise StepSkippedError("no message succeeded")
    data = " ".join(f"{name}={value}" for name, value in first.event["data"].items())
    return f"CloudEvent, correlation_id {first.correlation_id}: {data}"


def _send_while_throttled(demo: DemoContext) -> str:
    """Throttles DPS until all messages have arrived, so that all of them are retried."""
    ids = [f"demo-throttled-{number}" for number in range(BURST)]
    calls, throttled = demo.dps_calls(), _throttled_calls(demo)
    _wait_until_queue_is_empty(demo)
    _set_faults(demo, THROTTLE_FAULT)
    try:
        demo.run(demo.queues.send(REQUESTS, *map(_create_request, ids)))
        _wait_until(lambda: demo.broker.queue(REQUESTS).locked == BURST)
    finally:
        _set_faults(demo)
    results = demo.run(demo.queues.receive_results(ids, BURST))
    expect("statuses", {expect_event(item)["data"]["status"] for item in results}, {SUCCEEDED})
    expect("ids", {item.event["subject"] for item in results}, set(ids))
    throttled = _throttled_calls(demo) - throttled
    calls = demo.dps_calls() - calls - throttled
    expect(f"at most {MAX_CALLS} calls", calls <= MAX_CALLS, expected=True)
    expect("throttled calls", throttled > 0, expected=True)
    return f"all succeeded: {calls} calls to DPS, after {throttled} with 429"


def _redeliver(demo: DemoContext) -> str:
    """Applies a create whose completion the broker refuses, so that the message is redelivered."""
    _wait_until_queue_is_empty(demo)
    faults = demo.broker.statistics.faults
    demo.broker.refuse(BrokerStep.REQUEST, Condition.MESSAGE_LOCK_LOST, queue=REQUESTS)
    demo.run(demo.queues.send(REQUESTS, _create_request(REDELIVERED_ID)))
    (first,) = demo.run(demo.queues.receive_results([REDELIVERED_ID]))
    etag = _etag(demo)
    _wait_until(lambda: demo.broker.statistics.faults > faults)
    _let_time_pass(demo, LOCK_SECONDS + 1)
    (second,) = demo.run(demo.queues.receive_results([REDELIVERED_ID]))
    statuses = [expect_event(result)["data"]["status"] for result in (first, second)]
    expect("statuses", statuses, [SUCCEEDED, SUCCEEDED])
    expect("id of the second result", second.message_id, first.message_id)
    expect("etag", _etag(demo), etag)
    return "created once, no conflict; both results have the same id"


def _postpone(demo: DemoContext) -> str:
    """Applies a create whose result the results queue refuses for a while."""
    calls = demo.dps_calls("enrollments.bulk")
    demo.broker.refuse(
        BrokerStep.SEND, Condition.RESOURCE_LIMIT_EXCEEDED, times=_UNTIL_CLEARED, queue=RESULTS
    )
    try:
        demo.run(demo.queues.send(REQUESTS, _create_request(POSTPONED_ID)))
        _wait_until(lambda: demo.broker.queue(REQUESTS).scheduled == 1)
    finally:
        demo.broker.clear_faults()
    _let_time_pass(demo, 2 * LOCK_SECONDS)
    (result,) = demo.run(demo.queues.receive_results([POSTPONED_ID]))
    expect("status", expect_event(result)["data"]["status"], SUCCEEDED)
    expect("calls to DPS", demo.dps_calls("enrollments.bulk") - calls, 1)
    return "created once; the result was postponed and arrived later"


def _let_time_pass(demo: DemoContext, seconds: float) -> None:
    """Makes what is due within these seconds happen now; the broker's clock stays that of the app."""
    demo.broker.advance(seconds)
    demo.broker.advance(-seconds)


def _wait_until_queue_is_empty(demo: DemoContext) -> None:
    """Waits until earlier requests are completed: the faults must hit only the next ones."""
    counts = partial(demo.broker.queue, REQUESTS)
    _wait_until(lambda: not (counts().active or counts().locked))


def _wait_until(condition: Callable[[], bool]) -> None:
    """Polls a condition set by another thread; raises CheckFailedError after the timeout."""
    deadline = time.monotonic() + QUEUE_TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise CheckFailedError(f"the broker did not respond within {QUEUE_TIMEOUT:.0f} s")
        time.sleep(0.01)


def _create_request(id_: str) -> ServiceBusMessage:
    enrollment = {"registrationId": id_, "attestation": {"type": "symmetricKey"}}
    return create_message({"operation": "create", "enrollment": enrollment}, message_id=id_)


def _set_faults(demo: DemoContext, *faults: Any) -> None:
    demo.dps.put("/_faults", json=list(faults)).raise_for_status()


def _throttled_calls(demo: DemoContext) -> int:
    return int(demo.dps_stats()["byStatus"].get("429", 0))


def _etag(demo: DemoContext) -> Any:
    return expect_document(demo.http.get(f"/enrollments/{REDELIVERED_ID}"))["etag"]
