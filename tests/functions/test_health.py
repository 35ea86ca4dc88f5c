"""Health: alive without anything, ready only when DPS answers, and why not."""

from collections.abc import Callable

import httpx
import pytest

from local.dps import DpsStandIn


def test_app_without_settings_lives_and_is_not_ready(app_with: Callable[..., httpx.Client]):
    """With nothing set the app answers, and says what is missing and how to mend it."""
    app = app_with()

    live, ready = app.get("/health/live"), app.get("/health/ready")

    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert ready.status_code == 503
    assert ready.json()["faults"][0]["setting"] == "DPS_CONNECTION_STRING, DPS_ENDPOINT"
    assert "connection string" in ready.json()["faults"][0]["fault"]


def test_every_route_without_settings_says_what_is_missing(app_with: Callable[..., httpx.Client]):
    """A route that needs DPS is a clear 503 while nothing is set."""
    reply = app_with(DPS_MAX_ATTEMPTS="many").get("/enrollments/dev-1")

    assert (reply.status_code, reply.json()["errorCode"]) == (503, 503001)
    assert set(reply.json()["info"]) == {"DPS_CONNECTION_STRING, DPS_ENDPOINT", "DPS_MAX_ATTEMPTS"}


def test_ready_app_says_so_and_looks_once(app_with: Callable[..., httpx.Client], dps: DpsStandIn):
    """A good answer is kept, so that asking often spends no quota."""
    app = app_with(DPS_CONNECTION_STRING=dps.connection_string)

    replies = [app.get("/health/ready") for _ in range(5)]

    assert {reply.status_code for reply in replies} == {200}
    assert replies[0].json()["status"] == "ready"
    assert len(dps.requests) == 1


@pytest.mark.parametrize(
    ("do", "code", "cure"),
    [({"status": 401}, 502002, "DPS_CONNECTION_STRING"), ({"status": 500}, 502001, "Try again")],
    ids=["key refused", "DPS down"],
)
def test_app_that_dps_refuses_is_not_ready(app_with, dps: DpsStandIn, do, code, cure):
    """What DPS has against the app is named with its cure."""
    httpx.put(f"{dps.url}/_faults", json=[{"do": do}]).raise_for_status()
    app = app_with(DPS_CONNECTION_STRING=dps.connection_string, DPS_MAX_ATTEMPTS="1")

    reply = app.get("/health/ready")

    assert reply.status_code == 503
    assert reply.json()["faults"][0]["errorCode"] == code
    assert cure in reply.json()["faults"][0]["cure"]


def test_app_that_is_only_throttled_is_ready(app_with, dps: DpsStandIn):
    """A DPS that is out of quota is there, and takes the credential."""
    faults = [{"do": {"status": 429, "headers": {"Retry-After": "60"}}}]
    httpx.put(f"{dps.url}/_faults", json=faults).raise_for_status()

    assert app_with(DPS_CONNECTION_STRING=dps.connection_string).get("/health/ready").is_success


def test_certificates_that_are_none_are_named(app_with, dps: DpsStandIn, monkeypatch):
    """A wrong setting of the platform is named like one of the app's own."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent.pem")

    reply = app_with(DPS_CONNECTION_STRING=dps.connection_string).get("/health/ready")

    assert reply.status_code == 503
    assert reply.json()["faults"][0]["setting"] == "SSL_CERT_FILE"


def test_ready_app_says_how_it_stands_to_the_quota(app_with, dps: DpsStandIn):
    """Rate, waiting calls and refusals of DPS are there to be watched."""
    app = app_with(DPS_CONNECTION_STRING=dps.connection_string, DPS_PACING_START="60")
    throttle = {"operationsPerMinute": 1, "burst": 1}
    httpx.put(f"{dps.url}/_throttle", json=throttle).raise_for_status()

    first = app.get("/health/ready").json()["pacing"]
    app.delete("/enrollments/dev-1", headers={"x-ms-client-request-id": "spends the quota"})
    second = app.get("/health/ready").json()["pacing"]

    assert first == {"operationsPerMinute": 60, "waiting": 0, "throttled": 0}
    assert second["throttled"] > 0
    assert second["operationsPerMinute"] < 60
