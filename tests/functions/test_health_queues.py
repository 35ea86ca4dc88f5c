"""Readiness of the queues: each that the app cannot use is named, with its remedy."""

import socket
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

import httpx
import pytest

from functions import runtime
from local.dps import DpsStandIn
from local.servicebus import Broker, BrokerOptions, QueueCounts, QueueOptions, Step
from local.threads import in_thread
from shared.messaging.queue_access import find_queue_errors
from shared.readiness import Readiness
from tests import secret_factory
from tests.functions.queue_stack import (
    BULK,
    MISSING_QUEUE,
    REJECTED,
    REPLIES,
    REQUESTS,
    RESULTS,
    Queues,
    message,
)

UNAUTHORIZED = "amqp:unauthorized-access"
WITH_SESSIONS = "with-sessions"
NETWORK = ("host", "proxy", "firewall", "private endpoint", "IP filter")
ENABLED = {"AzureWebJobs.enrollment_requests.Disabled": "false"}


class MessagingWithShortChecks(runtime.Messaging):
    """Messaging that waits two seconds for the queues when it checks them."""

    @cached_property
    def readiness(self) -> Readiness:
        """Whether the app can use its queues."""
        return Readiness(partial(find_queue_errors, self.settings, timeout=2))


@pytest.fixture
def short_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app does not wait long for queues that do not respond."""
    monkeypatch.setattr(runtime.messaging, "create", MessagingWithShortChecks)


@pytest.fixture
def queue_faults(
    queue_app: httpx.Client, configure: Callable[..., None]
) -> Callable[..., list[dict[str, Any]]]:
    """Restarts the app with these settings; returns the faults of `GET health/ready`."""

    def get(**settings: str) -> list[dict[str, Any]]:
        configure(**{"ENROLLMENT_REPLY_QUEUES": REPLIES, **settings})
        response = queue_app.get("/health/ready")
        faults: list[dict[str, Any]] = response.json().get("faults", [])
        assert response.status_code == (503 if faults else 200)
        return faults

    return get


def test_app_with_all_queues_is_ready(queue_faults: Callable[..., Any]) -> None:
    """No queue has a fault."""
    assert queue_faults() == []


def test_check_takes_no_message(queue_faults: Callable[..., Any], queues: Queues) -> None:
    """No message is received, locked or counted as a delivery."""
    for queue in (RESULTS, REPLIES, REJECTED):
        queues.send(queue, message({}))

    assert queue_faults() == []

    for queue in (RESULTS, REPLIES, REJECTED):
        assert queues.broker.queue(queue) == QueueCounts(active=1)
        assert [copy.delivery_count for copy in queues.peek(queue)] == [0]
    assert queues.broker.statistics.delivered == 0


@pytest.mark.parametrize(
    ("setting", "needed"),
    [
        ("ENROLLMENT_REQUESTS_QUEUE", "receive from it and send to it"),
        ("BULK_OPERATIONS_QUEUE", "receive from it and send to it"),
        ("ENROLLMENT_REJECTED_QUEUE", "receive from it and send to it"),
        ("ENROLLMENT_RESULTS_QUEUE", "send to it"),
        ("ENROLLMENT_REPLY_QUEUES", "send to it"),
    ],
)
def test_missing_queue_is_named(
    queue_faults: Callable[..., Any], setting: str, needed: str
) -> None:
    """With what the app has to do with it."""
    [fault] = queue_faults(**{setting: MISSING_QUEUE})

    assert fault == {
        "errorCode": 502005,
        "fault": f"The queue {MISSING_QUEUE} does not exist. The app has to {needed}.",
        "cure": "Create the queue, or correct the setting that names it.",
    }


@pytest.mark.parametrize(
    "setting",
    ["ENROLLMENT_REQUESTS_QUEUE", "ENROLLMENT_REJECTED_QUEUE", "ENROLLMENT_RESULTS_QUEUE"],
)
def test_queue_with_sessions_is_named(
    queue_faults: Callable[..., Any], queues: Queues, setting: str
) -> None:
    """Also one that the app only sends to."""
    if WITH_SESSIONS not in queues.broker.queues:
        queues.broker.add_queue(WITH_SESSIONS, QueueOptions(requires_session=True))

    [fault] = queue_faults(**{setting: WITH_SESSIONS})

    assert WITH_SESSIONS in fault["fault"]
    assert "must not require sessions" in fault["fault"]
    assert "without sessions" in fault["cure"]


@pytest.mark.parametrize("queue", [REQUESTS, BULK, REJECTED, RESULTS, REPLIES])
def test_queue_that_is_closed_to_the_app_is_named(
    queue_faults: Callable[..., Any], queues: Queues, queue: str
) -> None:
    """With the roles and rights that the app needs."""
    # One for its sender, one for its receiver.
    queues.broker.refuse(Step.ATTACH, UNAUTHORIZED, queue=queue, times=2)

    [fault] = queue_faults()

    assert f"required right on the queue {queue}" in fault["fault"]
    assert "Azure Service Bus Data Receiver" in fault["cure"]
    assert "Send" in fault["cure"]


@pytest.mark.usefixtures("short_checks")
@pytest.mark.parametrize("step", [Step.TOKEN, Step.ATTACH])
def test_queue_without_an_answer_is_named(
    queue_faults: Callable[..., Any], queues: Queues, step: Step
) -> None:
    """Service Bus accepts the connection, and answers for all queues but one."""
    queues.broker.ignore(step, queue=RESULTS if step is Step.ATTACH else None, times=1)

    [fault] = queue_faults()

    assert fault["errorCode"] == 503008
    assert "Service Bus did not respond in time" in fault["fault"]


def test_every_fault_is_named(queue_faults: Callable[..., Any], dps: DpsStandIn) -> None:
    """Those of DPS, the queues and the policy file together."""
    faults = queue_faults(
        DPS_CONNECTION_STRING=dps.connection_string.replace(str(dps.port), "1"),
        ENROLLMENT_REPLY_QUEUES=f"{REPLIES}, {MISSING_QUEUE}, another",
        ALLOCATION_POLICIES_FILE="missing.json",
    )

    codes = [fault.get("errorCode") for fault in faults]
    assert codes == [503002, 502005, 502005, None]
    assert all(word in faults[0]["cure"] for word in NETWORK)


def test_wrong_key_is_a_fault_of_each_queue(
    app_with: Callable[..., httpx.Client], dps: DpsStandIn
) -> None:
    """With what to check."""
    key = secret_factory.symmetric_key()
    with in_thread(Broker(BrokerOptions(port=0, keys={"app": key}))) as broker:
        text = broker.connection_string.replace(key, secret_factory.symmetric_key())
        settings = {"DPS_CONNECTION_STRING": dps.connection_string, "ServiceBus": text}

        faults = app_with(**settings, **ENABLED).get("/health/ready").json()["faults"]

    assert [fault["fault"].partition(" The app")[0] for fault in faults] == [
        f"Service Bus does not accept the app's credential for the queue {queue}."
        for queue in (REQUESTS, REJECTED)
    ]
    assert "Check the key in `ServiceBus`" in faults[0]["cure"]


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A connection string of a server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        yield (
            f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=a;SharedAccessKey=c2lsZW50;"
            "UseDevelopmentEmulator=true;"
        )


@pytest.mark.usefixtures("short_checks")
def test_silent_service_bus_is_one_fault(
    app_with: Callable[..., httpx.Client], dps: DpsStandIn, silent_server: str
) -> None:
    """It names the queues, and what may be in the way; the app is live meanwhile."""
    app = app_with(DPS_CONNECTION_STRING=dps.connection_string, ServiceBus=silent_server, **ENABLED)

    ready, live = app.get("/health/ready"), app.get("/health/live")

    assert (ready.status_code, live.status_code) == (503, 200)
    [fault] = ready.json()["faults"]
    assert fault["errorCode"] == 503008
    assert f"for the queue {REQUESTS}, {REJECTED}" in fault["fault"]
    assert all(word in fault["cure"] for word in (*NETWORK, "5671"))


def test_connection_string_of_one_queue_is_named(
    app_with: Callable[..., httpx.Client], dps: DpsStandIn, queues: Queues
) -> None:
    """The Functions host receives from no other queue with it."""
    text = f"{queues.broker.connection_string}EntityPath={RESULTS}"
    settings = {"DPS_CONNECTION_STRING": dps.connection_string, "ServiceBus": text}

    response = app_with(**settings, **ENABLED).get("/health/ready")

    [fault] = response.json()["faults"]
    assert fault["setting"] == "ServiceBus"
    assert "Must not have EntityPath" in fault["fault"]


def test_connection_string_of_the_only_queue_is_no_fault(
    app_with: Callable[..., httpx.Client], dps: DpsStandIn, queues: Queues
) -> None:
    """The function of the other queue is disabled."""
    text = f"{queues.broker.connection_string}EntityPath={REQUESTS}"
    settings = {"DPS_CONNECTION_STRING": dps.connection_string, "ServiceBus": text}

    assert app_with(**settings, **ENABLED).get("/health/ready").is_success
