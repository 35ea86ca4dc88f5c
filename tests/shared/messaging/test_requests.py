"""A message for one record: what is taken, and what is refused with every fault."""

from base64 import b64encode

import pytest

from shared.documents import MAX_BYTES
from shared.dps.models import ENROLLMENT_GROUP, INDIVIDUAL_ENROLLMENT, Operation
from shared.errors import DocumentTooLargeError, InvalidRequestError
from shared.messaging.requests import read_request
from tests import secret_factory
from tests.shared.dps.documents import individual, keys
from tests.shared.messaging.incoming import GROUP, RECORD, create, example, message

TARGETS = "must have exactly one of enrollment, enrollmentGroup, registrationId, enrollmentGroupId"
UNKNOWN = "is not known here, or does not go with what stands beside it"


def faults_of(body):
    """What is wrong with a message of this body."""
    with pytest.raises(InvalidRequestError) as raised:
        read_request(message(body))
    return raised.value.faults


@pytest.mark.parametrize("operation", ["create", "update", "upsert", "delete"])
@pytest.mark.parametrize(
    ("member", "record", "kind"),
    [
        ("enrollment", RECORD, INDIVIDUAL_ENROLLMENT),
        ("enrollmentGroup", GROUP, ENROLLMENT_GROUP),
    ],
)
def test_every_operation_takes_a_record(operation, member, record, kind):
    """The record is handed on as it was sent, with the id that stands in it."""
    record = {**record, "someday": {"unknown": [1]}}

    found = read_request(message({"operation": operation, member: record}))

    assert (found.operation, found.kind, found.document) == (operation, kind, record)
    assert found.id == record[kind.id_member]
    assert found.if_match is None


@pytest.mark.parametrize(
    ("member", "kind"),
    [("registrationId", INDIVIDUAL_ENROLLMENT), ("enrollmentGroupId", ENROLLMENT_GROUP)],
)
def test_a_delete_needs_just_an_id(member, kind):
    """The id names the record, and there is no document."""
    found = read_request(message({"operation": "delete", member: "some-1"}))

    assert (found.kind, found.id, found.document) == (kind, "some-1", None)


def test_a_delete_of_a_record_reads_its_id_alone():
    """What else a record to be deleted holds does not matter, to DPS either."""
    found = read_request(
        message(
            {"operation": "delete", "enrollment": {"registrationId": "dev-1", "attestation": 5}}
        )
    )

    assert (found.operation, found.id) == (Operation.DELETE, "dev-1")


@pytest.mark.parametrize(
    ("given", "etag"), [("Abc+/=_-1", "Abc+/=_-1"), ('"Abc="', "Abc="), ("*", "*"), (None, None)]
)
@pytest.mark.parametrize("operation", ["update", "delete"])
def test_if_match_is_one_etag(operation, given, etag):
    """Raw as DPS gives it or quoted as a header has it, it comes out raw; null is as good as none."""
    asked = {"operation": operation, "enrollment": RECORD, "ifMatch": given}

    assert read_request(message(asked)).if_match == etag


@pytest.mark.parametrize("given", ["", "a b", '"a', "a,b", 'W/"a"', "ä", 5, ["a"], {}])
def test_if_match_that_is_no_etag_is_refused(given):
    """A list, a weak etag or a half quoted one would be read by nobody as the sender meant it."""
    assert set(faults_of({"operation": "update", "enrollment": RECORD, "ifMatch": given})) == {
        "/ifMatch"
    }


@pytest.mark.parametrize("operation", ["create", "upsert"])
def test_if_match_does_not_go_with_a_write_that_asks_for_no_etag(operation):
    """It would be lost without a word."""
    asked = {"operation": operation, "enrollment": RECORD, "ifMatch": "abc"}

    assert faults_of(asked) == {"/ifMatch": UNKNOWN}


