"""Requests: messages for one record and for many, with every fault of an invalid one."""

import json
from base64 import b64encode
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shared.dps.models import ENROLLMENT_GROUP, INDIVIDUAL_ENROLLMENT, Operation
from shared.errors import DocumentTooLargeError, InvalidRequestError
from shared.json_documents import MAX_DOCUMENT_BYTES
from shared.messaging.messages import Message
from shared.messaging.requests import read_request
from tests import secret_factory
from tests.shared.dps.documents import individual, keys
from tests.shared.messaging.samples import (
    EVENT,
    GROUP,
    RECORD,
    create_request,
    example_file,
    message,
    outcome_message,
    read_bulk,
)

TARGETS = "must have exactly one of enrollment, enrollmentGroup, registrationId, enrollmentGroupId"
NOT_A_MEMBER = "is not a member here; "


def faults_of(body: Any) -> Any:
    """Returns the faults of a message with this body."""
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
def test_every_operation_accepts_a_record(
    operation: str, member: str, record: Any, kind: Any
) -> None:
    """The record is passed on as it was sent, with unknown members."""
    record = {**record, "someday": {"unknown": [1]}}

    request = read_request(message({"operation": operation, member: record}))

    assert (request.operation, request.kind, request.document) == (operation, kind, record)
    assert request.id == record[kind.id_member]
    assert request.if_match is None


@pytest.mark.parametrize(
    ("member", "kind"),
    [("registrationId", INDIVIDUAL_ENROLLMENT), ("enrollmentGroupId", ENROLLMENT_GROUP)],
)
def test_delete_needs_only_an_id(member: str, kind: Any) -> None:
    """There is no document then."""
    request = read_request(message({"operation": "delete", member: "some-1"}))

    assert (request.kind, request.id, request.document) == (kind, "some-1", None)


def test_delete_ignores_all_but_the_id() -> None:
    """Other members of the record need not be valid, as in DPS."""
    request = read_request(
        message(
            {"operation": "delete", "enrollment": {"registrationId": "dev-1", "attestation": 5}}
        )
    )

    assert (request.operation, request.id) == (Operation.DELETE, "dev-1")


@pytest.mark.parametrize(
    ("given", "etag"), [("Abc+/=_-1", "Abc+/=_-1"), ('"Abc="', "Abc="), ("*", "*"), (None, None)]
)
@pytest.mark.parametrize("operation", ["update", "delete"])
def test_if_match_is_unquoted(operation: str, given: str | None, etag: str | None) -> None:
    """An etag with or without quotes, or `*`; null counts as absent."""
    body = {"operation": operation, "enrollment": RECORD, "ifMatch": given}

    assert read_request(message(body)).if_match == etag


@pytest.mark.parametrize("given", ["", "a b", '"a', "a,b", 'W/"a"', "ä", 5, ["a"], {}])
def test_invalid_if_match_is_a_fault(given: str | dict[str, Any] | list[Any] | int) -> None:
    """Lists, weak etags and unbalanced quotes are not accepted."""
    assert set(faults_of({"operation": "update", "enrollment": RECORD, "ifMatch": given})) == {
        "/ifMatch"
    }


@pytest.mark.parametrize("operation", ["create", "upsert"])
def test_if_match_is_a_fault_for_create_and_upsert(operation: str) -> None:
    """They ignore etags: it would have no effect."""
    body = {"operation": operation, "enrollment": RECORD, "ifMatch": "abc"}

    assert faults_of(body) == {"/ifMatch": NOT_A_MEMBER + "use operation, enrollment"}


