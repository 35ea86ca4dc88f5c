"""
Parsing of HTTP requests: invalid ones are refused with every fault, odd but valid ones are passed
on.
"""

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from shared.dps.models import BulkMode
from tests.secret_factory import certificate, endorsement_key, symmetric_key

SYMMETRIC_KEY = {"type": "symmetricKey"}
TPM = {"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}}


def enrollment(**members: Any) -> dict[str, Any]:
    """Returns a valid enrollment with these members added or replaced."""
    return {"registrationId": "dev-1", "attestation": SYMMETRIC_KEY, **members}


def put(app: httpx.Client, body: bytes, **headers: str) -> httpx.Response:
    """Sends a body as it is."""
    all_headers = {"Content-Type": "application/json", **headers}
    return app.put("/enrollments/dev-1", content=body, headers=all_headers)


BODIES = {
    "missing": (b"", "required"),
    "no json": (b"registrationId=dev-1", "is not JSON"),
    "no object": (b'["dev-1"]', "must be an object"),
    "no utf-8": (b'{"registrationId": "\xff"}', "is not UTF-8"),
    "nan": (b'{"registrationId": NaN}', "outside the range of a double"),
    "nested": (b"[" * 10_000 + b"]" * 10_000, "must not nest deeper"),
}


@pytest.mark.usefixtures("no_dps_calls")
@pytest.mark.parametrize(("body", "text"), BODIES.values(), ids=BODIES)
def test_unreadable_body_is_400(app: httpx.Client, body: bytes, text: str) -> None:
    """The fault says why it cannot be parsed."""
    response = put(app, body)

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
    assert text in response.json()["info"][""]


@pytest.mark.usefixtures("no_dps_calls")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/enrollments/dev-1"),
        ("PATCH", "/enrollmentGroups/group-1"),
        ("POST", "/enrollments"),
        ("POST", "/enrollments/query"),
        ("POST", "/rejected/replay"),
        ("POST", "/allocation/default/explain"),
    ],
)
def test_chunked_body_is_400_with_its_remedy(app: httpx.Client, method: str, path: str) -> None:
    """The Functions host passes it on empty, so that the request seems to have no body."""
    media_type = "application/merge-patch+json" if method == "PATCH" else "application/json"

    response = app.request(
        method, path, content=iter([b"{}"]), headers={"Content-Type": media_type}
    )

    assert response.request.headers["Transfer-Encoding"] == "chunked"
    assert response.status_code == 400
    assert "Transfer-Encoding: chunked" in response.json()["info"][""]
    assert "Content-Length" in response.json()["info"][""]


@pytest.mark.usefixtures("no_dps_calls")
def test_duplicate_member_is_400(app: httpx.Client) -> None:
    """With its pointer."""
    response = put(app, b'{"registrationId": "dev-1", "attestation": {"type": "x", "type": "y"}}')

    assert response.status_code == 400
    assert list(response.json()["info"]) == ["/attestation/type"]


EVERY_HEADER = {"If-Match": "a b", "Content-Type": "text/plain"}


@pytest.mark.usefixtures("no_dps_calls")
def test_no_fault_hides_another(app: httpx.Client) -> None:
    """Neither a repeated member, nor one in two spellings, nor a header, parameter or media type."""
    body = (
        b'{"registrationId": "dev-1", "attestation": {"type": "x", "type": "symetricKey"}, '
        b'"etag": 1, "ETag": 1, "iotHub": 1, "iotHubs": ["h"]}'
    )

    response = put(app, body, **EVERY_HEADER)

    assert (response.status_code, response.json()["errorCode"]) == (415, 415001)
    assert set(response.json()["info"]) == {
        "If-Match",
        "Content-Type",
        "/attestation/type",
        "/ETag",
        "/iotHub",
        "/allocationPolicy",
    }


@pytest.mark.usefixtures("no_dps_calls")
@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        ({"params": {"api-version": "1"}}, "api-version"),
        ({"headers": {"Content-Type": "text/csv"}}, "Content-Type"),
        ({"content": b'{"mode": "upsert", "mode": "create", "enrollments": [{}]}'}, "/mode"),
        ({"content": b'{"mode": "create", "enrollments": [{"a": 1, "a": 1}]}'}, "/enrollments/0/a"),
    ],
    ids=["parameter", "header", "repeated", "repeated in a record"],
)
def test_refused_bulk_operation_has_the_faults_of_its_records(
    app: httpx.Client, request_: dict[str, Any], fault: str
) -> None:
    """It is refused as a whole, so that no record has a result of its own."""
    body = {"content": b'{"mode": "create", "enrollments": [{}]}'}
    headers = {"Content-Type": "application/json", **request_.pop("headers", {})}

    response = app.post("/enrollments", headers=headers, **(body | request_))

    assert set(response.json()["info"]) == {
        fault,
        "/enrollments/0/registrationId",
        "/enrollments/0/attestation",
    }


