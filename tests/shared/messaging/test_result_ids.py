"""Results of the same request agree, and no two others do: what duplicate detection goes by."""

from dataclasses import replace

import pytest

from shared.messaging.messages import Message
from shared.messaging.requests import read_bulk_request, read_request
from shared.messaging.results import result
from tests.shared.messaging.incoming import BULK_QUEUE, GROUP, RECORD, create, message


def items_of(*documents, mode="create", **members):
    """A bulk message for these enrollments, and its items."""
    asked = message({"mode": mode, "enrollments": documents}, queue=BULK_QUEUE, **members)
    return asked, read_bulk_request(asked).items


def test_a_repeat_has_the_same_id():
    """Another delivery, and a copy under an id of its own, are the same request."""
    asked = message(create())
    copy = replace(
        asked,
        message_id="rescheduled-1",
        sequence_number=99,
        delivery_count=4,
        application_properties={"sourceMessageId": "m-1", "attempt": 3},
    )

    first, again = (result(found, read_request(found), etag="x") for found in (asked, copy))

    assert first.message_id == again.message_id


@pytest.mark.parametrize(
    "other",
    [
        message(create(), message_id="m-2"),
        message(create(), queue="others"),
        message(create(operation="upsert")),
        message(create(enrollment={**RECORD, "deviceId": "d"})),
        message({"operation": "create", "enrollmentGroup": GROUP}),
    ],
    ids=["message", "queue", "operation", "record", "kind"],
)
def test_another_request_has_another_id(other: Message):
    """Duplicate detection would drop it otherwise."""
    asked = message(create())

    assert (
        result(asked, read_request(asked)).message_id
        != result(other, read_request(other)).message_id
    )


def test_a_request_that_ends_otherwise_is_told_again():
    """What was rejected, and succeeds when it is replayed, is news."""
    asked = message(create())
    request = read_request(asked)

    ids = {
        result(asked, request).message_id,
        result(asked, request, error_code=409201).message_id,
        result(asked, request, error_code=404201).message_id,
    }

    assert len(ids) == 3


def test_every_item_has_an_id_of_its_own():
    """Even items that are equal, and such as name no record."""
    asked, items = items_of(RECORD, RECORD, {}, {})

    assert len({result(asked, item, error_code=400004).message_id for item in items}) == 4


def test_an_item_is_known_by_its_record_not_by_its_place():
    """What is left of a bulk request goes on as a smaller message, and its results agree."""
    last = {**RECORD, "registrationId": "dev-9"}
    whole, (_, item) = items_of(RECORD, last)
    rest, (left,) = items_of(
        last, message_id="rest-1", application_properties={"sourceMessageId": "m-1"}
    )

    assert result(whole, item).message_id == result(rest, left).message_id
