"""An app without Service Bus: HTTP and the webhook work, and readiness says what is missing."""

import logging

import pytest

from local.dps import DpsStandIn
from local.servicebus import Broker, BrokerOptions, QueueCounts
from local.threads import in_thread
from tests import secret_factory
from tests.functions.allocation_cases import INITIAL
from tests.functions.queue_requests import enrollment
from tests.shared.allocation.asking import HUB_3

SWITCH = "AzureWebJobs.{}.Disabled"
BOTH = ("enrollment_requests", "bulk_operations")
MISSING = "ServiceBus, ServiceBus__fullyQualifiedNamespace"


def switched_on(*names: str) -> dict[str, str]:
    """The settings that switch triggers on again, which `app_with` switches off."""
    return {SWITCH.format(name): "false" for name in names}


def test_routes_work_without_service_bus(app_with, dps: DpsStandIn):
    """And readiness is red for that one reason, with its cure."""
    app = app_with(DPS_CONNECTION_STRING=dps.connection_string, **switched_on(*BOTH))

    assert app.put("/enrollments/dev-1", json=enrollment()).status_code == 200
    ready = app.get("/health/ready")
    assert ready.status_code == 503
    [fault] = ready.json()["faults"]
    assert fault["setting"] == MISSING
    assert "connection string" in fault["fault"]


@pytest.mark.parametrize("name", BOTH)
def test_readiness_asks_for_service_bus_if_one_trigger_is_on(app_with, dps: DpsStandIn, name: str):
    """Either needs it."""
    app = app_with(DPS_CONNECTION_STRING=dps.connection_string, **switched_on(name))

    assert app.get("/health/ready").json()["faults"][0]["setting"] == MISSING


def test_app_without_triggers_needs_no_service_bus(app_with, dps: DpsStandIn):
    """Who has switched both off is ready."""
    assert app_with(DPS_CONNECTION_STRING=dps.connection_string).get("/health/ready").is_success


def test_webhook_works_without_service_bus(with_policies):
    """DPS is told the hub of a device."""
    reply = with_policies().post("/allocation", json=INITIAL)

    assert (reply.status_code, reply.json()["iotHubHostName"]) == (200, HUB_3)


def test_rejected_messages_without_service_bus_are_a_clear_503(app_with):
    """The routes for them name the setting."""
    app = app_with()

    for reply in (
        app.get("/rejected"),
        app.post("/rejected/replay", json={}),
        app.delete("/rejected/1"),
    ):
        assert (reply.status_code, reply.json()["errorCode"]) == (503, 503001)
        assert list(reply.json()["info"]) == [MISSING]


def test_setting_of_the_queues_that_is_wrong_is_named(app_with, dps: DpsStandIn):
    """Both at once, without what they hold."""
    namespace = secret_factory.service_bus("contoso.servicebus.windows.net")
    app = app_with(
        DPS_CONNECTION_STRING=dps.connection_string,
        ServiceBus=namespace.replace("Endpoint=", "Endpunkt="),
        MESSAGE_BUDGET_SECONDS="soon",
    )

    reply = app.get("/rejected")

    assert set(reply.json()["info"]) == {"ServiceBus", "MESSAGE_BUDGET_SECONDS"}


def test_triggers_that_are_off_leave_their_messages(app_with, dps: DpsStandIn, caplog):
    """Nobody takes what they do not handle."""
    caplog.set_level(logging.INFO)
    with in_thread(Broker(BrokerOptions(port=0))) as broker:
        broker.add_queue("enrollment-requests")
        app = app_with(
            DPS_CONNECTION_STRING=dps.connection_string, ServiceBus=broker.connection_string
        )

        assert app.get("/health/ready").is_success
        assert broker.statistics.connections_opened == 0
        assert broker.queue("enrollment-requests") == QueueCounts()
