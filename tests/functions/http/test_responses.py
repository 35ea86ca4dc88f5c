"""Error responses: what DPS did, and what the caller gets."""

import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from local.dps import DpsStandIn
from tests.secret_factory import connection_string

ENROLLMENT = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}}
ERROR_OF_ANOTHER = {"registrationId": "other", "errorCode": 409201, "errorStatus": "exists"}
DPS_ERROR = {"errorCode": 400004, "message": "A message of DPS.", "trackingId": "dps-1"}


def response_fault(status: int, **more: Any) -> dict[str, Any]:
    """Returns a fault that makes DPS respond like this."""
    code = {"errorCode": status * 1000 + 1}
    return {"do": {"status": status, "body": DPS_ERROR | code, **more}}


@pytest.mark.parametrize("status", [400, 404, 409, 412, 429])
def test_client_error_of_dps_is_passed_on(
    app: httpx.Client, set_faults: Callable[..., None], status: int
) -> None:
    """With DPS's code, message, tracking id and `Retry-After`."""
    set_faults(response_fault(status, headers={"Retry-After": "99"}))

    response = app.put("/enrollments/dev-1", json=ENROLLMENT)

    assert response.status_code == status
    assert response.json()["errorCode"] == status * 1000 + 1
    assert (response.json()["message"], response.json()["trackingId"]) == (
        "A message of DPS.",
        "dps-1",
    )
    assert response.headers["x-ms-error-code"] == str(status * 1000 + 1)
    assert response.headers["retry-after"] == "99"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (response_fault(401), 502, 502002),
        (response_fault(403), 502, 502002),
        (response_fault(500), 502, 502001),
        (response_fault(503), 502, 502001),
        ({"do": {"status": 200, "html": True}}, 502, 502001),
        ({"do": {"resetBefore": True}}, 502, 502003),
        ({"do": {"halfAnswer": True}}, 502, 502003),
    ],
    ids=["401", "403", "500", "503", "html", "reset", "half"],
)
def test_server_error_of_dps_is_502(
    app: httpx.Client, set_faults: Callable[..., None], fault: Any, status: int, code: int
) -> None:
    """A refused credential, a failing DPS, an unreadable response: with a code of the app."""
    set_faults(fault)

    response = app.get("/enrollments/dev-1")

    assert (response.status_code, response.json()["errorCode"]) == (status, code)


def test_write_with_a_lost_response_succeeds(
    app: httpx.Client, set_faults: Callable[..., None]
) -> None:
    """If the record is as requested."""
    set_faults({"match": {"method": "PUT"}, "times": 1, "do": {"resetAfterCommit": True}})

    response = app.put("/enrollments/dev-1", json=ENROLLMENT)

    assert response.status_code == 200
    assert set(response.json()["attestation"]["symmetricKey"]) == {"primaryKey", "secondaryKey"}


def query_all(app: httpx.Client) -> list[dict[str, Any]]:
    """Returns every enrollment in DPS."""
    return list(app.post("/enrollments/query", json={"query": "*"}).json())


@pytest.mark.parametrize("number", [1, 25])
@pytest.mark.parametrize("mode", ["create", "update", "updateIfMatchETag", "upsert", "delete"])
def test_bulk_operation_with_a_lost_response_succeeds(
    app: httpx.Client, set_faults: Callable[..., None], mode: str, number: int
) -> None:
    """Whether it was one call or several."""
    records = [ENROLLMENT | {"registrationId": f"d-{n}"} for n in range(number)]
    if mode not in {"create", "upsert"}:
        app.post("/enrollments", json={"mode": "create", "enrollments": records})
        etags = {record["registrationId"]: record["etag"] for record in query_all(app)}
        records = [record | {"etag": etags[record["registrationId"]]} for record in records]
    fault = {"match": {"path": "^/enrollments$"}, "times": 1, "do": {"resetAfterCommit": True}}
    set_faults(fault)

    response = app.post("/enrollments", json={"mode": mode, "enrollments": records})

    assert (response.status_code, response.json()) == (200, {"errors": [], "isSuccessful": True})


@pytest.mark.parametrize("number", [3, 12])
@pytest.mark.parametrize(
    "effect",
    [
        {"resetBefore": True},
        {"status": 200, "body": {"errors": [], "isSuccessful": False}},
        {"status": 200, "body": {"isSuccessful": True}},
        {"status": 200, "body": {"errors": [5], "isSuccessful": False}},
        {"status": 200, "body": {"errors": [ERROR_OF_ANOTHER], "isSuccessful": False}},
    ],
    ids=["lost", "names no record", "no errors", "no objects", "another record"],
)
def test_records_in_doubt_are_errors_of_the_bulk_result(
    app: httpx.Client, set_faults: Callable[..., None], number: int, effect: dict[str, object]
) -> None:
    """DPS does not say which records it applied, in one call or several."""
    set_faults({"match": {"path": "^/enrollments$"}, "do": effect})
    records = [ENROLLMENT | {"registrationId": f"d-{n}"} for n in range(number)]

    response = app.post("/enrollments", json={"mode": "create", "enrollments": records})

    assert response.status_code == 200
    assert {error["registrationId"]: error["errorCode"] for error in response.json()["errors"]} == {
        record["registrationId"]: 503004 for record in records
    }


