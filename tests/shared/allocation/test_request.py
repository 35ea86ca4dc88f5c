"""Parsing allocation requests: complete, or an error with all faults."""

import json
from typing import Any

import pytest

from shared.allocation import AllocationRequest
from shared.errors import DocumentTooLargeError, InvalidRequestError
from tests.shared.allocation.samples import GROUP, HUB_1, HUBS, body, make_request


def faults(document: object) -> dict[str, str]:
    """Returns the faults of a document."""
    with pytest.raises(InvalidRequestError) as caught:
        AllocationRequest.parse(json.dumps(document).encode())
    return caught.value.faults


def test_first_registration_is_parsed() -> None:
    """A device of a group has no hub before its first registration."""
    request = make_request()

    assert (request.registration_id, request.enrollment_group_id) == ("dev-1", "Heating")
    assert (request.linked_hubs, request.current_hub, request.payload) == (HUBS, None, None)


def test_reprovisioning_with_payload_is_parsed() -> None:
    """A device that registers again has a current hub."""
    request = make_request(currentIotHubHostName=HUB_1, currentDeviceId="dev-1", payload=[1])

    assert (request.current_hub, request.payload) == (HUB_1, [1])


def test_individual_enrollment_is_parsed() -> None:
    """An individual enrollment has no group id."""
    request = make_request(individual={"registrationId": "dev-1"})

    assert request.enrollment_group_id is None
    assert request.enrollment == {"registrationId": "dev-1"}


def test_unknown_members_are_kept() -> None:
    """Python policies can read members that newer API versions add."""
    document = body(group=GROUP | {"newer": 1}, newest={"a": 2}) | {"more": [3]}

    request = AllocationRequest.parse(json.dumps(document).encode())

    assert (request.enrollment["newer"], request.runtime_context["newest"]) == (1, {"a": 2})


@pytest.mark.parametrize("name", ["currentIotHubHostName", "payload", "x509", "symmetricKey"])
def test_null_is_absent(name: str) -> None:
    """A null member is the same as an omitted one."""
    assert make_request(**{name: None}).current_hub is None


def test_all_faults_are_reported_at_once() -> None:
    """The caller can fix all of them before sending the request again."""
    broken = {
        "enrollmentGroup": {},
        "individualEnrollment": 5,
        "deviceRuntimeContext": {"registrationId": "", "currentIotHubHostName": 1},
        "linkedHubs": ["hub", "", 7],
    }

    assert faults(broken) == {
        "": "must have exactly one of individualEnrollment, enrollmentGroup",
        "/deviceRuntimeContext/currentIotHubHostName": "must be a string of at most 1024 characters",
        "/deviceRuntimeContext/registrationId": "must be a non-empty string of at most 1024 characters",
        "/enrollmentGroup/enrollmentGroupId": "is required",
        "/individualEnrollment": "must be an object",
        "/linkedHubs/1": "must be a non-empty string of at most 1024 characters",
        "/linkedHubs/2": "must be a non-empty string of at most 1024 characters",
    }


@pytest.mark.parametrize("document", [None, 1, "text", [], [{}]])
def test_document_must_be_an_object(document: str | list[Any] | int | None) -> None:
    """Any other JSON has a fault at its root."""
    assert faults(document) == {"": "must be an object"}


@pytest.mark.parametrize("missing", ["enrollmentGroup", "deviceRuntimeContext", "linkedHubs"])
def test_missing_member_is_one_fault(missing: str) -> None:
    """Each of these members is required."""
    document = body()
    del document[missing]

    assert len(faults(document)) == 1


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"\xff", b"[" * 999]
)
def test_body_must_be_strict_json(text: bytes) -> None:
    """JSON that parsers read differently is rejected."""
    with pytest.raises(InvalidRequestError):
        AllocationRequest.parse(text)


def test_unpaired_surrogate_is_a_fault() -> None:
    """An unpaired surrogate could not be encoded in an answer."""
    assert list(faults(body(payload="\ud800"))) == [""]


def test_request_that_is_too_large_is_rejected() -> None:
    """A document has 1 MB at most."""
    with pytest.raises(DocumentTooLargeError):
        make_request(payload="x" * 2**20)


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        (body(hubs=("a.example",) * 1001), "/linkedHubs"),
        (body(hubs=("a" * 1025,)), "/linkedHubs/0"),
        (body(registrationId="a" * 1025), "/deviceRuntimeContext/registrationId"),
        (body(currentIotHubHostName="a" * 1025), "/deviceRuntimeContext/currentIotHubHostName"),
        (
            body(group=GROUP | {"enrollmentGroupId": "a" * 1025}),
            "/enrollmentGroup/enrollmentGroupId",
        ),
    ],
)
def test_hubs_and_names_are_limited(document: dict[str, Any], pointer: str) -> None:
    """DPS links 50 hubs. Every rule may compare, hash or copy them."""
    assert list(faults(document)) == [pointer]


def test_first_of_several_hubs_of_one_name_is_linked() -> None:
    """Names that differ only in case are one hub."""
    request = make_request(hubs=("Hub.example", "hub.example"))

    assert (request.linked("HUB.example"), request.linked("other"), request.linked(None)) == (
        "Hub.example",
        None,
        None,
    )


def test_repr_contains_no_key() -> None:
    """A Python policy can log its request without revealing a key."""
    request = make_request(
        group=GROUP | {"a": "very-secret"}, symmetricKey={"primaryKey": "very-secret"}
    )

    assert "very-secret" not in repr(request)
