"""Messages that may succeed later: tried again at once, then put off, in the end given up."""

import json
from datetime import UTC, datetime

import pytest

from tests import secret_factory
from tests.functions.queue_messages import data, message, read
from tests.functions.queue_requests import CREATE, UPDATE, Dps, asked, failing
from tests.functions.queue_stack import REJECTED, REQUESTS, Queues

FAILURES = [
    pytest.param({"status": 500}, id="500"),
    pytest.param({"status": 503, "html": True}, id="no answer of DPS's"),
    pytest.param({"resetBefore": True}, id="reset"),
    pytest.param({"halfAnswer": True}, id="half an answer"),  # of what was done
]


@pytest.mark.parametrize("do", FAILURES)
def test_failure_that_passes_is_not_noticed(queues: Queues, dps_of_queues: Dps, do):
    """The same invocation tries again."""
    dps_of_queues.faults(failing(times=1) | {"do": do})

    queues.request(asked(CREATE))

    assert data(queues.results())[0]["status"] == "succeeded"
    assert queues.broker.statistics.delivered == 1


@pytest.mark.parametrize("do", FAILURES[:3])
@pytest.mark.usefixtures("hasty")
def test_message_that_fails_too_long_is_put_off(queues: Queues, dps_of_queues: Dps, do):
    """A copy comes back as the second attempt; the message's deliveries are not spent for it."""
    dps_of_queues.faults(failing() | {"do": do})
    queues.request(
        asked(CREATE),
        message_id="m-1",
        correlation_id="order-1",
        application_properties={"line": 4},
    )

    [copy] = queues.put_off()

    properties = copy["properties"]
    assert {name: properties[name] for name in ("attempt", "sourceMessageId", "line")} == {
        "attempt": 2,
        "sourceMessageId": "m-1",
        "line": 4,
    }
    assert json.loads(copy["body"]) == asked(CREATE)
    assert (copy["correlation_id"], copy["delivery_count"]) == ("order-1", 0)
    assert queues.broker.statistics.abandoned == 0

    dps_of_queues.faults()
    queues.let_pass(60)
    [result] = queues.results()
    assert (result["event"]["data"]["status"], result["correlation_id"]) == ("succeeded", "order-1")


@pytest.mark.usefixtures("hasty")
def test_message_waits_while_dps_cannot_be_reached(queues: Queues, configure):
    """The same where no connection can be made at all."""
    nowhere = secret_factory.connection_string("127.0.0.1:9")
    configure(DPS_CONNECTION_STRING=nowhere)

    queues.request(asked(CREATE))

    assert queues.put_off()[0]["properties"]["attempt"] == 2


@pytest.mark.usefixtures("hasty")
def test_message_that_was_tried_too_often_is_parked(queues: Queues, dps_of_queues: Dps):
    """As RetriesExhausted with its last error, after pauses that grow."""
    dps_of_queues.faults(failing())
    queues.request(asked(CREATE), message_id="m-1")
    for attempt, (least, most) in [(2, (25, 46)), (3, (55, 91))]:
        [copy] = queues.put_off()
        [peeked] = queues.peek(REQUESTS)
        pause = peeked.scheduled_enqueue_time_utc - datetime.now(UTC)
        assert copy["properties"]["attempt"] == attempt
        assert least < pause.total_seconds() < most
        queues.let_pass(most)

    [parked], [told] = queues.parked(), data(queues.results())

    properties = parked["properties"]
    assert (properties["reason"], properties["errorCode"]) == ("RetriesExhausted", 503009)
    assert (properties["attempt"], properties["sourceMessageId"]) == (3, "m-1")
    assert properties["sourceQueue"] == REQUESTS
    assert "DPS" in properties["description"]
    assert properties["trackingId"] == told["trackingId"] == "dps-1"
    assert (told["status"], told["errorCode"]) == ("rejected", 503009)
    assert json.loads(parked["body"]) == asked(CREATE)


@pytest.mark.usefixtures("hasty")
def test_congestion_never_counts(queues: Queues, dps_of_queues: Dps):
    """More often put off than a message is tried, it is done in the end."""
    busy = {"status": 429, "headers": {"Retry-After": "30"}}
    dps_of_queues.faults(failing() | {"do": busy})
    queues.request(asked(CREATE))
    for _ in range(5):
        assert queues.put_off()[0]["properties"]["attempt"] == 1
        queues.let_pass(200)
    queues.put_off()

    queues.stack.restart_app()  # its pacer has learned to wait
    dps_of_queues.faults()
    queues.work_off(1)

    assert data(queues.results())[0]["status"] == "succeeded"
    assert queues.broker.queue(REJECTED).active == 0


@pytest.mark.usefixtures("hasty")
def test_waiting_for_ones_turn_never_counts(queues: Queues, configure):
    """The app itself sends no more than its share; what has no turn comes later, uncounted."""
    configure(DPS_OPERATIONS_PER_MINUTE="1", DPS_PACING_START="1", MESSAGE_BUDGET_SECONDS="0.3")
    updates = [message(asked(UPDATE, f"dev-{number}")) for number in range(12)]

    queues.send(REQUESTS, *updates)

    queues.wait_until_handled()
    waiting = queues.peek(REQUESTS)
    assert len(waiting) >= 5
    assert {read(found)["properties"]["attempt"] for found in waiting} == {1}
    assert queues.broker.statistics.abandoned == 0


@pytest.mark.usefixtures("hasty")
def test_key_that_was_rotated_empties_no_queue(queues: Queues, configure, app_of_queues):
    """Readiness is red and names the setting; once that is mended all that waited is done."""
    right = queues.stack.settings["DPS_CONNECTION_STRING"]
    host = queues.stack.dps.url.removeprefix("http://")
    configure(DPS_CONNECTION_STRING=secret_factory.connection_string(host))
    for number in range(3):
        queues.request(asked(CREATE, f"dev-{number}"))
    for _ in range(4):
        assert {copy["properties"]["attempt"] for copy in queues.put_off(3)} == {1}
        queues.let_pass(60)
    queues.put_off(3)

    red = app_of_queues.get("/health/ready")
    configure(DPS_CONNECTION_STRING=right)
    queues.work_off(3)

    assert {told["status"] for told in data(queues.results(3))} == {"succeeded"}
    assert red.status_code == 503
    assert "DPS_CONNECTION_STRING" in red.json()["faults"][0]["cure"]
    assert app_of_queues.get("/health/ready").json()["status"] == "ready"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"DPS_CONNECTION_STRING": ""}, "DPS_CONNECTION_STRING, DPS_ENDPOINT"),
        ({"MESSAGE_BUDGET_SECONDS": "soon"}, "MESSAGE_BUDGET_SECONDS"),
        ({"ENROLLMENT_RESULTS_QUEUE": REQUESTS}, "ENROLLMENT_RESULTS_QUEUE"),
    ],
)
def test_message_waits_for_settings_to_be_mended(
    queues: Queues, configure, app_of_queues, wrong: dict[str, str], named: str
):
    """An app whose settings are missing or wrong loses nothing, and says which they are."""
    configure(**wrong)
    queues.request(asked(CREATE))
    for _ in range(4):
        assert queues.put_off()[0]["properties"]["attempt"] == 1
        queues.let_pass(60)
    queues.put_off()
    red = app_of_queues.get("/health/ready")

    configure(**{**dict.fromkeys(wrong, ""), **queues.stack.settings})
    queues.let_pass(60)

    assert data(queues.results())[0]["status"] == "succeeded"
    assert red.json()["faults"][0]["setting"] == named