@pytest.mark.usefixtures("no_dps_calls")
def test_error_lists_a_thousand_faults(app: httpx.Client) -> None:
    """The fault of the body says how many more there are."""
    operation = {"mode": "x", "enrollments": [{}] * 1000}

    response = app.post("/enrollments", json=operation)

    info = response.json()["info"]
    assert len(info) == 1001
    assert info[""] == "has more faults than are listed (1001 more)"


ANY_CASE = {
    "RegistrationId": "dev-1",
    "Attestation": {"Type": "SymmetricKey", "SYMMETRICKEY": {"PrimaryKey": None}},
    "provisioningstatus": "Disabled",
    "allocationpolicy": "GEOLATENCY",
    "IotHubs": ["hub-1.azure-devices.net"],
    "reprovisionPolicy": {"UpdateHubAssignment": True, "migrateDeviceData": True},
    "initialTwin": {"tags": {"ProvisioningStatus": "Enabled"}},
    "Preview": {"Type": "Hashed"},
}
WRITTEN = {
    "registrationId": "dev-1",
    "provisioningStatus": "disabled",
    "allocationPolicy": "geoLatency",
    "iotHubs": ["hub-1.azure-devices.net"],
    "reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": True},
    "initialTwin": {"tags": {"ProvisioningStatus": "Enabled"}},
    "Preview": {"Type": "Hashed"},
}


@pytest.mark.parametrize("mode", [None, "Create", "UPSERT"])
def test_known_names_and_values_are_written_in_the_spelling_of_dps(
    app: httpx.Client, mode: str | None
) -> None:
    """By a PUT and by every kind of bulk operation; what is unknown, and twins, are as sent."""
    if mode:
        operation = {"MODE": mode, "Enrollments": [ANY_CASE]}
        response = app.post("/enrollments", json=operation)
        assert response.json() == {"errors": [], "isSuccessful": True}
    else:
        app.put("/enrollments/dev-1", json=ANY_CASE).raise_for_status()

    stored = app.get("/enrollments/dev-1").json()

    assert stored["attestation"] == {"type": "symmetricKey"}
    assert {name: stored[name] for name in WRITTEN} == WRITTEN
    assert len(set(map(str.lower, stored))) == len(stored)


@pytest.mark.usefixtures("no_dps_calls")
def test_document_above_a_megabyte_is_413(app: httpx.Client) -> None:
    """With its own error code."""
    response = put(app, json.dumps(enrollment(initialTwin={"tags": {"x": "y" * 2**20}})).encode())

    assert (response.status_code, response.json()["errorCode"]) == (413, 413001)


@pytest.mark.usefixtures("no_dps_calls")
@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "json"])
def test_body_of_another_media_type_is_415(app: httpx.Client, media_type: str) -> None:
    """As in DPS."""
    response = put(app, json.dumps(enrollment()).encode(), **{"Content-Type": media_type})

    assert (response.status_code, response.json()["errorCode"]) == (415, 415001)


@pytest.mark.usefixtures("no_dps_calls")
def test_bulk_operation_with_too_many_records_is_413(app: httpx.Client) -> None:
    """It is refused as a whole."""
    records = [{"registrationId": f"d-{n}"} for n in range(100_000)]

    response = app.post("/enrollments", json={"mode": "delete", "enrollments": records})

    assert (response.status_code, response.json()["errorCode"]) == (413, 413001)


DOCUMENTS = {
    "id of another shape": (enrollment(registrationId="a b"), "/registrationId"),
    "no attestation": ({"registrationId": "dev-1"}, "/attestation"),
    "two attestations": (enrollment(attestation=TPM | SYMMETRIC_KEY), "/attestation/tpm"),
    "key of no base64": (
        enrollment(attestation={**SYMMETRIC_KEY, "symmetricKey": {"primaryKey": "?"}}),
        "/attestation/symmetricKey/primaryKey",
    ),
    "key of 15 bytes": (
        enrollment(
            attestation={**SYMMETRIC_KEY, "symmetricKey": {"primaryKey": symmetric_key(15)}}
        ),
        "/attestation/symmetricKey/primaryKey",
    ),
    "key of 65 bytes": (
        enrollment(
            attestation={**SYMMETRIC_KEY, "symmetricKey": {"secondaryKey": symmetric_key(65)}}
        ),
        "/attestation/symmetricKey/secondaryKey",
    ),
    "custom without definition": (
        enrollment(allocationPolicy="custom"),
        "/customAllocationDefinition",
    ),
}


