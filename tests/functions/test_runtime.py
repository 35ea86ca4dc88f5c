"""The app without Service Bus: HTTP works, and readiness says what is missing."""

import logging
from collections.abc import Callable

import httpx
import pytest

from local.dps import DpsStandIn
from local.servicebus import Broker, BrokerOptions, QueueCounts
from local.threads import in_thread
from tests import secret_factory
from tests.functions.samples import enrollment

DISABLED = "AzureWebJobs.{}.Disabled"
BOTH = ("enrollment_requests", "bulk_operations")
MISSING = "ServiceBus, ServiceBus__fullyQualifiedNamespace"


def enabled(*names: str) -> dict[str, str]:
    """Returns the settings that enable triggers, which `app_with` disables."""
    return {DISABLED.format(name): "false" for name in names}


def test_routes_work_without_service_bus(
    app_with: Callable[..., httpx.Client], dps: DpsStandIn
) -> None:
    """And the app is not ready, for this reason alone."""
    app = app_with(DPS_CONNECTION_STRING=dps.connection_string, **enabled(*BOTH))

    assert app.put("/enrollments/dev-1", json=enrollment()).status_code == 200
    ready = app.get("/health/ready")
    assert ready.status_code == 503
    [fault] = ready.json()["faults"]
    assert fault["setting"] == MISSING
    assert "connection string" in fault["fault"]


@pytest.mark.parametrize("name", BOTH)
def test_one_enabled_trigger_requires_service_bus(
    app_with: Callable[..., httpx.Client], dps: DpsStandIn, name: str
) -> None:
    """Either of them."""
    app = app_with(DPS_CONNECTION_STRING=dps.connection_string, **enabled(name))

    assert app.get("/health/ready").json()["faults"][0]["setting"] == MISSING


def test_rejected_messages_without_service_bus_are_503(
    app_with: Callable[..., httpx.Client],
) -> None:
    """The error names the setting."""
    app = app_with()

    for response in (
        app.get("/rejected"),
        app.post("/rejected/replay", json={}),
        app.delete("/rejected/1"),
    ):
        assert (response.status_code, response.json()["errorCode"]) == (503, 503001)
        assert list(response.json()["info"]) == [MISSING]


def test_invalid_service_bus_settings_are_reported_together(
    app_with: Callable[..., httpx.Client], dps: DpsStandIn
) -> None:
    """Without their values."""
    namespace = secret_factory.service_bus("contoso.servicebus.windows.net")
    app = app_with(
        DPS_CONNECTION_STRING=dps.connection_string,
        ServiceBus=namespace.replace("Endpoint=", "Endpunkt="),
        MESSAGE_BUDGET_SECONDS="soon",
    )

    response = app.get("/rejected")

    assert set(response.json()["info"]) == {"ServiceBus", "MESSAGE_BUDGET_SECONDS"}


def test_disabled_triggers_receive_nothing(
    app_with: Callable[..., httpx.Client], dps: DpsStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """They open no connection."""
    caplog.set_level(logging.INFO)
    with in_thread(Broker(BrokerOptions(port=0))) as broker:
        broker.add_queue("enrollment-requests")
        app = app_with(
            DPS_CONNECTION_STRING=dps.connection_string, ServiceBus=broker.connection_string
        )

        assert app.get("/health/ready").is_success
        assert broker.statistics.connections_opened == 0
        assert broker.queue("enrollment-requests") == QueueCounts()