@pytest.mark.parametrize(
    ("member", "advice"),
    [
        ("ifMatches", "did you mean 'ifMatch'?"),
        ("if_match", "did you mean 'ifMatch'?"),
        ("enrolment", "did you mean 'enrollment'?"),
        ("mode", "use operation, ifMatch, enrollment"),
        ("x", "use operation, ifMatch, enrollment"),
    ],
)
def test_unknown_member_is_a_fault(member: str, advice: str) -> None:
    """A misspelt member would be ignored silently; the fault says what is allowed."""
    assert faults_of({"operation": "update", "enrollment": RECORD, member: 1}) == {
        f"/{member}": NOT_A_MEMBER + advice
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
        ({"operation": "creates", "enrollment": RECORD}, {"/operation"}),
        ({"operation": ["create"], "enrollment": RECORD}, {"/operation"}),
        ({"operation": 0, "registrationId": "dev-1"}, {"/operation"}),
        (b"", {""}),
        (b"\xff", {""}),
        (b"[" * 500_000, {""}),
        (b'{"operation": "create", "operation": "delete"}', {"", "/operation"}),
        (rb'{"operation": "create", "enrollment": {"deviceId": "\ud800"}}', {""}),
        (rb'{"\ud800": 1, "\ud800": 2}', {"", "/?"}),
    ],
)
def test_invalid_request_has_a_fault_at_its_pointer(
    body: list[Any] | bytes | dict[str, Any] | str | None, faults: Any
) -> None:
    """Also invalid JSON, duplicate members and unpaired surrogates."""
    assert faults_of(body).keys() == faults


def test_record_and_id_exclude_each_other() -> None:
    """They could be of different records."""
    body = {"operation": "delete", "enrollment": RECORD, "registrationId": "dev-2"}

    assert faults_of(body) == {"": TARGETS}


def test_all_faults_are_reported_together() -> None:
    """Of the request, of the record in it, and of an unknown operation."""
    record = individual(attestation=keys("short"), iotHubs="hub")

    assert faults_of({"operation": "replace", "enrollment": record, "x": 1}) == {
        "/operation": "must be one of create, update, upsert, delete",
        "/x": NOT_A_MEMBER + "use operation, ifMatch, enrollment",
        "/enrollment/attestation/symmetricKey/primaryKey": "must be base64",
        "/enrollment/iotHubs": "must be a list",
    }


def test_faults_do_not_echo_values() -> None:
    """An invalid key is a secret too."""
    key = secret_factory.symmetric_key(8)

    faults = faults_of(create_request(enrollment=individual(attestation=keys(key)), ifMatch=key))

    assert key not in repr(faults)


def test_repr_of_a_request_has_no_record() -> None:
    """A record may have a key."""
    key = secret_factory.symmetric_key()
    body = create_request(enrollment=individual(attestation=keys(key)))

    assert key not in repr(read_request(message(body)))


def test_document_above_a_megabyte_is_too_large() -> None:
    """It is not parsed."""
    with pytest.raises(DocumentTooLargeError):
        read_request(message(b" " * MAX_DOCUMENT_BYTES + b"{}"))


@pytest.mark.parametrize("name", ["create", "update-if-match", "upsert-group", "delete"])
def test_documented_requests_are_valid(name: str) -> None:
    """The files of `examples/messages`."""
    assert read_request(message(example_file(name))).operation in name


@pytest.mark.parametrize("nbytes", [16, 32, 48, 64])
def test_key_in_place_of_a_member_name_is_masked(nbytes: int) -> None:
    """Results have the pointers of faults, so suspicious names are masked in them."""
    key = b64encode(
        bytes(range(nbytes))
    ).decode()  # not one of the factory's: errors may quote names

    unknown = faults_of({"operation": "create", "enrollment": RECORD, key: 1})
    doubled = faults_of(f'{{"tags": {{"{key}": 1, "{key}": 2}}}}'.encode())

    assert unknown == {"/****": NOT_A_MEMBER + "use operation, enrollment"}
    assert doubled["/tags/****"] == "must not appear more than once"
    assert key not in str(doubled)


def bulk_faults(body: Any) -> Any:
    """Returns the faults of a bulk message as a whole."""
    with pytest.raises(InvalidRequestError) as raised:
        read_bulk(message(body))
    return raised.value.faults


def read_items(mode: Any, *documents: Any) -> Any:
    """Returns the items of a bulk message for these enrollments."""
    return read_bulk(message({"mode": mode, "enrollments": documents})).items


