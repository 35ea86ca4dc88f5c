"""Parking messages: the body first, then as much of the reason as there is room for."""

from dataclasses import replace

import pytest

from shared.errors import MessageTooLargeError
from shared.messaging.copies import park
from shared.messaging.sending import Sender
from tests.shared.messaging.copied import CARRIED, FIRST_OF_CHAIN, MESSAGE, REASON


async def test_parking_sends_the_copy(sender: Sender, rejected_queue, look):
    """With its reason."""
    await park(sender, rejected_queue, MESSAGE, REASON)

    [found] = await look(rejected_queue)
    assert found.application_properties[b"reason"] == b"Invalid"
    assert found.time_to_live is None


@pytest.mark.parametrize(
    ("room", "left"),
    [
        (600, {b"reason", b"description", b"trackingId", b"errorCode", b"attempt"}),
        (400, {b"reason", b"trackingId", b"errorCode", b"attempt"}),
        (260, {b"reason", b"attempt"}),
        (220, {b"reason"}),
    ],
)
async def test_reasons_make_room_for_the_body(sender: Sender, rejected_queue, look, room, left):
    """The description is shortened and goes first, the reason stays."""
    body = b"x" * (256 * 1024 - room)
    reason = replace(REASON, description="d" * 1000)

    await park(sender, rejected_queue, replace(MESSAGE, body=body), reason)

    [found] = await look(rejected_queue)
    others = {name.encode() for name in CARRIED | FIRST_OF_CHAIN}
    assert found.application_properties.keys() - others == left
    assert b"sourceQueue" in found.application_properties


async def test_message_with_room_for_nothing_is_not_parked(sender: Sender, rejected_queue):
    """The queue that it came from dead-letters it."""
    body = b"x" * 256 * 1024

    with pytest.raises(MessageTooLargeError):
        await park(sender, rejected_queue, replace(MESSAGE, body=body), REASON)
