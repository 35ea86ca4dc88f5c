"""Bad input: a clear error that names every fault, nothing changed, nothing repeated."""

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from local.stack import Stack
from tests.secret_factory import endorsement_key, symmetric_key

SYMMETRIC = {"type": "symmetricKey"}
TPM = {"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}}


def enrollment(**members: Any) -> dict[str, Any]:
    """A sound enrollment, but for the members given."""
    return {"registrationId": "dev-1", "attestation": SYMMETRIC, **members}


def put(app: httpx.Client, body: bytes, **headers: str) -> httpx.Response:
    """Sends a body as it is."""
    named = {"Content-Type": "application/json", **headers}
    return app.put("/enrollments/dev-1", content=body, headers=named)


BODIES = {
    "missing": (b"", "required"),
    "no json": (b"registrationId=dev-1", "is not JSON"),
    "no object": (b'["dev-1"]', "must be an object"),
    "no utf-8": (b'{"registrationId": "\xff"}', "is not UTF-8"),
    "nan": (b'{"registrationId": NaN}', "cannot hold"),
    "nested": (b"[" * 10_000 + b"]" * 10_000, "nests deeper"),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("body", "words"), BODIES.values(), ids=BODIES)
def test_body_that_is_no_document_is_400(app: httpx.Client, body: bytes, words: str):
    """A body that cannot be read is refused as a whole, in words that tell why."""
    reply = put(app, body)

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
    assert words in reply.json()["info"][""]


@pytest.mark.usefixtures("untouched")
def test_member_that_stands_twice_is_400(app: httpx.Client):
    """Two values for one member are refused, with the place of both."""
    reply = put(app, b'{"registrationId": "dev-1", "attestation": {"type": "x", "type": "y"}}')

    assert reply.status_code == 400
    assert list(reply.json()["info"]) == ["/attestation/type"]


@pytest.mark.usefixtures("untouched")
def test_document_over_a_megabyte_is_413(app: httpx.Client):
    """One document has a limit, and passing it has a status of its own."""
    reply = put(app, json.dumps(enrollment(initialTwin={"tags": {"x": "y" * 2**20}})).encode())

    assert (reply.status_code, reply.json()["errorCode"]) == (413, 413001)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "json"])
def test_body_that_is_not_said_to_be_json_is_415(app: httpx.Client, media_type: str):
    """As with DPS a body of another type is not read."""
    reply = put(app, json.dumps(enrollment()).encode(), **{"Content-Type": media_type})

    assert (reply.status_code, reply.json()["errorCode"]) == (415, 415001)


@pytest.mark.usefixtures("untouched")
def test_bulk_of_too_many_records_is_413(app: httpx.Client):
    """More records than one request may hold are refused as a whole."""
    records = [{"registrationId": f"d-{n}"} for n in range(100_000)]

    reply = app.post("/enrollments", json={"mode": "delete", "enrollments": records})

    assert (reply.status_code, reply.json()["errorCode"]) == (413, 413001)


