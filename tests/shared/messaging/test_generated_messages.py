"""Messages nobody thought of: whatever comes, it is read or it is the sender's fault."""

import json
from contextlib import suppress

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.errors import InvalidRequestError
from shared.messaging.messages import Message
from shared.messaging.requests import read_bulk_request, read_request
from shared.messaging.results import result
from tests.shared.messaging.incoming import EVENT, RECORD

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


@settings(max_examples=400, deadline=None, derandomize=True)
@given(BODIES, CONTENT_TYPES, PROPERTIES)
@example(b'{"operation":"create","enrollment":{"n":' + b"9" * 4000 + b"}}", None, {})
@example(b'{"a":' * 900 + b"1" + b"}" * 900, None, {})
def test_every_message_is_read_or_refused_and_told(body, content_type, properties):
    """No body and no property brings down a reader, nor keeps the result from being written."""
    message = Message(
        body=body,
        queue="q",
        sequence_number=1,
        content_type=content_type,
        application_properties=properties,
    )
    faults = {}

    for read in (read_request, read_bulk_request):
        try:
            read(message)
        except InvalidRequestError as error:
            faults |= error.faults
            for place in error.faults:
                place.encode()  # it goes into a property of the parked message

    assert json.loads(result(message, None, error_code=400004, faults=faults).body)
    with suppress(InvalidRequestError):
        for item in read_bulk_request(message).items:
            assert json.loads(result(message, item, error_code=400004, faults=item.faults).body)
