"""Messages: attempt, original id and redelivery by their properties; `repr` without secrets."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.messaging.messages import OutgoingMessage
from tests import secret_factory
from tests.shared.messaging.samples import message

EARLIER_COPY = "rescheduled-enrollment-requests-6"
"""The message id of a copy; versions before `copyId` recognised copies by `sourceMessageId` only."""


def copy_members(id: str = "any", /, **properties: Any) -> dict[str, Any]:
    """Returns the members of a copy, which names its own message id."""
    own = {"copyId": id, "sourceMessageId": "first", **properties}
    return {"message_id": id, "application_properties": own}


@pytest.mark.parametrize(
    ("attempt_property", "attempt"),
    [(3, 3), (1, 1), (None, 1), (0, 1), (-2, 1), ("4", 1), (True, 1), (2.0, 1), (b"5", 1)],
)
def test_attempt_is_read_from_copies_only(
    attempt_property: bytes | float | str | bool | None, attempt: int
) -> None:
    """Only a copy's positive integer counts; a sender's own property `attempt` is ignored."""
    properties = {} if attempt_property is None else {"attempt": attempt_property}

    assert message({}, **copy_members(**properties)).attempt == attempt
    assert message({}, application_properties=properties).attempt == 1


@pytest.mark.parametrize(
    ("members", "id"),
    [
        (copy_members(), "first"),
        ({**copy_members(), "message_id": EARLIER_COPY}, "first"),
        (copy_members(sourceMessageId=""), "any"),
        ({"application_properties": {"sourceMessageId": "first"}}, "m-1"),
        ({"application_properties": {"sourceMessageId": "first", "copyId": "m-2"}}, "m-1"),
        ({"message_id": EARLIER_COPY}, EARLIER_COPY),
        ({"message_id": None, "application_properties": {"copyId": ""}}, "enrollment-requests-7"),
        ({}, "m-1"),
        ({"message_id": None}, "enrollment-requests-7"),
        ({"message_id": ""}, "enrollment-requests-7"),
    ],
)
def test_original_id_is_the_senders_message_id(members: dict[str, Any], id: str) -> None:
    """Copies keep the id; without one, queue and sequence number identify the request."""
    assert message({}, **members).original_id == id


@pytest.mark.parametrize(
    ("members", "is_redelivery"),
    [
        ({}, False),
        ({"delivery_count": 1}, False),
        ({"delivery_count": 2}, True),
        (copy_members(), True),
        ({"application_properties": {"sourceMessageId": "first"}}, False),
    ],
)
def test_redeliveries_and_copies_may_have_been_processed_before(
    members: dict[str, Any], is_redelivery: bool
) -> None:
    """A redelivery or a copy counts as such, the first delivery of a sender's message does not."""
    assert message({}, **members).is_redelivery is is_redelivery


ENQUEUED = datetime(2026, 11, 28, 12, tzinfo=UTC)
EARLIER = ENQUEUED - timedelta(hours=1)


@pytest.mark.parametrize(
    ("properties", "first"),
    [
        ({}, ENQUEUED.timestamp()),
        (
            {"sourceMessageId": "first", "enqueuedTimeUtc": EARLIER.isoformat()},
            ENQUEUED.timestamp(),
        ),
        ({"copyId": "copy-1", "enqueuedTimeUtc": EARLIER.isoformat()}, EARLIER.timestamp()),
        ({"copyId": "copy-1", "enqueuedTimeUtc": "yesterday"}, -math.inf),
        ({"copyId": "copy-1"}, -math.inf),
    ],
    ids=["original", "sender's own property", "copy", "unreadable", "unknown"],
)
def test_copy_has_the_time_at_which_the_request_was_first_enqueued(
    properties: dict[str, Any], first: float
) -> None:
    """A copy is enqueued later than the request that it is a copy of."""
    received = message(
        {}, message_id="copy-1", enqueued_time_utc=ENQUEUED, application_properties=properties
    )

    assert received.first_enqueued_at == first


def test_repr_has_no_body_and_no_properties() -> None:
    """Body and properties of incoming and outgoing messages may have keys."""
    key = secret_factory.symmetric_key()

    properties = {"key": key}

    printed = repr(message(key.encode(), application_properties=properties)) + repr(
        OutgoingMessage(body=key.encode(), message_id="m-1", application_properties=properties)
    )

    assert key not in printed
    assert "m-1" in printed