@pytest.mark.parametrize("member", ["ifmatch", "if_match", "Enrollment", "mode", "x"])
def test_a_misspelt_member_is_refused(member):
    """The envelope is strict: what is misspelt there would be lost without a word."""
    assert faults_of({"operation": "update", "enrollment": RECORD, member: 1}) == {
        f"/{member}": UNKNOWN
    }


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {"", "/operation"}),
        ([], {""}),
        (None, {""}),
        ("create", {""}),
        ({"operation": "create"}, {""}),
        ({"operation": "create", "enrollment": None}, {""}),
        ({"operation": "create", "enrollment": []}, {"/enrollment"}),
        ({"operation": "create", "registrationId": "dev-1"}, {"/registrationId"}),
        ({"operation": "update", "enrollmentGroupId": "g"}, {"/enrollmentGroupId"}),
        ({"operation": "delete", "registrationId": 5}, {"/registrationId"}),
        ({"operation": "delete", "registrationId": "no id"}, {"/registrationId"}),
        ({"operation": "delete", "enrollment": {}}, {"/enrollment/registrationId"}),
        ({"operation": "Create", "enrollment": RECORD}, {"/operation"}),
        ({"operation": ["create"], "enrollment": RECORD}, {"/operation"}),
        ({"operation": 0, "registrationId": "dev-1"}, {"/operation"}),
        (b"", {""}),
        (b"\xff", {""}),
        (b"[" * 500_000, {""}),
        (b'{"operation": "create", "operation": "delete"}', {"/operation"}),
        (rb'{"operation": "create", "enrollment": {"deviceId": "\ud800"}}', {""}),
        (rb'{"\ud800": 1, "\ud800": 2}', {"/?"}),
    ],
)
def test_what_asks_for_no_one_thing_is_refused(body, faults):
    """Each fault is named where it stands; a body that two readers could take differently is none."""
    assert faults_of(body).keys() == faults


def test_both_a_record_and_an_id_are_refused():
    """They could name different records."""
    asked = {"operation": "delete", "enrollment": RECORD, "registrationId": "dev-2"}

    assert faults_of(asked) == {"": TARGETS}


def test_all_faults_are_named_at_once():
    """Of the envelope, of the record, and of an operation nobody knows."""
    record = individual(attestation=keys("short"), iotHubs="hub")

    assert faults_of({"operation": "replace", "enrollment": record, "x": 1}) == {
        "/operation": "must be one of create, update, upsert, delete",
        "/x": UNKNOWN,
        "/enrollment/attestation/symmetricKey/primaryKey": "is not valid base64",
        "/enrollment/iotHubs": "must be a list",
    }


def test_faults_hold_no_value_that_was_sent():
    """A key that is wrong is still a key."""
    key = secret_factory.symmetric_key(8)

    faults = faults_of(create(enrollment=individual(attestation=keys(key)), ifMatch=key))

    assert key not in repr(faults)


def test_a_request_is_not_printed_with_its_record():
    """A record may hold a key."""
    key = secret_factory.symmetric_key()
    asked = create(enrollment=individual(attestation=keys(key)))

    assert key not in repr(read_request(message(asked)))


def test_one_document_may_have_a_megabyte():
    """What has more is refused as too large, before it is read."""
    with pytest.raises(DocumentTooLargeError):
        read_request(message(b" " * MAX_BYTES + b"{}"))


@pytest.mark.parametrize("name", ["create", "update-if-match", "upsert-group", "delete"])
def test_examples_of_requests_are_sound(name):
    """Whoever copies one sends a good request."""
    assert read_request(message(example(name))).operation in name


@pytest.mark.parametrize("nbytes", [16, 32, 48, 64])
def test_key_in_the_place_of_a_name_is_not_told(nbytes):
    """A pointer to what is wrong goes into results; it holds asterisks where a name may be a key."""
    key = b64encode(
        bytes(range(nbytes))
    ).decode()  # not one of the factory's: errors may quote names

    unknown = faults_of({"operation": "create", "enrollment": RECORD, key: 1})
    doubled = faults_of(f'{{"tags": {{"{key}": 1, "{key}": 2}}}}'.encode())

    assert unknown == {"/****": UNKNOWN}
    assert doubled == {"/tags/****": "stands there more than once"}
