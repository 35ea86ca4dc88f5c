"""Options of brokers and queues, also from the Config.json of Microsoft's emulator."""

import json
from typing import Any

import pytest

from local.servicebus import BrokerOptions, QueueOptions
from local.servicebus.options import read_emulator_config

# The example on learn.microsoft.com, shortened.
CONFIG = {
    "UserConfig": {
        "Namespaces": [
            {
                "Name": "sbemulatorns",
                "Queues": [
                    {
                        "Name": "queue.1",
                        "Properties": {
                            "DeadLetteringOnMessageExpiration": True,
                            "DefaultMessageTimeToLive": "PT1H",
                            "DuplicateDetectionHistoryTimeWindow": "PT20S",
                            "ForwardDeadLetteredMessagesTo": "",
                            "ForwardTo": "",
                            "LockDuration": "PT1M30S",
                            "MaxDeliveryCount": 3,
                            "RequiresDuplicateDetection": True,
                            "RequiresSession": True,
                        },
                    }
                ],
            }
        ]
    }
}


def config(**properties: Any) -> str:
    """Returns a Config.json with one queue."""
    queue = {"Name": "q", "Properties": properties}
    return json.dumps({"UserConfig": {"Namespaces": [{"Queues": [queue], "Topics": []}]}})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("lock_duration", 0),
        ("max_delivery_count", 0),
        ("time_to_live", 0),
        ("duplicate_detection", -1),
    ],
)
def test_option_out_of_range_is_named(option: str, value: Any) -> None:
    """The error of an invalid queue option names the option."""
    with pytest.raises(ValueError, match=f"{option} must be"):
        QueueOptions(**{option: value})


@pytest.mark.parametrize("name", ["", "-a", "a b", "$cbs", "x" * 261])
def test_queue_names_are_those_of_service_bus(name: str) -> None:
    """A name that Service Bus does not allow is refused."""
    with pytest.raises(ValueError, match="not a valid queue name"):
        BrokerOptions(queues={name: QueueOptions()})


def test_config_has_queues() -> None:
    """A queue in a Config.json has all its properties."""
    queues = read_emulator_config(json.dumps(CONFIG))

    assert queues == {
        "queue.1": QueueOptions(
            lock_duration=90,
            max_delivery_count=3,
            time_to_live=3600,
            dead_letter_on_expiration=True,
            requires_session=True,
            duplicate_detection=20,
        )
    }


@pytest.mark.parametrize("properties", [{}, {"DefaultMessageTimeToLive": "P10675199DT2H48M5S"}])
def test_missing_property_has_its_default(properties: dict[str, Any]) -> None:
    """Defaults are those of Service Bus, whose maximum time to live means none."""
    assert read_emulator_config(config(**properties)) == {"q": QueueOptions()}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("{}", "UserConfig", id="empty"),
        pytest.param("[]", "UserConfig", id="list"),
        pytest.param(config(LockDuration="1 minute"), "LockDuration", id="duration"),
        pytest.param(config(LockDuration="P"), "LockDuration", id="no duration"),
        pytest.param(config(MaxDeliveryCount="3"), "MaxDeliveryCount", id="type"),
    ],
)
def test_invalid_property_in_config_is_named(text: str, fault: str) -> None:
    """The error of an invalid Config.json names the property."""
    with pytest.raises(ValueError, match=fault):
        read_emulator_config(text)


def test_topics_in_config_are_skipped_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A Config.json with topics, for Microsoft's emulator, can be used here too."""
    text = '{"UserConfig": {"Namespaces": [{"Topics": [{"Name": "topic.1"}]}]}}'

    queues = read_emulator_config(text)

    assert (queues, "topic.1" in caplog.text) == ({}, True)
