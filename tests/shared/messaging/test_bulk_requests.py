"""A message for many records: faults of the whole refuse it, faults of one record go with that."""

import json

import pytest

from shared.documents import MAX_BYTES
from shared.dps.models import ENROLLMENT_GROUP, INDIVIDUAL_ENROLLMENT, BulkMode, Operation
from shared.errors import DocumentTooLargeError, InvalidRequestError
from shared.messaging.requests import read_bulk_request
from tests.shared.messaging.incoming import EVENT, GROUP, RECORD, example, message


def faults_of(body):
    """What is wrong with the whole of a bulk message."""
    with pytest.raises(InvalidRequestError) as raised:
        read_bulk_request(message(body))
    return raised.value.faults


def items_of(mode, *documents):
    """The items of a bulk message for these enrollments."""
    return read_bulk_request(message({"mode": mode, "enrollments": documents})).items


@pytest.mark.parametrize(
    ("mode", "operation"),
    [
        ("create", Operation.CREATE),
        ("update", Operation.UPDATE),
        ("updateIfMatchETag", Operation.UPDATE),
        ("upsert", Operation.UPSERT),
        ("delete", Operation.DELETE),
    ],
)
def test_an_item_is_a_request_of_its_own(mode, operation):
    """Each goes the same way as a message for one record."""
    record = {**RECORD, "etag": "abc", "unknown": 1}

    (item,) = items_of(mode, record)

    request = item.request
    assert (request.operation, request.id, request.kind) == (
        operation,
        "dev-1",
        INDIVIDUAL_ENROLLMENT,
    )
    assert request.document == record
    assert request.if_match == ("abc" if operation is Operation.UPDATE else None)


def test_groups_are_read_as_groups():
    """The member that holds the records says what they are."""
    found = read_bulk_request(message({"mode": "create", "enrollmentGroups": [GROUP]}))

    assert (found.kind, found.mode) == (ENROLLMENT_GROUP, BulkMode.CREATE)
    assert found.items[0].request.id == "group-1"


def test_faults_of_one_record_leave_the_others():
    """They go with their item, as places in the body of the whole message."""
    good, bad, none = items_of("create", RECORD, {**RECORD, "attestation": {}}, 7)

    assert good.faults == {}
    assert bad.faults == {"/enrollments/1/attestation/type": "is required"}
    assert (bad.id, none.id) == ("dev-1", None)
    assert none.faults == {"/enrollments/2": "must be an object"}


def test_an_item_with_faults_is_no_request():
    """Nobody can hand it on by mistake."""
    (item,) = items_of("create", {})

    with pytest.raises(InvalidRequestError) as raised:
        _ = item.request

    assert raised.value.faults == item.faults


def test_a_delete_needs_just_ids():
    """What else a record holds does not matter."""
    items = items_of("delete", {"registrationId": "dev-1"}, {"registrationId": "dev-2", "etag": 5})

    assert [item.request.id for item in items] == ["dev-1", "dev-2"]


@pytest.mark.parametrize("etag", [None, ""])
def test_an_update_without_etag_asks_for_none(etag):
    """As a message for one record does: the record is replaced whatever its etag."""
    (item,) = items_of("update", {**RECORD, "etag": etag})

    assert item.request.if_match is None


@pytest.mark.parametrize("etag", [None, ""])
def test_an_update_by_etag_needs_one(etag):
    """The mode says so; without it the item is rejected."""
    (item,) = items_of("updateIfMatchETag", {**RECORD, "etag": etag})

    assert item.faults == {"/enrollments/0/etag": "is required for updateIfMatchETag"}


@pytest.mark.parametrize("etag", [5, "a b", ["abc"]])
@pytest.mark.parametrize("mode", ["update", "updateIfMatchETag"])
def test_an_etag_that_is_none_is_a_fault_of_its_item(mode, etag):
    """It could match nothing."""
    (item,) = items_of(mode, {**RECORD, "etag": etag})

    assert item.faults == {"/enrollments/0/etag": "must be one etag, quoted or not, or *"}


def test_equal_items_are_told_apart():
    """Each has a result of its own; an item that asks something else for its record is no twin."""
    other = {**RECORD, "registrationId": "DEV-1", "deviceId": "d"}

    items = items_of("create", RECORD, other, RECORD, RECORD, other)

    assert [item.twins for item in items] == [0, 0, 1, 2, 1]


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({"mode": "create"}, {""}),
        ({"mode": "create", "enrollments": [], "enrollmentGroups": []}, {""}),
        ({"enrollments": []}, {"/mode"}),
        ({"mode": "replace", "enrollments": []}, {"/mode"}),
        ({"mode": "create", "enrollments": {}}, {"/enrollments"}),
        ({"mode": "create", "enrollments": [], "x": 1}, {"/x"}),
        ({"mode": "create", "enrollments": [], "operation": "create"}, {"/operation"}),
        ([RECORD], {""}),
        (b"{", {""}),
    ],
)
def test_faults_of_the_whole_refuse_it(body, faults):
    """Nothing of such a message is done."""
    assert faults_of(body).keys() == faults


def test_more_than_ten_thousand_records_are_too_many():
    """It is what DPS does in a minute."""
    with pytest.raises(DocumentTooLargeError) as raised:
        read_bulk_request(message({"mode": "delete", "enrollments": [0] * 10_001}))

    assert raised.value.faults == {"/enrollments": "may hold 10000 records at most"}


def test_a_bulk_message_may_be_larger_than_a_record():
    """One record may have a megabyte; one that has more is rejected by itself."""
    heavy = {**RECORD, "x": "x" * MAX_BYTES}

    items = items_of("create", RECORD, heavy)

    assert [set(item.faults) for item in items] == [set(), {"/enrollments/1"}]


def test_faults_in_an_event_begin_at_its_beginning():
    """They are places in the body, which is the event."""
    event = {**EVENT, "data": {"mode": "create", "enrollments": [{"registrationId": "dev-1"}]}}

    (item,) = read_bulk_request(message(event)).items

    assert item.faults == {"/data/enrollments/0/attestation": "is required"}


@pytest.mark.parametrize("name", ["bulk-upsert", "bulk-delete-groups", "bulk-create-event"])
def test_examples_of_bulk_requests_are_sound(name):
    """Whoever copies one sends a good request, of good records."""
    found = read_bulk_request(message(example(name)))

    assert found.mode in name
    assert [item for item in found.items if item.faults] == []


def test_an_order_of_members_makes_no_other_request():
    """Items written differently that ask the same are twins."""
    again = json.loads(json.dumps(dict(reversed(RECORD.items()))))

    assert [item.twins for item in items_of("create", RECORD, again)] == [0, 1]
