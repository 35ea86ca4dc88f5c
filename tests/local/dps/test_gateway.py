"""HTTP in front of the service API: paths, methods, versions, bodies and headers."""

from typing import Any

import httpx
import pytest

from local.dps import DpsStandIn
from tests.local.dps.calls import API_VERSION, NO_TLS, tpm_document


@pytest.mark.parametrize(
    "path",
    ["/enrollments/tpm-1", "/ENROLLMENTS/tpm-1", "/enrollments/tpm-1/"],
)
def test_path_without_case_and_with_a_trailing_slash_is_accepted(
    client: httpx.Client, path: str
) -> None:
    """Some SDKs send lower case, some a trailing slash."""
    client.put("/enrollments/tpm-1", json=tpm_document())

    assert client.get(path).status_code == 200


def test_bulk_path_with_a_trailing_slash_is_accepted(client: httpx.Client) -> None:
    """The C SDK sends bulk operations like this."""
    body = {"enrollments": [tpm_document()], "mode": "create"}

    assert client.post("/enrollments/", json=body).json()["isSuccessful"] is True


def test_enrollment_with_the_id_query_is_readable(client: httpx.Client) -> None:
    """Only POST on this path is a query."""
    client.put("/enrollments/query", json=tpm_document("query"))

    assert client.get("/enrollments/query").json()["registrationId"] == "query"


@pytest.mark.parametrize(
    "path", ["/", "/devices/a", "/enrollments/a/b", "/enrollments//attestationmechanism"]
)
def test_unknown_path_is_404(client: httpx.Client, path: str) -> None:
    """The response has an error body of DPS."""
    response = client.post(path)

    assert (response.status_code, response.json()["errorCode"]) == (404, 404000)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/enrollments/a", "DELETE, GET, PUT"),
        ("PUT", "/enrollments", "POST"),
        ("GET", "/enrollments/a/attestationmechanism", "POST"),
        ("PUT", "/registrations/a", "DELETE, GET"),
    ],
)
def test_unknown_method_is_405(client: httpx.Client, method: str, path: str, allowed: str) -> None:
    """The Allow header lists the allowed methods."""
    response = client.request(method, path)

    assert (response.status_code, response.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize("version", ["2018-04-01", "2019-03-31", "2021-10-01"])
def test_known_api_version_is_accepted(client: httpx.Client, version: str) -> None:
    """The versions that Microsoft's service SDKs send are accepted."""
    assert client.get("/enrollments/nobody", params={"api-version": version}).status_code == 404


@pytest.mark.parametrize("params", [{"api-version": "2020-01-01"}, {"api-version": ""}, {}])
def test_unknown_api_version_is_400(dps: DpsStandIn, params: dict[str, Any]) -> None:
    """The response has the error body of the gateway."""
    response = httpx.get(f"{dps.url}/enrollmentGroups/a", params=params, verify=NO_TLS)

    assert response.status_code == 400
    assert list(response.json()) == ["Message", "ExceptionMessage"]
    assert response.json()["Message"].startswith(
        "ErrorCode:ArgumentInvalid;Unknown api version; uri: /enrollmentGroups/a"
    )
    assert "-G2:-TimeStamp:" in response.json()["ExceptionMessage"]


def test_response_headers_are_those_recorded(client: httpx.Client) -> None:
    """There is no ETag, request id or Server; the body is chunked."""
    response = client.put("/enrollments/tpm-1", json=tpm_document())

    assert set(response.headers) == {
        "content-type",
        "date",
        "strict-transport-security",
        "transfer-encoding",
    }
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert response.headers["Transfer-Encoding"] == "chunked"


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '"text"', '{"a": NaN}', '{"a": 1e999}', b"\xff", "[" * 99_999],
)
def test_body_that_is_not_a_json_object_is_400(client: httpx.Client, content: str | bytes) -> None:
    """The body is empty, incomplete, of another type, or not JSON."""
    response = client.put(
        "/enrollments/a", content=content, headers={"Content-Type": "application/json"}
    )

    assert (response.status_code, response.json()["errorCode"]) == (400, 400004)


@pytest.mark.parametrize("media_type", ["text/plain", "application/merge-patch+json", ""])
def test_media_type_other_than_json_is_415(client: httpx.Client, media_type: str) -> None:
    """A missing media type is an error too."""
    response = client.put("/enrollments/a", content="{}", headers={"Content-Type": media_type})

    assert response.status_code == 415


def test_charset_with_the_media_type_is_accepted(client: httpx.Client) -> None:
    """The SDKs for Node.js, C# and C send a charset."""
    response = client.put(
        "/enrollments/tpm-1",
        json=tpm_document(),
        headers={"Content-Type": "Application/JSON; charset=utf-8"},
    )

    assert response.status_code == 200


def test_body_of_more_than_a_megabyte_is_413(client: httpx.Client) -> None:
    """The response has an error body of DPS."""
    body = tpm_document() | {"optionalDeviceInformation": {"text": "x" * 1024 * 1024}}

    response = client.put("/enrollments/tpm-1", json=body)

    assert (response.status_code, response.json()["errorCode"]) == (413, 413000)


def test_requests_are_logged(dps: DpsStandIn, client: httpx.Client) -> None:
    """Each request has method, decoded path, operation and status, whatever the result."""
    client.get("/enrollments/a%3Ab")
    client.patch("/nowhere")
    httpx.get(f"{dps.url}/enrollments/a", params=API_VERSION, verify=NO_TLS)

    logged = [(r.method, r.path, r.operation, r.status) for r in dps.requests]

    assert logged == [
        ("GET", "/enrollments/a:b", "enrollments.get", 404),
        ("PATCH", "/nowhere", None, 404),
        ("GET", "/enrollments/a", "enrollments.get", 401),
    ]
