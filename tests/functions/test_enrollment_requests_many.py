"""Many messages at once: few calls to DPS, and each message by itself all the same."""

from collections import Counter

import pytest

from tests.functions.queue_messages import data, message
from tests.functions.queue_requests import CREATE, Dps, asked
from tests.functions.queue_stack import REJECTED, REQUESTS, RESULTS, Queues, until


@pytest.mark.parametrize("number", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_creates_that_come_together_share_calls(
    queues: Queues, dps_of_queues: Dps, configure, number: int
):
    """Even on a slow machine; each is done by itself, and one that is poison is parked alone."""
    configure(DPS_OPERATIONS_PER_MINUTE="300", DPS_PACING_START="300")
    dps_of_queues.order("latency", {"bulkMs": 400})
    messages = [message(asked(CREATE, f"dev-{position}")) for position in range(number)]
    messages.insert(number // 2, message(b"poison", message_id="poison"))

    queues.send(REQUESTS, *messages)
    # At five calls a second a thousand take twenty.
    until(lambda: queues.broker.queue(RESULTS).active > number, within=120)

    results = data(queues.results(number + 1))
    assert Counter(told["status"] for told in results) == {"succeeded": number, "rejected": 1}
    assert queues.parked()[0]["properties"]["sourceMessageId"] == "poison"
    stats = dps_of_queues.stats
    assert stats["records"]["enrollments"] == number
    assert stats["calls"] <= number / 5
    assert queues.broker.statistics.delivered == number + 1


@pytest.mark.parametrize("number", [60, pytest.param(400, marks=pytest.mark.long)])
def test_backlog_of_many_times_the_quota_is_done_in_the_end(
    queues: Queues, dps_of_queues: Dps, configure, number: int
):
    """
    Though no message has time to wait for it, nothing is rejected and no attempt is counted.

    A minute here has half a second: that is the budget of a message, in which DPS takes ten.
    """
    configure(
        MESSAGE_BUDGET_SECONDS="0.5", DPS_OPERATIONS_PER_MINUTE="1000", DPS_PACING_START="1000"
    )
    dps_of_queues.order(
        "throttle",
        {"enabled": True, "operationsPerMinute": 1200, "burst": 10, "count": "items"},
    )
    queues.send(REQUESTS, *(message(asked(CREATE, f"dev-{id}")) for id in range(number)))

    attempts = queues.work_off(number)

    assert {told["status"] for told in data(queues.results(number))} == {"succeeded"}
    stats = dps_of_queues.stats
    assert stats["records"]["enrollments"] == number
    assert stats["byStatus"]["429"] > 0
    assert attempts == {1}
    assert queues.broker.queue(REJECTED).active == 0
    assert queues.broker.statistics.abandoned == 0