@pytest.mark.parametrize(
    ("positions", "is_copy", "pointers"),
    [
        ("3,57", True, ["/enrollments/3", "/enrollments/57"]),
        ("3,57", False, ["/enrollments/0", "/enrollments/1"]),
        ("3,57,58", True, ["/enrollments/0", "/enrollments/1"]),
        ("many", True, ["/enrollments/0", "/enrollments/1"]),
    ],
)
def test_faults_of_a_part_point_into_the_senders_message(
    positions: str, is_copy: bool, pointers: list[str]
) -> None:
    """If it has the records that the copy was made of: a patch may have replaced them."""
    own = {"positions": positions, **({"copyId": "m-1"} if is_copy else {})}
    part = message({"mode": "create", "enrollments": [7, 8]}, application_properties=own)

    items = read_bulk(part).items

    assert [pointer for item in items for pointer in item.faults] == pointers


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
def test_item_becomes_a_single_request(mode: str, operation: Any) -> None:
    """Each item is applied like a message for one record."""
    record = {**RECORD, "etag": "abc", "unknown": 1}

    (item,) = read_items(mode, record)

    assert (item.operation, item.id, item.kind) == (operation, "dev-1", INDIVIDUAL_ENROLLMENT)
    assert item.document == record
    assert item.if_match == ("abc" if operation is Operation.UPDATE else None)


def test_bulk_request_may_be_for_groups() -> None:
    """The member with the records determines their kind."""
    (item,) = read_bulk(message({"mode": "create", "enrollmentGroups": [GROUP]})).items

    assert (item.kind, item.operation, item.id) == (ENROLLMENT_GROUP, Operation.CREATE, "group-1")


def test_faults_of_an_item_do_not_affect_others() -> None:
    """Their pointers lead into the body of the whole message."""
    good, bad, none = read_items("create", RECORD, {**RECORD, "attestation": {}}, 7)

    assert good.faults == {}
    assert bad.faults == {"/enrollments/1/attestation/type": "is required"}
    assert (bad.id, none.id) == ("dev-1", "")
    assert none.faults == {"/enrollments/2": "must be an object"}


def test_bulk_delete_needs_only_ids() -> None:
    """Other members are ignored."""
    items = read_items(
        "delete", {"registrationId": "dev-1"}, {"registrationId": "dev-2", "etag": 5}
    )

    assert [item.id for item in items] == ["dev-1", "dev-2"]


@pytest.mark.parametrize("etag", [None, ""])
def test_update_without_etag_is_unconditional(etag: str | None) -> None:
    """As in a message for one record."""
    (item,) = read_items("update", {**RECORD, "etag": etag})

    assert item.if_match is None


@pytest.mark.parametrize("etag", [None, ""])
def test_update_by_etag_requires_the_etag(etag: str | None) -> None:
    """Mode `updateIfMatchETag`; an item without an etag is rejected."""
    (item,) = read_items("updateIfMatchETag", {**RECORD, "etag": etag})

    assert item.faults == {"/enrollments/0/etag": "is required for updateIfMatchETag"}


@pytest.mark.parametrize("etag", [5, "a b", ["abc"]])
@pytest.mark.parametrize("mode", ["update", "updateIfMatchETag"])
def test_invalid_etag_is_a_fault_of_its_item(mode: str, etag: str | list[Any] | int) -> None:
    """It could not match anything."""
    (item,) = read_items(mode, {**RECORD, "etag": etag})

    assert item.faults == {"/enrollments/0/etag": "must be one etag, with or without quotes, or *"}


def test_equal_items_have_occurrence_numbers() -> None:
    """Each has its own result; a different item of the same record is counted separately."""
    other = {**RECORD, "registrationId": "DEV-1", "deviceId": "d"}

    items = read_items("create", RECORD, other, RECORD, RECORD, other)

    assert [item.occurrence for item in items] == [0, 0, 1, 2, 1]


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
def test_fault_of_the_bulk_request_rejects_all_of_it(
    body: list[Any] | bytes | dict[str, Any], faults: Any
) -> None:
    """No item is applied."""
    assert bulk_faults(body).keys() == faults


def test_more_than_ten_thousand_records_are_too_large() -> None:
    """The limit is per message."""
    with pytest.raises(DocumentTooLargeError) as raised:
        read_bulk(message({"mode": "delete", "enrollments": [0] * 10_001}))

    assert raised.value.faults == {"/enrollments": "must not exceed 10000 records"}


@pytest.mark.parametrize(
    "wrap", [lambda r: r, lambda r: EVENT | {"data": r}], ids=["plain", "event"]
)
def test_large_member_of_a_record_is_not_parsed(wrap: Any) -> None:
    """A list or an object of more than a megabyte cannot be valid, and takes long to parse."""
    record = {**RECORD, "initialTwin": {"tags": {str(n): "x" * 50 for n in range(40_000)}}}
    request = wrap({"mode": "create", "enrollments": [RECORD, record]})

    with pytest.raises(DocumentTooLargeError) as raised:
        read_bulk(message(request))

    ((pointer, fault),) = raised.value.faults.items()
    assert pointer.endswith("/enrollments/1/initialTwin")
    assert fault == f"must not exceed {MAX_DOCUMENT_BYTES} bytes"


