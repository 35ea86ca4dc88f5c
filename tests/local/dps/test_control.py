"""The control endpoints for reset, statistics and latency."""

from typing import Any

import httpx
import pytest

from local.dps import DpsStandIn
from tests.local.dps.calls import ENROLLMENT, tpm_document
from tests.local.dps.certificates import Certificate


def test_reset_restores_the_initial_state(dps: DpsStandIn, client: httpx.Client) -> None:
    """A reset clears records, registrations, faults, quota, latency and statistics."""
    client.put("/enrollments/tpm-1", json=tpm_document())
    client.post("/_registrations", json={"registrationId": "dev-1"})
    client.put("/_throttle", json={"operationsPerMinute": 1})
    client.put("/_latency", json={"singleMs": 5})
    client.put("/_faults", json=[{"do": {"status": 500}}])

    client.post("/_reset")

    stats = client.get("/_stats").json()
    assert (stats["calls"], set(stats["records"].values())) == (0, {0})
    assert client.get("/_faults").json() == []
    assert client.get("/_latency").json() == {"singleMs": 0, "bulkMs": 0}
    assert client.get("/_throttle").json()["enabled"] is False
    assert dps.requests == []


def test_statistics_count_requests(client: httpx.Client) -> None:
    """Requests are counted by method, operation and status, with items, faults and connections."""
    items = [ENROLLMENT.document(f"rec-{n}") for n in range(3)]
    client.post("/enrollments", json={"enrollments": items, "mode": "create"})
    client.get("/enrollments/nobody")
    client.put("/_faults", json=[{"do": {"status": 503}}])
    client.get("/enrollments/rec-1")

    stats = client.get("/_stats").json()

    assert stats["calls"] == 3
    assert stats["itemsAdmitted"] == 4
    assert stats["byMethod"] == {"POST": 1, "GET": 2}
    assert stats["byOperation"] == {"enrollments.bulk": 1, "enrollments.get": 1}
    assert stats["byStatus"] == {"200": 1, "404": 1, "503": 1}
    assert stats["faults"] == 1
    assert stats["connections"] == 1
    assert stats["records"]["enrollments"] == 3


def test_certificates_of_authorities_are_shown_as_their_info(client: httpx.Client) -> None:
    """PUT replaces them all, and a reset removes them."""
    authority = Certificate.create("Root", ca=True)
    client.put("/_certificates", json={"old": authority.pem})

    put = client.put("/_certificates", json={"root-1": authority.pem})
    read = client.get("/_certificates")
    client.post("/_reset")

    assert put.json() == read.json()
    assert {name: info["subjectName"] for name, info in read.json().items()} == {
        "root-1": "CN=Root"
    }
    assert client.get("/_certificates").json() == {}


def test_invalid_certificates_are_400(client: httpx.Client) -> None:
    """Each that is no certificate of an authority is named; none is stored."""
    authority, device = Certificate.create("Root", ca=True), Certificate.create("dev-1")
    certificates = {"root": authority.pem, "device": device.pem, "text": "x", "number": 1}

    response = client.put("/_certificates", json=certificates)

    expected = "must be the certificate of a CA, in PEM or in base64 of DER"
    assert response.status_code == 400
    assert response.json()["errors"] == dict.fromkeys(("/device", "/text", "/number"), expected)
    assert client.put("/_certificates", json=[]).json()["errors"] == {"": "must be an object"}
    assert client.get("/_certificates").json() == {}


def test_put_latency_returns_the_new_latency(client: httpx.Client) -> None:
    """A member that was not sent is 0."""
    response = client.put("/_latency", json={"bulkMs": 1.5})

    assert response.json() == {"singleMs": 0, "bulkMs": 1.5}


@pytest.mark.parametrize("latency", [{"singleMs": -1}, {"bulkMs": True}, {"ms": 1}])
def test_invalid_latency_is_400(client: httpx.Client, latency: dict[str, Any]) -> None:
    """The error has the JSON Pointer of the member."""
    response = client.put("/_latency", json=latency)

    assert (response.status_code, list(response.json()["errors"])) == (
        400,
        [f"/{next(iter(latency))}"],
    )


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/_nothing", 404), ("PUT", "/_stats", 405)]
)
def test_unknown_control_endpoint_lists_the_known_ones(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    """An unknown path is 404, an unknown method 405."""
    response = client.request(method, path)

    assert response.status_code == status
    assert "GET /_stats" in response.json()["endpoints"]
