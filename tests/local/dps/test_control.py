"""Reset, statistics, latency."""

import pytest

from tests.local.dps.calls import ENROLLMENT, tpm_document


def test_reset_forgets_everything(dps, client):
    """Records, registrations, faults, quota, latency, statistics."""
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


def test_statistics_count_what_came_over_the_wire(client):
    """By method, operation and status; the items of bulk calls; records; connections."""
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


def test_latency_is_set_and_told(client):
    """What is not named is none."""
    reply = client.put("/_latency", json={"bulkMs": 1.5})

    assert reply.json() == {"singleMs": 0, "bulkMs": 1.5}


@pytest.mark.parametrize("latency", [{"singleMs": -1}, {"bulkMs": True}, {"ms": 1}])
def test_a_misshapen_latency_is_named(client, latency):
    """By pointer."""
    reply = client.put("/_latency", json=latency)

    assert (reply.status_code, list(reply.json()["errors"])) == (400, [f"/{next(iter(latency))}"])


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/_nothing", 404), ("PUT", "/_stats", 405)]
)
def test_an_unknown_endpoint_names_those_there_are(client, method, path, status):
    """For whoever mistyped one."""
    reply = client.request(method, path)

    assert reply.status_code == status
    assert "GET /_stats" in reply.json()["endpoints"]