def test_message_of_too_many_values_is_not_parsed() -> None:
    """Each takes much more memory than its text."""
    assert list(faults_of(b"[" * 200_000)) == [""]
    with pytest.raises(DocumentTooLargeError):
        read_request(message(b"[" * 200_000))


def test_size_limit_of_a_bulk_request_is_per_record() -> None:
    """A record above one megabyte is rejected alone."""
    heavy = {**RECORD, "x": "x" * MAX_DOCUMENT_BYTES}

    items = read_items("create", RECORD, heavy)

    assert [set(item.faults) for item in items] == [set(), {"/enrollments/1"}]


def test_pointers_of_faults_start_at_the_event() -> None:
    """The body is the event, with the request in `data`."""
    event = {**EVENT, "data": {"mode": "create", "enrollments": [{"registrationId": "dev-1"}]}}

    (item,) = read_bulk(message(event)).items

    assert item.faults == {"/data/enrollments/0/attestation": "is required"}


@pytest.mark.parametrize("name", ["bulk-upsert", "bulk-delete-groups", "bulk-create-event"])
def test_documented_bulk_requests_are_valid(name: str) -> None:
    """With all their items."""
    request = read_bulk(message(example_file(name)))

    assert {item.operation for item in request.items} == {name.split("-")[1]}
    assert [item for item in request.items if item.faults] == []


def test_order_of_members_does_not_matter() -> None:
    """Items that differ only in it are equal."""
    again = json.loads(json.dumps(dict(reversed(RECORD.items()))))

    assert [item.occurrence for item in read_items("create", RECORD, again)] == [0, 1]


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=8)
    | st.sampled_from(["create", "delete", "upsert", "*", "dev-1", "1.0", "e30="])
)

NAMES = st.sampled_from(
    [
        *("operation", "mode", "enrollment", "enrollmentGroup", "registrationId", "ifMatch"),
        *("enrollments", "enrollmentGroups", "enrollmentGroupId", "etag", "attestation", "type"),
        *(*EVENT, "data", "data_base64"),
    ]
) | st.text(st.characters(exclude_categories=()), max_size=4)

ANYTHING = st.recursive(
    SCALARS | st.just(RECORD) | st.just([RECORD]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=15,
)

BODIES = st.binary(max_size=40) | ANYTHING.map(json.dumps).map(str.encode)

PROPERTIES = st.dictionaries(
    st.sampled_from([f"cloudEvents{mark}{name}" for mark in ":_" for name in EVENT])
    | st.sampled_from(["attempt", "sourceMessageId", b"x", 5]),
    SCALARS | st.binary(max_size=4) | st.lists(st.integers(), max_size=2) | st.uuids(),
    max_size=6,
)

CONTENT_TYPES = st.sampled_from([None, "", ";", "application/json", "application/cloudevents+json"])


@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],  # on a busy machine generation is slow
)
@given(BODIES, CONTENT_TYPES, PROPERTIES)
@example(b'{"operation":"create","enrollment":{"n":' + b"9" * 4000 + b"}}", None, {})
@example(b'{"a":' * 900 + b"1" + b"}" * 900, None, {})
def test_any_message_is_valid_or_has_faults(body: Any, content_type: Any, properties: Any) -> None:
    """Random bodies and properties raise no other error, and a result can be written."""
    message = Message(
        body=body,
        queue="q",
        sequence_number=1,
        content_type=content_type,
        application_properties=properties,
    )
    faults: dict[str, str] = {}

    for read in (read_request, read_bulk):
        try:
            read(message)
        except InvalidRequestError as error:
            faults |= error.faults
            for at in error.faults:
                at.encode()  # a rejected copy has it in a property

    assert json.loads(outcome_message(message, None, error_code=400004, faults=faults).body)
    with suppress(InvalidRequestError):
        for item in read_bulk(message).items:
            assert json.loads(
                outcome_message(message, item, error_code=400004, faults=item.faults).body
            )
