"""Messages as the worker gives them, in our own words."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import azure.functions as func
import pytest

from functions._messages import read

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Given(func.ServiceBusMessage):
    """What the worker makes: every property is there, and `None` or empty if it was not sent."""

    def __init__(self, **members: Any) -> None:
        self._members = members

    def get_body(self) -> bytes:
        """The body."""
        return b"{}"

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name == "get_body":
            return super().__getattribute__(name)
        return self._members.get(name)


def test_message_says_what_it_was_given():
    """All that a message of Service Bus says and the app uses."""
    message = read(
        Given(
            sequence_number=7,
            delivery_count=2,
            message_id="m-1",
            content_type="application/json",
            correlation_id="c-1",
            subject="devices",
            reply_to="replies",
            enqueued_time_utc=NOON,
            expires_at_utc=NOON + timedelta(days=1),
            application_properties={"attempt": 3, "sourceMessageId": "m-0"},
        ),
        queue="requests",
    )

    assert (message.queue, message.sequence_number, message.delivery_count) == ("requests", 7, 2)
    assert (message.message_id, message.content_type) == ("m-1", "application/json")
    assert (message.correlation_id, message.subject, message.reply_to) == (
        "c-1",
        "devices",
        "replies",
    )
    assert message.expires_at_utc == NOON + timedelta(days=1)
    assert (message.attempt, message.is_repeated) == (3, True)


def test_what_was_not_sent_is_none():
    """Texts that are empty are as good as none."""
    message = read(Given(message_id="", reply_to="", content_type=""), queue="requests")

    assert (message.message_id, message.reply_to, message.content_type) == (None, None, None)
    assert (message.sequence_number, message.delivery_count) == (0, 1)
    assert message.application_properties == {}
    assert (message.is_repeated, message.attempt) == (False, 1)


def test_label_is_an_older_name_of_the_subject():
    """Older hosts and extensions know no other."""
    assert read(Given(label="devices"), queue="requests").subject == "devices"


def test_time_without_a_zone_is_utc():
    """Whether times know their zone depends on the versions of host and library."""
    message = read(Given(enqueued_time_utc=NOON.replace(tzinfo=None)), queue="requests")

    assert message.enqueued_time_utc == NOON


@pytest.mark.parametrize("zone", [None, UTC])
def test_message_that_lasts_has_no_expiry(zone: timezone | None):
    """Of one without a time to live the extension says the last day that .NET knows."""
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=zone)

    assert read(Given(expires_at_utc=last), queue="requests").expires_at_utc is None