@pytest.mark.parametrize("number", [3, 12])
def test_bulk_operation_that_cannot_be_reconciled_is_in_doubt(
    app: httpx.Client, set_faults: Callable[..., None], number: int
) -> None:
    """A retry's 409 may be the effect of the first attempt, and the records cannot be read."""
    bulk_path = {"path": "^/enrollments$"}
    set_faults(
        {"match": bulk_path, "times": -(-number // 10), "do": {"resetAfterCommit": True}},
        {"match": {"path": "^/enrollments/."}, "do": {"status": 503}},
    )
    records = [ENROLLMENT | {"registrationId": f"d-{n}"} for n in range(number)]

    response = app.post("/enrollments", json={"mode": "create", "enrollments": records})

    assert [error["errorCode"] for error in response.json()["errors"]] == [503004] * number


@pytest.mark.parametrize("number", [3, 12])
def test_invalid_record_is_named_although_dps_refuses_the_credential(
    app: httpx.Client, set_faults: Callable[..., None], number: int
) -> None:
    """The others have an error of their own, so that both can be corrected at once."""
    set_faults({"match": {"path": "^/enrollments$"}, "do": {"status": 401}})
    records = [ENROLLMENT | {"registrationId": f"d-{n}"} for n in range(number)]
    records[1] = {"registrationId": "d-1"}

    response = app.post("/enrollments", json={"mode": "create", "enrollments": records})

    codes = [error["errorCode"] for error in response.json()["errors"]]
    assert response.status_code == 200
    assert codes == [503003, 400004, *[503003] * (number - 2)]


def test_unreachable_dps_is_503(app_with: Callable[..., httpx.Client]) -> None:
    """Nothing was applied, so `Retry-After` says when to retry."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{unused.getsockname()[1]}"
    app = app_with(DPS_CONNECTION_STRING=connection_string(url), DPS_MAX_ATTEMPTS="1")

    response = app.put("/enrollments/dev-1", json=ENROLLMENT)

    assert (response.status_code, response.json()["errorCode"]) == (503, 503002)
    assert int(response.headers["retry-after"]) > 0


def test_unresponsive_dps_is_504(app_with: Callable[..., httpx.Client], dps: DpsStandIn) -> None:
    """After the timeout."""
    httpx.put(f"{dps.url}/_faults", json=[{"do": {"stall": True}}]).raise_for_status()
    app = app_with(DPS_CONNECTION_STRING=dps.connection_string, DPS_TIMEOUT_SECONDS="0.3")

    response = app.get("/enrollments/dev-1")

    assert (response.status_code, response.json()["errorCode"]) == (504, 504001)


def test_unexpected_error_is_500_without_details(
    app: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only the log has them."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("inner workings")

    monkeypatch.setattr("functions.http.handlers.parse_call", broken)

    response = app.get("/enrollments/dev-1")

    assert (response.status_code, response.json()["errorCode"]) == (500, 500001)
    assert "inner workings" not in response.text
    assert "inner workings" in caplog.text


def test_error_is_logged_with_its_ids(app: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    """Error code, tracking id and request id."""
    caplog.set_level("INFO")

    response = app.get("/enrollments/nobody")

    line = next(r.getMessage() for r in caplog.records if r.name == "functions.http.responses")
    assert "404201" in line
    assert response.json()["trackingId"] in line
    assert response.headers["x-ms-request-id"] in line


PROBLEM = "application/problem+json"
JSON = "application/json"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (PROBLEM, PROBLEM),
        (PROBLEM.upper(), PROBLEM),
        (f"{PROBLEM}; charset=utf-8", PROBLEM),
        (f"{JSON}, {PROBLEM}", PROBLEM),
        (f"{JSON};q=0.5, {PROBLEM};q=0.6", PROBLEM),
        (f"text/html, {PROBLEM};q=0.1", PROBLEM),
        (f"*/*, {JSON};q=0", PROBLEM),
        (f"{PROBLEM};q=0", JSON),
        (f"{PROBLEM}; q=0.000, */*", JSON),
        (f"{JSON}, {PROBLEM};q=0.9", JSON),
        (f"application/*, {PROBLEM};q=0.9", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/html", JSON),
        ("", JSON),
        (";;q=,/", JSON),
    ],
)
def test_format_of_an_error_is_the_one_that_the_caller_prefers(
    app: httpx.Client, accept: str, media_type: str
) -> None:
    """By the quality of each in `Accept`; the problem format must be named or be the only one."""
    response = app.get("/enrollments/missing", headers={"Accept": accept})

    assert response.status_code == 404
    assert response.headers["content-type"].partition(";")[0] == media_type
    assert ("title" in response.json()) == (media_type == PROBLEM)
