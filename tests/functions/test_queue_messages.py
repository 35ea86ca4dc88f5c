"""Conversion of the Service Bus trigger's messages."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import azure.functions as func
import pytest

from functions.queue_messages import to_message

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class TriggerMessage(func.ServiceBusMessage):
    """A message as the worker creates it: a property that was not sent is `None` or empty."""

    def __init__(self, **members: Any) -> None:
        self._members = members

    def get_body(self) -> bytes:
        """The body."""
        return b"{}"

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name == "get_body":
            return super().__getattribute__(name)
        return self._members.get(name)


def test_properties_are_converted() -> None:
    """All that the app uses."""
    message = to_message(
        TriggerMessage(
            sequence_number=7,
            delivery_count=2,
            message_id="rescheduled-requests-6",
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
    assert message.content_type == "application/json"
    assert (message.correlation_id, message.subject, message.reply_to) == (
        "c-1",
        "devices",
        "replies",
    )
    assert message.expires_at_utc == NOON + timedelta(days=1)
    assert (message.attempt, message.original_id) == (3, "m-0")


def test_missing_properties_are_none() -> None:
    """Empty texts too."""
    message = to_message(
        TriggerMessage(message_id="", reply_to="", content_type=""), queue="requests"
    )

    assert (message.message_id, message.reply_to, message.content_type) == (None, None, None)
    assert (message.sequence_number, message.delivery_count) == (0, 1)
    assert message.application_properties == {}
    assert (message.is_redelivery, message.attempt) == (False, 1)


def test_label_is_used_as_subject() -> None:
    """Older hosts and extensions have no other name for it."""
    assert to_message(TriggerMessage(label="devices"), queue="requests").subject == "devices"


def test_time_without_zone_is_utc() -> None:
    """Whether times have a zone depends on the versions of host and library."""
    message = to_message(
        TriggerMessage(enqueued_time_utc=NOON.replace(tzinfo=None)), queue="requests"
    )

    assert message.enqueued_time_utc == NOON


@pytest.mark.parametrize("zone", [None, UTC])
def test_maximum_date_is_no_expiry(zone: timezone | None) -> None:
    """The extension passes .NET's maximum date for a message without a time to live."""
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=zone)

    assert to_message(TriggerMessage(expires_at_utc=last), queue="requests").expires_at_utc is None