DOCUMENTS = {
    "id of another shape": (enrollment(registrationId="a b"), "/registrationId"),
    "no attestation": ({"registrationId": "dev-1"}, "/attestation"),
    "two attestations": (enrollment(attestation=TPM | SYMMETRIC), "/attestation/tpm"),
    "key of no base64": (
        enrollment(attestation={**SYMMETRIC, "symmetricKey": {"primaryKey": "?"}}),
        "/attestation/symmetricKey/primaryKey",
    ),
    "key of 15 bytes": (
        enrollment(attestation={**SYMMETRIC, "symmetricKey": {"primaryKey": symmetric_key(15)}}),
        "/attestation/symmetricKey/primaryKey",
    ),
    "key of 65 bytes": (
        enrollment(attestation={**SYMMETRIC, "symmetricKey": {"secondaryKey": symmetric_key(65)}}),
        "/attestation/symmetricKey/secondaryKey",
    ),
    "custom without definition": (
        enrollment(allocationPolicy="custom"),
        "/customAllocationDefinition",
    ),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("document", "pointer"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_document_that_dps_would_refuse_is_400(app: httpx.Client, document, pointer: str):
    """What DPS is known to refuse is refused before it is asked, with the place of the fault."""
    reply = app.put("/enrollments/dev-1", json=document)

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)
    assert list(reply.json()["info"]) == [pointer]


@pytest.mark.usefixtures("untouched")
def test_tpm_group_is_400(app: httpx.Client):
    """A group cannot be attested by one device's TPM."""
    group = {"enrollmentGroupId": "g-1", "attestation": TPM}

    reply = app.put("/enrollmentGroups/g-1", json=group)

    assert list(reply.json()["info"]) == ["/attestation"]


@pytest.mark.usefixtures("untouched")
def test_faults_of_path_query_headers_and_body_come_together(app: httpx.Client):
    """Whatever is wrong with a request is told at once."""
    reply = app.put(
        "/enrollments/a%20b?api-version=2000-01-01",
        json=enrollment(allocationPolicy="custom", provisioningStatus="on"),
        headers={"If-Match": "a b"},
    )

    assert reply.status_code == 400
    assert set(reply.json()["info"]) == {
        "id",
        "api-version",
        "If-Match",
        "/customAllocationDefinition",
        "/provisioningStatus",
    }


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("operation", "pointers"),
    [
        ({"mode": "replace", "enrollments": []}, {"/mode"}),
        ({"mode": "create"}, {"/enrollments"}),
        (
            {"mode": "create", "enrollments": [enrollment(), {"registrationId": ""}, 3]},
            {"/enrollments/1/registrationId", "/enrollments/1/attestation", "/enrollments/2"},
        ),
    ],
    ids=["mode", "list", "records"],
)
def test_bulk_operation_is_refused_with_every_fault(app: httpx.Client, operation, pointers):
    """If one record of a bulk operation cannot be right, none is sent, and all faults are told."""
    reply = app.post("/enrollments", json=operation)

    assert reply.status_code == 400
    assert set(reply.json()["info"]) == pointers


@pytest.mark.parametrize(
    "count", [pytest.param(11, id="eleven"), pytest.param(2, id="one id twice")]
)
def test_stand_in_refuses_what_dps_takes_not_in_one_call(app, stack: Stack, count: int):
    """Two records of one id, sent as they are, are DPS's to refuse; eleven never reach it as one."""
    records = [enrollment(registrationId=f"d-{n}" if count > 10 else "same") for n in range(count)]

    reply = app.post("/enrollments", json={"mode": "create", "enrollments": records})

    calls = [request.status for request in stack.dps.requests]
    assert (reply.status_code, calls) == ((200, [200, 200]) if count > 10 else (400, [400]))


def test_ids_have_no_case(app: httpx.Client):
    """A record is found under its id in any case, and cannot be created twice."""
    app.put("/enrollments/Dev-1", json=enrollment(registrationId="Dev-1")).raise_for_status()

    assert app.get("/enrollments/dEV-1").json()["registrationId"] == "Dev-1"
    assert app.put("/enrollments/dev-1", json=enrollment()).status_code == 409


def test_no_error_repeats_what_was_sent(app: httpx.Client):
    """Whatever was wrong, the answer holds none of the values."""
    key = symmetric_key(65)
    document = enrollment(
        registrationId=f"{key} {key}",
        allocationPolicy=key,
        provisioningStatus=key,
        attestation={**SYMMETRIC, "symmetricKey": {"primaryKey": key}, "tpm": {"x": key}},
    )

    reply = app.put(f"/enrollments/{quote(key + ' ', safe='')}", json=document)

    assert reply.status_code == 400
    assert key not in reply.text


def test_member_named_by_half_a_character_is_told(app: httpx.Client):
    """Even such a name can be pointed at."""
    reply = put(app, b'{"\\ud800": 1, "\\ud800": 2}')

    assert reply.status_code == 400
    assert len(reply.json()["info"]) == 1


@pytest.mark.parametrize("path", ["enrollments", "enrollmentGroups"])
def test_bulk_in_pythons_spelling_is_400(app: httpx.Client, path: str):
    """Members that are none of DPS's are not taken for them."""
    operation = {"mode": "upsert", path: [{"registration_id": "a", "enrollment_group_id": "a"}]}

    reply = app.post(f"/{path}", json=operation)

    assert reply.status_code == 400
    assert f"/{path}/0/attestation" in reply.json()["info"]
