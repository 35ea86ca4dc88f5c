"""Paths, methods, versions, bodies and headers."""

import httpx
import pytest

from tests.local.dps.calls import API_VERSION, NO_TLS, tpm_document


@pytest.mark.parametrize(
    "path",
    ["/enrollments/tpm-1", "/ENROLLMENTS/tpm-1", "/enrollments/tpm-1/"],
)
def test_paths_are_taken_without_case_and_with_a_trailing_slash(client, path):
    """Some SDKs write lower case, some end in a slash."""
    client.put("/enrollments/tpm-1", json=tpm_document())

    assert client.get(path).status_code == 200


def test_bulk_with_a_trailing_slash_is_bulk(client):
    """As the C SDK posts it."""
    body = {"enrollments": [tpm_document()], "mode": "create"}

    assert client.post("/enrollments/", json=body).json()["isSuccessful"] is True


def test_an_enrollment_may_be_called_query(client):
    """The id `query` is legal; only POST means the query."""
    client.put("/enrollments/query", json=tpm_document("query"))

    assert client.get("/enrollments/query").json()["registrationId"] == "query"


@pytest.mark.parametrize(
    "path", ["/", "/devices/a", "/enrollments/a/b", "/enrollments//attestationmechanism"]
)
def test_an_unknown_path_is_404(client, path):
    """With the body of every error."""
    reply = client.post(path)

    assert (reply.status_code, reply.json()["errorCode"]) == (404, 404000)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/enrollments/a", "DELETE, GET, PUT"),
        ("PUT", "/enrollments", "POST"),
        ("GET", "/enrollments/a/attestationmechanism", "POST"),
        ("PUT", "/registrations/a", "DELETE, GET"),
    ],
)
def test_an_unknown_method_is_405(client, method, path, allowed):
    """Which would do is in the Allow header."""
    reply = client.request(method, path)

    assert (reply.status_code, reply.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize("version", ["2018-04-01", "2019-03-31", "2021-10-01"])
def test_a_known_api_version_is_taken(client, version):
    """Those that Microsoft's service SDKs send."""
    assert client.get("/enrollments/nobody", params={"api-version": version}).status_code == 404


@pytest.mark.parametrize("params", [{"api-version": "2020-01-01"}, {"api-version": ""}, {}])
def test_an_unknown_api_version_is_the_gateways_400(dps, params):
    """Its error has the gateway's own shape."""
    reply = httpx.get(f"{dps.url}/enrollmentGroups/a", params=params, verify=NO_TLS)

    assert reply.status_code == 400
    assert list(reply.json()) == ["Message", "ExceptionMessage"]
    assert reply.json()["Message"].startswith(
        "ErrorCode:ArgumentInvalid;Unknown api version; uri: /enrollmentGroups/a"
    )
    assert "-G2:-TimeStamp:" in reply.json()["ExceptionMessage"]


def test_the_headers_are_those_recorded(client):
    """No ETag, no request id, no Server; chunked as recorded."""
    reply = client.put("/enrollments/tpm-1", json=tpm_document())

    assert set(reply.headers) == {
        "content-type",
        "date",
        "strict-transport-security",
        "transfer-encoding",
    }
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert reply.headers["Transfer-Encoding"] == "chunked"


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '"text"', '{"a": NaN}', '{"a": 1e999}', b"\xff", "[" * 99_999],
)
def test_a_body_that_is_no_json_object_is_400(client, content):
    """Empty, cut short, of another type, or no JSON at all."""
    reply = client.put(
        "/enrollments/a", content=content, headers={"Content-Type": "application/json"}
    )

    assert (reply.status_code, reply.json()["errorCode"]) == (400, 400004)


@pytest.mark.parametrize("media_type", ["text/plain", "application/merge-patch+json", ""])
def test_a_body_of_another_media_type_is_415(client, media_type):
    """Only JSON is taken."""
    reply = client.put("/enrollments/a", content="{}", headers={"Content-Type": media_type})

    assert reply.status_code == 415


def test_a_charset_beside_the_media_type_is_fine(client):
    """As the SDKs of Node, C# and C send it."""
    reply = client.put(
        "/enrollments/tpm-1",
        json=tpm_document(),
        headers={"Content-Type": "Application/JSON; charset=utf-8"},
    )

    assert reply.status_code == 200


def test_a_body_of_more_than_a_megabyte_is_413(client):
    """In the shape of every error."""
    body = tpm_document() | {"optionalDeviceInformation": {"text": "x" * 1024 * 1024}}

    reply = client.put("/enrollments/tpm-1", json=body)

    assert (reply.status_code, reply.json()["errorCode"]) == (413, 413000)


def test_every_request_is_remembered(dps, client):
    """With method, decoded path, operation and status, whatever became of it."""
    client.get("/enrollments/a%3Ab")
    client.patch("/nowhere")
    httpx.get(f"{dps.url}/enrollments/a", params=API_VERSION, verify=NO_TLS)

    seen = [(r.method, r.path, r.operation, r.status) for r in dps.requests]

    assert seen == [
        ("GET", "/enrollments/a:b", "enrollments.get", 404),
        ("PATCH", "/nowhere", None, 404),
        ("GET", "/enrollments/a", "enrollments.get", 401),
    ]
