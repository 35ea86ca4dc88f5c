"""What DPS did, and what the caller gets."""

import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.secret_factory import connection_string

ENROLLMENT = {"registrationId": "dev-1", "attestation": {"type": "symmetricKey"}}
DPS_ERROR = {"errorCode": 400004, "message": "DPS's words", "trackingId": "dps-1"}


def answered(status: int, **more: Any) -> dict[str, Any]:
    """A fault that makes DPS answer so."""
    code = {"errorCode": status * 1000 + 1}
    return {"do": {"status": status, "body": DPS_ERROR | code, **more}}


@pytest.mark.parametrize("status", [400, 404, 409, 412, 429])
def test_error_of_the_callers_is_passed_on(app: httpx.Client, order_faults, status: int):
    """What DPS has against the request reaches the caller with DPS's code, words and tracking id."""
    order_faults(answered(status, headers={"Retry-After": "99"}))

    reply = app.put("/enrollments/dev-1", json=ENROLLMENT)

    assert reply.status_code == status
    assert reply.json()["errorCode"] == status * 1000 + 1
    assert (reply.json()["message"], reply.json()["trackingId"]) == ("DPS's words", "dps-1")
    assert reply.headers["x-ms-error-code"] == str(status * 1000 + 1)
    assert reply.headers["retry-after"] == "99"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (answered(401), 502, 502002),
        (answered(403), 502, 502002),
        (answered(500), 502, 502001),
        (answered(503), 502, 502001),
        ({"do": {"status": 200, "html": True}}, 502, 502001),
        ({"do": {"resetBefore": True}}, 502, 502003),
        ({"do": {"halfAnswer": True}}, 502, 502003),
    ],
    ids=["401", "403", "500", "503", "html", "reset", "half"],
)
def test_error_that_is_not_the_callers_is_ours(
    app: httpx.Client, order_faults, fault, status: int, code: int
):
    """A refused credential, a failing DPS and an unreadable answer are 502 with a code of ours."""
    order_faults(fault)

    reply = app.get("/enrollments/dev-1")

    assert (reply.status_code, reply.json()["errorCode"]) == (status, code)


def test_write_whose_reply_was_lost_is_answered_as_if_it_was_not(app: httpx.Client, order_faults):
    """After a lost reply the caller hears success if the record is as asked."""
    order_faults({"match": {"method": "PUT"}, "times": 1, "do": {"resetAfterCommit": True}})

    reply = app.put("/enrollments/dev-1", json=ENROLLMENT)

    assert reply.status_code == 200
    assert set(reply.json()["attestation"]["symmetricKey"]) == {"primaryKey", "secondaryKey"}


def all_records(app: httpx.Client) -> list[dict[str, Any]]:
    """Every enrollment that DPS has."""
    return app.post("/enrollments/query", json={"query": "*"}).json()


@pytest.mark.parametrize("number", [1, 25])
@pytest.mark.parametrize("mode", ["create", "update", "updateIfMatchETag", "upsert", "delete"])
def test_bulk_whose_reply_was_lost_is_answered_as_if_it_was_not(
    app: httpx.Client, order_faults, mode: str, number: int
):
    """In one call or in several, a bulk operation that was done is a success."""
    records = [ENROLLMENT | {"registrationId": f"d-{n}"} for n in range(number)]
    if mode not in {"create", "upsert"}:
        app.post("/enrollments", json={"mode": "create", "enrollments": records})
        found = {record["registrationId"]: record["etag"] for record in all_records(app)}
        records = [record | {"etag": found[record["registrationId"]]} for record in records]
    lost = {"match": {"path": "^/enrollments$"}, "times": 1, "do": {"resetAfterCommit": True}}
    order_faults(lost)

    reply = app.post("/enrollments", json={"mode": mode, "enrollments": records})

    assert (reply.status_code, reply.json()) == (200, {"errors": [], "isSuccessful": True})


def test_unreachable_dps_is_503(app_with: Callable[..., httpx.Client]):
    """Where no connection is made nothing was done: 503, and when to come back."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{unused.getsockname()[1]}"
    app = app_with(DPS_CONNECTION_STRING=connection_string(url), DPS_MAX_ATTEMPTS="1")

    reply = app.put("/enrollments/dev-1", json=ENROLLMENT)

    assert (reply.status_code, reply.json()["errorCode"]) == (503, 503002)
    assert int(reply.headers["retry-after"]) > 0


def test_silent_dps_is_504(app_with: Callable[..., httpx.Client], dps):
    """No answer within the deadline is 504."""
    httpx.put(f"{dps.url}/_faults", json=[{"do": {"stall": True}}]).raise_for_status()
    app = app_with(DPS_CONNECTION_STRING=dps.connection_string, DPS_TIMEOUT_SECONDS="0.3")

    reply = app.get("/enrollments/dev-1")

    assert (reply.status_code, reply.json()["errorCode"]) == (504, 504001)


def test_unforeseen_error_is_500_without_details(app: httpx.Client, monkeypatch, caplog):
    """A bug of ours is answered in DPS's shape, told to the log, and tells the caller nothing."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("inner workings")

    monkeypatch.setattr("functions._verbs.read", broken)

    reply = app.get("/enrollments/dev-1")

    assert (reply.status_code, reply.json()["errorCode"]) == (500, 500001)
    assert "inner workings" not in reply.text
    assert "inner workings" in caplog.text


def test_error_is_logged_with_what_finds_it(app: httpx.Client, caplog):
    """The log line of an error has its code, DPS's tracking id and the id of the request."""
    caplog.set_level("INFO")

    reply = app.get("/enrollments/nobody")

    line = next(r.getMessage() for r in caplog.records if r.name == "functions._replies")
    assert "404201" in line
    assert reply.json()["trackingId"] in line
    assert reply.headers["x-ms-request-id"] in line