@pytest.mark.usefixtures("no_dps_calls")
@pytest.mark.parametrize(("document", "pointer"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_invalid_document_is_400(app: httpx.Client, document: Any, pointer: str) -> None:
    """With the fault's pointer, and without calling DPS."""
    response = app.put("/enrollments/dev-1", json=document)

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)
    assert list(response.json()["info"]) == [pointer]


@pytest.mark.usefixtures("no_dps_calls")
def test_group_with_tpm_attestation_is_400(app: httpx.Client) -> None:
    """A TPM belongs to one device."""
    group = {"enrollmentGroupId": "g-1", "attestation": TPM}

    response = app.put("/enrollmentGroups/g-1", json=group)

    assert list(response.json()["info"]) == ["/attestation"]


@pytest.mark.usefixtures("no_dps_calls")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_validate_only_of_a_single_record_is_400(app: httpx.Client, method: str) -> None:
    """Only a bulk operation can be validated: the caller must not take a write for a validation."""
    response = app.request(method, "/enrollments/dev-1?validateOnly=true", json=enrollment())

    assert response.json()["info"] == {"validateOnly": "is only for bulk operations"}


@pytest.mark.usefixtures("no_dps_calls")
def test_faults_of_path_query_headers_and_body_are_reported_together(app: httpx.Client) -> None:
    """In one response."""
    response = app.put(
        "/enrollments/a%20b?api-version=2000-01-01",
        json=enrollment(allocationPolicy="custom", provisioningStatus="on"),
        headers={"If-Match": "a b"},
    )

    assert response.status_code == 400
    assert set(response.json()["info"]) == {
        "id",
        "api-version",
        "If-Match",
        "/customAllocationDefinition",
        "/provisioningStatus",
    }


@pytest.mark.usefixtures("no_dps_calls")
@pytest.mark.parametrize(
    ("operation", "pointers"),
    [
        ({"mode": "replace", "enrollments": []}, {"/mode"}),
        ({"mode": "create"}, {"/enrollments"}),
        (
            {"mode": "create", "enrollments": [enrollment(), {}, enrollment()]},
            {
                "/enrollments/0/registrationId",
                "/enrollments/1/registrationId",
                "/enrollments/1/attestation",
                "/enrollments/2/registrationId",
            },
        ),
        (
            {
                "mode": "upsert",
                "Enrollments": [{**enrollment(), "RegistrationId": "x"}, enrollment()],
            },
            {
                "/enrollments/0/RegistrationId",
                "/enrollments/0/registrationId",
                "/enrollments/1/registrationId",
            },
        ),
        (
            {"mode": "creat", "enrollments": [enrollment(iotHubs=["h"]), {"registrationId": "?"}]},
            {
                "/mode",
                "/enrollments/0/allocationPolicy",
                "/enrollments/1/registrationId",
                "/enrollments/1/attestation",
            },
        ),
        (
            {"mode": "remove", "enrollments": [{"registrationId": "a"}, {"registrationId": "?"}]},
            {"/mode", "/enrollments/1/registrationId"},
        ),
    ],
    ids=["mode", "list", "one id twice", "two spellings", "mode and records", "mode and ids"],
)
def test_invalid_bulk_operation_is_400_with_every_fault(
    app: httpx.Client, operation: dict[str, Any], pointers: Any
) -> None:
    """Nothing of it is sent to DPS."""
    response = app.post("/enrollments", json=operation)

    assert response.status_code == 400
    assert set(response.json()["info"]) == pointers


@pytest.mark.usefixtures("no_dps_calls")
@pytest.mark.parametrize("mode", BulkMode)
def test_one_id_in_two_cases_is_named_with_both_pointers(app: httpx.Client, mode: str) -> None:
    """In every mode: DPS refuses such a call, and an `upsert` would overwrite the first record."""
    first, second = enrollment(registrationId="A"), {"REGISTRATIONID": "a", "attestation": TPM}

    response = app.post("/enrollments", json={"mode": mode, "enrollments": [first, second]})

    pointers = ["/enrollments/0/registrationId", "/enrollments/1/registrationId"]
    assert response.json()["info"] == {
        here: f"must be unique, without regard to case; {other} has the same id"
        for here, other in (pointers, pointers[::-1])
    }


@pytest.mark.usefixtures("no_dps_calls")
def test_bulk_operation_above_32_mb_is_413(app: httpx.Client) -> None:
    """The body is not parsed."""
    response = app.post(
        "/enrollments",
        content=b'{"mode": "create", "enrollments": ["' + b"x" * 32 * 1024 * 1024 + b'"]}',
        headers={"Content-Type": "application/json"},
    )

    assert (response.status_code, response.json()["errorCode"]) == (413, 413001)


@pytest.mark.usefixtures("no_dps_calls")
def test_bulk_operation_of_a_million_tiny_values_is_413(app: httpx.Client) -> None:
    """They would take much more memory than their text, and are refused before they are parsed."""
    response = app.post(
        "/enrollments",
        content=b'{"mode": "create", "enrollments": [' + b"{}," * 600_000 + b"{}]}",
        headers={"Content-Type": "application/json"},
    )

    assert response.status_code == 413
    assert response.json()["info"] == {"": "must not exceed 1000000 values"}


@pytest.mark.usefixtures("no_dps_calls")
@pytest.mark.parametrize(
    ("path", "body", "fault"),
    [
        ("enrollments/dev-1", b'{"a": [' + b"0," * 200_000 + b"0]}", {"": "100000 values"}),
        ("enrollments", b'{"a": ["' + b"x" * 40 * 2**20 + b'"]}', {"": "33554432 bytes"}),
        (
            "enrollments",
            b'{"enrollments": [' + b"{}," * 10_000 + b"oops",
            {"/enrollments": "10000"},
        ),
        (
            "enrollments",
            b'{"enrollments": [{"initialTwin": {"tags": ['
            + b'"xxxxxxxxxxxxxxx",' * 200_000
            + b"oops",
            {"/enrollments/0/initialTwin": "1048576 bytes"},
        ),
    ],
    ids=["values", "bytes", "records", "twin"],
)
def test_body_that_cannot_be_valid_is_not_parsed(
    app: httpx.Client, path: str, body: bytes, fault: dict[str, str]
) -> None:
    """The parser would find that it is not JSON, or take seconds in which nothing else runs."""
    headers = {"Content-Type": "application/json"}
    method = "PUT" if "/" in path else "POST"

    response = app.request(method, f"/{path}", content=body, headers=headers)

    assert (response.status_code, response.json()["errorCode"]) == (413, 413001)
    ((pointer, text),) = response.json()["info"].items()
    assert (pointer, fault[pointer] in text) == (pointer, True)


def test_ids_are_case_insensitive(app: httpx.Client) -> None:
    """A record cannot be created twice under ids that differ in case."""
    app.put("/enrollments/Dev-1", json=enrollment(registrationId="Dev-1")).raise_for_status()

    assert app.get("/enrollments/dEV-1").json()["registrationId"] == "Dev-1"
    assert app.put("/enrollments/dev-1", json=enrollment()).status_code == 409


def test_errors_do_not_echo_values(app: httpx.Client) -> None:
    """Whatever is invalid."""
    key = symmetric_key(65)
    document = enrollment(
        registrationId=f"{key} {key}",
        allocationPolicy=key,
        provisioningStatus=key,
        attestation={**SYMMETRIC_KEY, "symmetricKey": {"primaryKey": key}, "tpm": {"x": key}},
    )

    response = app.put(f"/enrollments/{quote(key + ' ', safe='')}", json=document)

    assert response.status_code == 400
    assert key not in response.text


def test_duplicate_member_with_an_unpaired_surrogate_is_400(app: httpx.Client) -> None:
    """Its pointer can be sent."""
    response = put(app, b'{"\\ud800": 1, "\\ud800": 2}')

    assert response.status_code == 400
    assert response.json()["info"]["/\ud800"] == "must not appear more than once"


@pytest.mark.parametrize("path", ["enrollments", "enrollmentGroups"])
def test_record_with_snake_case_members_is_invalid(app: httpx.Client, path: str) -> None:
    """Only DPS's names are members."""
    operation = {"mode": "upsert", path: [{"registration_id": "a", "enrollment_group_id": "a"}]}

    response = app.post(f"/{path}", json=operation)

    (error,) = response.json()["errors"]
    assert error["errorCode"] == 400004
    assert f"/{path}/0/attestation" in error["info"]


INVALID_IDS = ["a/b", "a?b", "a#b", "a%2Fb", "a@b", "a b", "x" * 129, "end.", "end:", "end_", "ä"]


@pytest.mark.usefixtures("no_dps_calls")
@pytest.mark.parametrize("path", ["enrollments", "enrollmentGroups", "registrations"])
@pytest.mark.parametrize("id", INVALID_IDS)
def test_invalid_id_is_400(app: httpx.Client, path: str, id: str) -> None:
    """An id in the path that DPS does not allow."""
    response = app.get(f"/{path}/{quote(id, safe='')}")

    assert response.status_code == 400
    assert list(response.json()["info"]) == ["id"]


@pytest.mark.usefixtures("no_dps_calls")
@pytest.mark.parametrize("etag", ['"open', "a b", "a,b", 'W/"AAAA"', '""', "ä"])
def test_invalid_if_match_is_400(app: httpx.Client, etag: str) -> None:
    """It must be one etag or `*`."""
    headers = {b"If-Match": etag.encode()}

    response = app.delete("/enrollments/dev-1", headers=headers)

    assert response.status_code == 400
    assert list(response.json()["info"]) == ["If-Match"]


@pytest.mark.usefixtures("no_dps_calls")
def test_invalid_page_size_is_400(app: httpx.Client) -> None:
    """x-ms-max-item-count must be a whole number."""
    headers = {"x-ms-max-item-count": "ten"}

    response = app.post("/enrollments/query", json={"query": "*"}, headers=headers)

    assert list(response.json()["info"]) == ["x-ms-max-item-count"]


@pytest.mark.usefixtures("no_dps_calls")
def test_invalid_continuation_is_400(app: httpx.Client) -> None:
    """A token is opaque, but ASCII."""
    headers = {b"x-ms-continuation": "é".encode()}

    response = app.post("/enrollments/query", json={"query": "*"}, headers=headers)

    assert list(response.json()["info"]) == ["x-ms-continuation"]


def test_empty_continuation_is_the_first_page(app: httpx.Client) -> None:
    """For clients that always send the header."""
    headers = {"x-ms-continuation": ""}

    assert app.post("/enrollments/query", json={"query": "*"}, headers=headers).json() == []


ACCEPTED = {
    "colon and inner dots": enrollment(registrationId="a:b..c"),
    "upper case": enrollment(registrationId="DEV-1"),
    "certificate of another name": enrollment(
        attestation={
            "type": "x509",
            "x509": {"clientCertificates": {"primary": {"certificate": certificate("other")}}},
        }
    ),
    "static without hubs": enrollment(allocationPolicy="static"),
}


@pytest.mark.parametrize("document", ACCEPTED.values(), ids=ACCEPTED)
def test_unusual_document_is_accepted(app: httpx.Client, document: dict[str, Any]) -> None:
    """If DPS accepts it."""
    response = app.put(f"/enrollments/{quote(document['registrationId'], safe='')}", json=document)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("name", "has_warning"), [("dev-1", False), ("DEV-1", False), ("other", True)]
)
def test_certificate_with_another_common_name_has_a_warning(
    app: httpx.Client, name: str, has_warning: bool
) -> None:
    """DPS accepts it, but no device can register with it."""
    certificates = {"primary": {"certificate": certificate(name)}}
    x509 = {"type": "x509", "x509": {"clientCertificates": certificates}}

    response = app.put("/enrollments/dev-1", json=enrollment(attestation=x509))

    assert response.status_code == 200
    assert ("primary" in response.headers.get("warning", "")) is has_warning


def test_unpaired_surrogate_is_stored(app: httpx.Client) -> None:
    """JSON allows it: the record is written, read and queried."""
    body = b'{"registrationId": "dev-1", "attestation": {"type": "none"}, "x": "\\ud800"}'

    headers = {"Content-Type": "application/json"}
    written = app.put("/enrollments/dev-1", content=body, headers=headers)
    found = app.post("/enrollments/query", json={"query": "*"})

    assert written.status_code == 200
    assert b'"\\ud800"' in app.get("/enrollments/dev-1").content
    assert len(found.json()) == 1


@pytest.mark.usefixtures("no_dps_calls")
@pytest.mark.parametrize(
    "query", ["validateOnly", "validateOnly=", "validate_only=yes", "validateOnly%20=1"]
)
def test_validation_that_is_asked_for_badly_writes_nothing(app: httpx.Client, query: str) -> None:
    """The host passes on no parameter without a value."""
    operation = {"mode": "create", "enrollments": [enrollment()]}

    response = app.post(f"/enrollments?{query}", json=operation)

    assert response.json().get("info") == {"validateOnly": "must be true or false"}
