"""A message as it comes: what names it, and whether it was handled before."""

import pytest

from shared.messaging.messages import OutgoingMessage
from tests import secret_factory
from tests.shared.messaging.incoming import message


@pytest.mark.parametrize(
    ("found", "attempt"),
    [(3, 3), (1, 1), (None, 1), (0, 1), (-2, 1), ("4", 1), (True, 1), (2.0, 1), (b"5", 1)],
)
def test_attempt_is_what_a_copy_says(found, attempt):
    """A whole number above 0 counts; whatever a sender may have put into a first message does not."""
    properties = {} if found is None else {"attempt": found}
    copied = {**properties, "sourceMessageId": "first"}

    assert message({}, application_properties=copied).attempt == attempt
    assert message({}, application_properties=properties).attempt == 1


@pytest.mark.parametrize(
    ("members", "id"),
    [
        ({"application_properties": {"sourceMessageId": "first"}}, "first"),
        ({"application_properties": {"sourceMessageId": 5}}, "m-1"),
        ({"application_properties": {"sourceMessageId": ""}}, "m-1"),
        ({}, "m-1"),
        ({"message_id": None}, "enrollment-requests-7"),
        ({"message_id": ""}, "enrollment-requests-7"),
    ],
)
def test_a_request_is_named_by_its_first_message(members, id):
    """The id that the sender gave is kept by copies; without one the place in the queue names it."""
    assert message({}, **members).original_id == id


@pytest.mark.parametrize(
    ("members", "is_repeated"),
    [
        ({}, False),
        ({"delivery_count": 1}, False),
        ({"delivery_count": 2}, True),
        ({"application_properties": {"sourceMessageId": "first"}}, True),
    ],
)
def test_a_redelivery_or_a_copy_is_repeated(members, is_repeated):
    """Either may have been handled before; the first delivery of a sender's message was not."""
    assert message({}, **members).is_repeated is is_repeated


def test_messages_are_not_printed_with_what_they_hold():
    """A body or a property may hold a key: neither is printed, of a message that comes or goes."""
    key = secret_factory.symmetric_key()
    held = {"body": key.encode(), "application_properties": {"key": key}}

    printed = repr(message(**held)) + repr(OutgoingMessage(message_id="m-1", **held))

    assert key not in printed
    assert "m-1" in printed
