"""DPS's question: read whole, or refused with every fault."""

import json

import pytest

from shared.allocation import AllocationRequest
from shared.errors import DocumentTooLargeError, InvalidRequestError
from tests.shared.allocation.asking import GROUP, HUB_1, HUBS, asked, body


def faults(document: object) -> dict[str, str]:
    """What is wrong with a document."""
    with pytest.raises(InvalidRequestError) as caught:
        AllocationRequest.parse(json.dumps(document).encode())
    return caught.value.faults


def test_first_registration_is_read():
    """A device of a group that was never assigned: its id, its group, the hubs there are."""
    request = asked()

    assert (request.registration_id, request.enrollment_group_id) == ("dev-1", "Heating")
    assert (request.linked_hubs, request.current_hub, request.payload) == (HUBS, None, None)


def test_reprovisioning_with_payload_is_read():
    """A device that comes back says where it was and what it likes."""
    request = asked(currentIotHubHostName=HUB_1, currentDeviceId="dev-1", payload=[1])

    assert (request.current_hub, request.payload) == (HUB_1, [1])


def test_individual_enrollment_is_read():
    """An individual enrollment is no group."""
    request = asked(individual={"registrationId": "dev-1"})

    assert request.enrollment_group_id is None
    assert request.enrollment == {"registrationId": "dev-1"}


def test_unknown_members_are_kept():
    """What a later API version adds does no harm, and a policy of one's own can read it."""
    document = body(group=GROUP | {"newer": 1}, newest={"a": 2}) | {"more": [3]}

    request = AllocationRequest.parse(json.dumps(document).encode())

    assert (request.enrollment["newer"], request.runtime_context["newest"]) == (1, {"a": 2})


@pytest.mark.parametrize("name", ["currentIotHubHostName", "payload", "x509", "symmetricKey"])
def test_null_is_not_there(name):
    """A member that is null is one that was left out."""
    assert asked(**{name: None}).current_hub is None


def test_every_fault_is_named_at_once():
    """Whoever mends a request does not have to send it five times."""
    broken = {
        "enrollmentGroup": {},
        "individualEnrollment": 5,
        "deviceRuntimeContext": {"registrationId": "", "currentIotHubHostName": 1},
        "linkedHubs": ["hub", "", 7],
    }

    assert faults(broken) == {
        "": "must have exactly one of individualEnrollment, enrollmentGroup",
        "/deviceRuntimeContext/currentIotHubHostName": "must be a string",
        "/deviceRuntimeContext/registrationId": "must be a string that is not empty",
        "/enrollmentGroup/enrollmentGroupId": "is required",
        "/individualEnrollment": "must be an object",
        "/linkedHubs/1": "must be a string that is not empty",
        "/linkedHubs/2": "must be a string that is not empty",
    }


@pytest.mark.parametrize("document", [None, 1, "text", [], [{}]])
def test_document_that_is_no_object_is_refused(document):
    """JSON that is no object is no question."""
    assert faults(document) == {"": "must be an object"}


@pytest.mark.parametrize("missing", ["enrollmentGroup", "deviceRuntimeContext", "linkedHubs"])
def test_missing_part_is_named(missing):
    """Each part is needed."""
    document = body()
    del document[missing]

    assert len(faults(document)) == 1


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"\xff", b"[" * 999]
)
def test_bytes_that_are_no_strict_json_are_refused(text):
    """What two readers could take differently decides nothing."""
    with pytest.raises(InvalidRequestError):
        AllocationRequest.parse(text)


def test_half_a_surrogate_pair_is_refused():
    """Text that cannot be written again is refused before it could break an answer."""
    assert list(faults(body(payload="\ud800"))) == [""]


def test_too_large_a_request_is_refused():
    """A document has 1 MB at most."""
    with pytest.raises(DocumentTooLargeError):
        asked(payload="x" * 2**20)


def test_request_prints_no_key():
    """A policy of one's own that logs its request gives no key away."""
    request = asked(group=GROUP | {"a": "very-secret"}, symmetricKey={"primaryKey": "very-secret"})

    assert "very-secret" not in repr(request)
