"""Where results go, and that an operation is never repeated for one."""

import pytest

from local.servicebus import QueueCounts, Step
from local.servicebus.amqp.errors import Condition
from tests.functions.queue_messages import data
from tests.functions.queue_requests import CREATE, Dps, asked, enrollment
from tests.functions.queue_stack import NO_QUEUE, REJECTED, REPLIES, REQUESTS, RESULTS, Queues
from tests.local.servicebus.handlers import leaves_sockets


@pytest.mark.parametrize(
    "address", [REPLIES, REPLIES.upper(), f"sb://contoso.servicebus.windows.net/{REPLIES}"]
)
def test_result_goes_where_the_request_says(queues: Queues, address: str):
    """To a queue that the settings allow, and to no other."""
    queues.request(asked(CREATE), reply_to=address)

    assert data(queues.results(queue=REPLIES))[0]["status"] == "succeeded"
    assert queues.broker.queue(RESULTS) == QueueCounts()


def test_rejection_goes_there_too(queues: Queues):
    """Whoever asked is told, whatever became of it."""
    queues.request(b"nonsense", reply_to=REPLIES)

    assert data(queues.results(queue=REPLIES))[0]["status"] == "rejected"


@pytest.mark.parametrize("address", ["erp-secrets", REQUESTS, "bulk-operations", REJECTED])
def test_queue_that_is_not_allowed_gets_nothing(
    queues: Queues, dps_of_queues: Dps, caplog, address: str
):
    """Nor do the app's own, even if they are named: the result goes with the others, with a warning."""
    queues.request(asked(CREATE), message_id="m-1", reply_to=address)

    assert data(queues.results())[0]["status"] == "succeeded"
    told = "reply_to of message 'm-1' is no queue of ENROLLMENT_REPLY_QUEUES"
    assert _warnings(caplog) == [told]
    assert dps_of_queues.calls == ["enrollments.bulk"]


def test_reply_queue_that_is_missing_gets_nothing(queues: Queues, dps_of_queues: Dps, caplog):
    """The operation is done once, and its result goes with the others."""
    queues.request(asked(CREATE), reply_to=NO_QUEUE)

    assert data(queues.results())[0]["status"] == "succeeded"
    assert dps_of_queues.calls == ["enrollments.bulk"]
    assert [NO_QUEUE in line for line in _warnings(caplog)] == [True]


def test_nobody_is_told_without_a_results_queue(
    queues: Queues, configure, dps_of_queues: Dps, caplog
):
    """That is no fault."""
    configure(ENROLLMENT_RESULTS_QUEUE="")

    queues.request(asked(CREATE), message_id="m-1")
    queues.request(b"nonsense", message_id="m-2")

    assert queues.parked()[0]["properties"]["sourceMessageId"] == "m-2"
    queues.wait_until_handled()
    assert dps_of_queues.get(enrollment())
    assert queues.broker.queue(RESULTS) == QueueCounts()
    assert _warnings(caplog) == []


def test_reply_needs_no_results_queue(queues: Queues, configure):
    """Who names a queue that is allowed is told."""
    configure(ENROLLMENT_RESULTS_QUEUE="")

    queues.request(asked(CREATE), reply_to=REPLIES)

    assert len(queues.results(queue=REPLIES)) == 1


def test_results_queue_that_is_missing_repeats_nothing(
    queues: Queues, configure, dps_of_queues: Dps, caplog
):
    """The message is completed all the same, and the log warns."""
    configure(ENROLLMENT_RESULTS_QUEUE=NO_QUEUE)

    queues.request(asked(CREATE))
    queues.wait_until_done(1)

    assert dps_of_queues.calls == ["enrollments.bulk"]
    assert queues.broker.statistics.delivered == 1
    assert [NO_QUEUE in line for line in _warnings(caplog)] == [True]


@leaves_sockets
@pytest.mark.parametrize(
    "condition", [Condition.RESOURCE_LIMIT_EXCEEDED, "amqp:unauthorized-access"]
)
def test_results_queue_that_refuses_repeats_nothing(
    queues: Queues, dps_of_queues: Dps, caplog, condition: str
):
    """Whether it is full, or not ours to send to."""
    queues.broker.refuse(Step.SEND, condition, times=100, queue=RESULTS)

    queues.request(asked(CREATE))
    queues.wait_until_done(1)

    assert dps_of_queues.calls == ["enrollments.bulk"]
    assert queues.broker.statistics.delivered == 1
    assert [RESULTS in line for line in _warnings(caplog)] == [True]


def _warnings(caplog) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelname == "WARNING" and record.name.startswith("functions.")
    ]
