"""Health: live without any settings, ready if settings, policies and DPS are well."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from local.dps import DpsStandIn


def test_app_without_settings_is_live_but_not_ready(app_with: Callable[..., httpx.Client]) -> None:
    """Readiness names the missing settings and the remedy."""
    app = app_with()

    live, ready = app.get("/health/live"), app.get("/health/ready")

    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert ready.status_code == 503
    assert ready.json()["faults"][0]["setting"] == "DPS_CONNECTION_STRING, DPS_ENDPOINT"
    assert "connection string" in ready.json()["faults"][0]["fault"]


def test_route_without_settings_is_503(
    app_with: Callable[..., httpx.Client],
) -> None:
    """With every missing or invalid setting."""
    response = app_with(DPS_MAX_ATTEMPTS="many").get("/enrollments/dev-1")

    assert (response.status_code, response.json()["errorCode"]) == (503, 503001)
    assert set(response.json()["info"]) == {
        "DPS_CONNECTION_STRING, DPS_ENDPOINT",
        "DPS_MAX_ATTEMPTS",
    }


def test_readiness_is_cached(app_with: Callable[..., httpx.Client], dps: DpsStandIn) -> None:
    """Frequent probes use no quota."""
    app = app_with(DPS_CONNECTION_STRING=dps.connection_string)

    responses = [app.get("/health/ready") for _ in range(5)]

    assert {response.status_code for response in responses} == {200}
    assert responses[0].json()["status"] == "ready"
    assert len(dps.requests) == 1


@pytest.mark.parametrize(
    ("do", "code", "remedy"),
    [
        ({"status": 401}, 502002, "DPS_CONNECTION_STRING"),
        ({"status": 401}, 502002, "IP filter"),
        ({"status": 500}, 502001, "Retry"),
    ],
    ids=["key refused", "address refused", "DPS down"],
)
def test_app_is_not_ready_if_dps_fails(
    app_with: Callable[..., httpx.Client],
    dps: DpsStandIn,
    do: dict[str, Any],
    code: int,
    remedy: str,
) -> None:
    """The error has its remedy."""
    httpx.put(f"{dps.url}/_faults", json=[{"do": do}]).raise_for_status()
    app = app_with(DPS_CONNECTION_STRING=dps.connection_string, DPS_MAX_ATTEMPTS="1")

    response = app.get("/health/ready")

    assert response.status_code == 503
    assert response.json()["faults"][0]["errorCode"] == code
    assert remedy in response.json()["faults"][0]["cure"]


@pytest.mark.parametrize(
    ("do", "code"),
    [({"resetBefore": True}, 502003), ({"stall": True}, 504001)],
    ids=["connection reset", "no answer"],
)
def test_network_is_advised_if_dps_cannot_be_reached(
    app_with: Callable[..., httpx.Client], dps: DpsStandIn, do: dict[str, Any], code: int
) -> None:
    """Not to read a record: the check changes nothing."""
    httpx.put(f"{dps.url}/_faults", json=[{"do": do}]).raise_for_status()
    app = app_with(
        DPS_CONNECTION_STRING=dps.connection_string,
        DPS_MAX_ATTEMPTS="1",
        DPS_ATTEMPT_TIMEOUT_SECONDS="1",
    )

    [fault] = app.get("/health/ready").json()["faults"]

    assert fault["errorCode"] == code
    words = ("host", "proxy", "firewall", "private endpoint", "IP filter")
    assert all(word in fault["cure"] for word in words)
    httpx.delete(f"{dps.url}/_faults").raise_for_status()


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_probe_may_use_head(
    app_with: Callable[..., httpx.Client], dps: DpsStandIn, path: str
) -> None:
    """As Azure Front Door does by default; the response has no body."""
    response = app_with(DPS_CONNECTION_STRING=dps.connection_string).head(path)

    assert (response.status_code, response.content) == (200, b"")


def test_throttled_app_is_ready(app_with: Callable[..., httpx.Client], dps: DpsStandIn) -> None:
    """DPS is reachable and accepts the credential."""
    faults = [{"do": {"status": 429, "headers": {"Retry-After": "60"}}}]
    httpx.put(f"{dps.url}/_faults", json=faults).raise_for_status()

    assert app_with(DPS_CONNECTION_STRING=dps.connection_string).get("/health/ready").is_success


def test_invalid_certificate_file_is_reported(
    app_with: Callable[..., httpx.Client], dps: DpsStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like an invalid setting of the app's own."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent.pem")

    response = app_with(DPS_CONNECTION_STRING=dps.connection_string).get("/health/ready")

    assert response.status_code == 503
    assert response.json()["faults"][0]["setting"] == "SSL_CERT_FILE"


def test_readiness_has_the_rate_limiter_status(
    app_with: Callable[..., httpx.Client], dps: DpsStandIn
) -> None:
    """Rate, waiting calls and throttled calls."""
    app = app_with(DPS_CONNECTION_STRING=dps.connection_string, DPS_PACING_START="60")
    throttle = {"operationsPerMinute": 1, "burst": 1}
    httpx.put(f"{dps.url}/_throttle", json=throttle).raise_for_status()

    first = app.get("/health/ready").json()["pacing"]
    app.delete("/enrollments/dev-1", headers={"x-ms-client-request-id": "spends the quota"})
    second = app.get("/health/ready").json()["pacing"]

    assert first == {"operationsPerMinute": 60, "waiting": 0, "throttled": 0}
    assert second["throttled"] > 0
    assert second["operationsPerMinute"] < 60
