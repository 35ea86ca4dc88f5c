"""Queues by Microsoft's Config.json and by the command line."""

import argparse
import json

import pytest

from local.servicebus import QueueOptions, emulator_config
from local.servicebus.__main__ import queue_argument

# As learn.microsoft.com shows it, shortened.
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


def config(**properties) -> str:
    """A Config.json with one queue."""
    queue = {"Name": "q", "Properties": properties}
    return json.dumps({"UserConfig": {"Namespaces": [{"Queues": [queue], "Topics": []}]}})


def test_config_names_queues():
    """With all their properties."""
    queues = emulator_config.read(json.dumps(CONFIG))

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
def test_config_may_leave_properties_out(properties):
    """They are those of the service then; its longest time to live is none."""
    assert emulator_config.read(config(**properties)) == {"q": QueueOptions()}


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
def test_fault_in_config_is_named(text, fault):
    """Whoever wrote it finds it."""
    with pytest.raises(ValueError, match=fault):
        emulator_config.read(text)


def test_topics_are_left_out_with_a_warning(caplog):
    """So that the same file serves Microsoft's emulator too."""
    text = '{"UserConfig": {"Namespaces": [{"Topics": [{"Name": "topic.1"}]}]}}'

    queues = emulator_config.read(text)

    assert (queues, "topic.1" in caplog.text) == ({}, True)


def test_argument_names_a_queue():
    """With all options."""
    name, options = queue_argument("q:lock=5,max=3,ttl=300,dedup=60,sessions,dlq-expired")

    assert name == "q"
    assert options == QueueOptions(
        lock_duration=5,
        max_delivery_count=3,
        time_to_live=300,
        duplicate_detection=60,
        requires_session=True,
        dead_letter_on_expiration=True,
    )


@pytest.mark.parametrize("text", ["", "q:lock", "q:lock=x", "q:lock=0", "q:sessions=1", "q:what=1"])
def test_fault_in_argument_is_named(text):
    """And the argument is quoted."""
    with pytest.raises(argparse.ArgumentTypeError, match=repr(text)):
        queue_argument(text)
