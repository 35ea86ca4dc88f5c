"""Injected faults."""

from typing import Any

import httpx
import pytest

from tests.local.dps.calls import tpm_document


def set_fault(client: httpx.Client, do: dict[str, Any], **fault: Any) -> None:
    """Replaces all faults by one."""
    client.put("/_faults", json=[{"do": do} | fault]).raise_for_status()


def get(client: httpx.Client, path: str = "/enrollments/nobody") -> int:
    """Returns the status of a GET."""
    return client.get(path).status_code


def test_fault_with_a_status_is_an_error_of_dps(client: httpx.Client) -> None:
    """Code and headers are DPS's for the status."""
    set_fault(client, {"status": 503, "headers": {"Retry-After": "7"}})

    response = client.get("/enrollments/nobody")

    assert (response.status_code, response.json()["errorCode"]) == (503, 503000)
    assert response.headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("do", "status", "media_type", "text"),
    [
        ({"html": True}, 502, "text/html", "<h1>Bad Gateway</h1>"),
        ({"html": True, "status": 503}, 503, "text/html", "<h1>Service Unavailable</h1>"),
        ({"gatewayShape": True}, 400, "application/json", "ErrorCode:ArgumentInvalid"),
        ({"status": 418, "body": {"a": 1}}, 418, "application/json", '{"a":1}'),
        ({"status": 200, "body": "not JSON"}, 200, "application/json", "not JSON"),
        (
            {"status": 500, "body": "x", "headers": {"content-type": "text/plain"}},
            500,
            "text/plain",
            "x",
        ),
        ({"status": 429}, 429, "application/json", "429001"),
    ],
)
def test_fault_determines_the_response(
    client: httpx.Client, do: dict[str, Any], status: int, media_type: str, text: str
) -> None:
    """The response may be HTML, an error of the gateway, or any status and body."""
    set_fault(client, do)

    response = client.get("/enrollments/nobody")

    assert response.status_code == status
    assert response.headers["Content-Type"].startswith(media_type)
    assert text in response.text


@pytest.mark.parametrize(
    ("do", "stored"),
    [
        ({"resetBefore": True}, False),
        ({"resetAfterCommit": True}, True),
        ({"halfAnswer": True}, True),
    ],
)
def test_lost_response_with_and_without_a_write(
    client: httpx.Client, do: dict[str, Any], stored: bool
) -> None:
    """resetBefore writes no record; resetAfterCommit and halfAnswer do."""
    set_fault(client, do, times=1)

    with pytest.raises(httpx.TransportError):
        client.put("/enrollments/tpm-1", json=tpm_document())

    assert (get(client, "/enrollments/tpm-1") == 200) is stored


def test_stalled_request_waits_until_the_faults_are_deleted(client: httpx.Client) -> None:
    """A stalled request gets no response."""
    set_fault(client, {"stall": True}, times=1)

    with pytest.raises(httpx.ReadTimeout):
        client.get("/enrollments/nobody", timeout=0.05)
    client.delete("/_faults")

    assert get(client) == 404


def test_fault_with_status_204_has_no_body(client: httpx.Client) -> None:
    """HTTP allows no body with 204."""
    set_fault(client, {"status": 204})

    assert client.delete("/enrollments/nobody").content == b""


def test_delay_alone_runs_the_operation(client: httpx.Client) -> None:
    """The response is that of the operation."""
    set_fault(client, {"delayMs": 1})

    assert client.put("/enrollments/tpm-1", json=tpm_document()).status_code == 200


@pytest.mark.parametrize(
    ("when", "statuses"),
    [
        ({}, [500] * 6),
        ({"every": 3}, [404, 404, 500, 404, 404, 500]),
        ({"times": 2}, [500, 500, 404, 404, 404, 404]),
        ({"rate": 0}, [404] * 6),
        ({"rate": 1}, [500] * 6),
    ],
)
def test_fault_is_applied_as_often_as_configured(
    client: httpx.Client, when: dict[str, Any], statuses: list[int]
) -> None:
    """A fault applies always, to each n-th or the first n requests, or with a probability."""
    set_fault(client, {"status": 500}, **when)

    assert [get(client) for _ in range(6)] == statuses


def test_rate_is_repeatable(client: httpx.Client) -> None:
    """Setting the same fault again applies it to the same requests."""
    runs = []
    for _ in range(2):
        set_fault(client, {"status": 500}, rate=0.5)
        runs.append([get(client) for _ in range(20)])

    assert runs[0] == runs[1]
    assert set(runs[0]) == {404, 500}


@pytest.mark.parametrize(
    ("match", "status"),
    [
        ({"method": "get"}, 500),
        ({"method": "PUT"}, 404),
        ({"path": "^/ENROLLMENTS/no"}, 500),
        ({"path": "^/enrollmentGroups/"}, 404),
        ({"method": "GET", "path": "body$"}, 500),
    ],
)
def test_fault_is_applied_to_matching_requests(
    client: httpx.Client, match: dict[str, Any], status: int
) -> None:
    """Method and path match ignoring case; a missing member matches all."""
    set_fault(client, {"status": 500}, match=match)

    assert get(client) == status


def test_faults_do_not_apply_to_control_endpoints(client: httpx.Client) -> None:
    """Otherwise no fault could be deleted."""
    set_fault(client, {"resetBefore": True})

    assert client.get("/_faults").status_code == 200
    assert client.delete("/_faults").status_code == 204
    assert (get(client), client.get("/_faults").json()) == (404, [])


@pytest.mark.parametrize(
    ("faults", "pointers"),
    [
        ({}, [""]),
        ([1], ["/0"]),
        ([{"when": 1}], ["/0/do", "/0/when"]),
        ([{"do": {}}], ["/0/do"]),
        ([{"do": {"status": 500, "stall": True}}], ["/0/do"]),
        ([{"do": {"resetBefore": True, "halfAnswer": True}}], ["/0/do"]),
        ([{"do": {"status": 99, "stall": "yes"}}], ["/0/do/stall", "/0/do/status"]),
        ([{"do": {"status": 500, "headers": {"a": "b\r\nc"}}}], ["/0/do/headers"]),
        ([{"do": {"stall": True}, "every": 0, "rate": 2}], ["/0/every", "/0/rate"]),
        ([{"do": {"stall": True}, "every": 1, "times": 1}], ["/0"]),
        (
            [
                {"do": {"stall": True}},
                {"do": {"delayMs": -1}, "match": {"path": "(", "method": "X"}},
            ],
            ["/1/do/delayMs", "/1/match/method", "/1/match/path"],
        ),
    ],
)
def test_invalid_faults_are_400_with_all_problems(
    client: httpx.Client, faults: Any, pointers: list[str]
) -> None:
    """Problems have JSON Pointers; no fault of the list takes effect."""
    response = client.put("/_faults", json=faults)

    assert (response.status_code, sorted(response.json()["errors"])) == (400, pointers)
    assert client.get("/_faults").json() == []


def test_faults_that_are_not_json_are_400(client: httpx.Client) -> None:
    """The JSON Pointer is that of the whole body."""
    assert client.put("/_faults", content="[").json() == {"errors": {"": "must be JSON"}}
