"""Documents nobody thought of: whatever is sent, the answer is DPS's or the caller's fault."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.stack import Stack

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=20)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
KEYS = st.sampled_from(["", None, "MDEyMzQ1Njc4OTAxMjM0NTY3ODk=", "short", "MDEy"])


def either(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what belongs there, sometimes anything."""
    return st.one_of(good, good, good, JSON)


ATTESTATION = st.fixed_dictionaries(
    {"type": either(st.sampled_from(["none", "tpm", "x509", "symmetricKey"]))},
    optional={
        "tpm": either(
            st.fixed_dictionaries({}, optional={"endorsementKey": either(st.just("AA"))})
        ),
        "symmetricKey": either(
            st.fixed_dictionaries({}, optional={"primaryKey": KEYS, "secondaryKey": KEYS})
        ),
        "x509": either(
            st.dictionaries(
                st.sampled_from(["clientCertificates", "signingCertificates", "caReferences"]),
                either(st.fixed_dictionaries({}, optional={"primary": JSON, "secondary": JSON})),
            )
        ),
    },
)
TWIN = st.fixed_dictionaries(
    {},
    optional={
        "tags": either(st.dictionaries(st.text(max_size=8), JSON, max_size=4)),
        "properties": either(st.fixed_dictionaries({}, optional={"desired": JSON})),
    },
)
IDS = st.sampled_from(["dev-1", "DEV-1", "a:b", "", "bad id", "x" * 129]) | st.text(max_size=10)
ENROLLMENT = st.fixed_dictionaries(
    {},
    optional={
        "registrationId": either(IDS),
        "attestation": either(ATTESTATION),
        "deviceId": JSON,
        "allocationPolicy": either(st.sampled_from(["hashed", "static", "custom", "other"])),
        "customAllocationDefinition": either(
            st.fixed_dictionaries({}, optional={"webhookUrl": JSON, "apiVersion": JSON})
        ),
        "iotHubs": either(st.lists(st.sampled_from(["hub-1.azure-devices.net", "x"]), max_size=3)),
        "initialTwin": either(TWIN),
        "provisioningStatus": either(st.sampled_from(["enabled", "disabled", None])),
        "reprovisionPolicy": JSON,
        "capabilities": JSON,
        "etag": JSON,
        "unknown": JSON,
    },
)

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
GENTLY = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def send(verb: Any, path: str, document: Any, **headers: str) -> httpx.Response:
    """Sends JSON in ASCII: half a character can be sent in no other way."""
    named = {"Content-Type": "application/json", **headers}
    return verb(path, content=json.dumps(document).encode(), headers=named)


@GENTLY
@given(document=either(ENROLLMENT))
def test_no_document_makes_the_app_fail(app: httpx.Client, document: Any):
    """Any JSON at all is written, or refused with a reason: never a 5xx."""
    reply = send(app.put, "/enrollments/dev-1", document, **{"If-Match": "*"})

    assert reply.status_code in {200, 400, 404}, reply.text
    assert reply.status_code == 200 or reply.json()["errorCode"] // 1000 == reply.status_code


@GENTLY
@given(
    operation=either(
        st.fixed_dictionaries(
            {},
            optional={
                "mode": either(st.sampled_from(["create", "update", "delete", "upsert"])),
                "enrollments": either(st.lists(either(ENROLLMENT), max_size=12)),
            },
        )
    )
)
def test_no_bulk_operation_makes_the_app_fail(app: httpx.Client, operation: Any):
    """Any bulk operation has a result, or is refused with a reason: never a 5xx."""
    reply = send(app.post, "/enrollments", operation)

    assert reply.status_code in {200, 400}, reply.text


@GENTLY
@given(twin=TWIN.filter(lambda twin: all(isinstance(v, dict) for v in twin.values())), extra=JSON)
def test_every_twin_survives(app: httpx.Client, stack: Stack, twin: Any, extra: Any):
    """A twin and an unknown member of any content come back as they were sent, but for nulls."""
    httpx.post(f"{stack.dps.url}/_reset").raise_for_status()
    document = {"registrationId": "dev-1", "attestation": {"type": "none"}}

    written = send(app.put, "/enrollments/dev-1", document | {"initialTwin": twin, "x": extra})

    read = app.get("/enrollments/dev-1")
    if written.status_code == 200:
        assert read.json().get("initialTwin", twin) == twin
        assert read.json().get("x") == extra
    else:
        assert written.status_code == 400
