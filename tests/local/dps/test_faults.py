"""Faults to order."""

import httpx
import pytest

from tests.local.dps.calls import tpm_document


def order(client, do, **fault):
    """Orders one fault."""
    return client.put("/_faults", json=[{"do": do} | fault]).raise_for_status()


def get(client, path="/enrollments/nobody"):
    """The status of a GET."""
    return client.get(path).status_code


def test_a_status_is_answered_in_the_shape_of_the_service(client):
    """Code, words and headers fit the status."""
    order(client, {"status": 503, "headers": {"Retry-After": "7"}})

    reply = client.get("/enrollments/nobody")

    assert (reply.status_code, reply.json()["errorCode"]) == (503, 503000)
    assert reply.headers["Retry-After"] == "7"


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
def test_an_answer_may_have_any_shape(client, do, status, media_type, text):
    """HTML, the gateway's, or whatever is ordered."""
    order(client, do)

    reply = client.get("/enrollments/nobody")

    assert reply.status_code == status
    assert reply.headers["Content-Type"].startswith(media_type)
    assert text in reply.text


@pytest.mark.parametrize(
    ("do", "stored"),
    [
        ({"resetBefore": True}, False),
        ({"resetAfterCommit": True}, True),
        ({"halfAnswer": True}, True),
    ],
)
def test_a_lost_answer_may_hide_a_commit(client, do, stored):
    """A reset before leaves nothing behind; one after it, or half an answer, the record."""
    order(client, do, times=1)

    with pytest.raises(httpx.TransportError):
        client.put("/enrollments/tpm-1", json=tpm_document())

    assert (get(client, "/enrollments/tpm-1") == 200) is stored


def test_a_stalled_request_waits_until_it_is_released(client):
    """It gets no answer; deleting the faults ends it."""
    order(client, {"stall": True}, times=1)

    with pytest.raises(httpx.ReadTimeout):
        client.get("/enrollments/nobody", timeout=0.05)
    client.delete("/_faults")

    assert get(client) == 404


def test_an_ordered_204_has_no_body(client):
    """HTTP allows none."""
    order(client, {"status": 204})

    assert client.delete("/enrollments/nobody").content == b""


def test_a_delay_alone_changes_nothing_else(client):
    """The operation is done as ever."""
    order(client, {"delayMs": 1})

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
def test_a_fault_strikes_as_often_as_ordered(client, when, statuses):
    """Each n-th time, the first n times, or at a rate."""
    order(client, {"status": 500}, **when)

    assert [get(client) for _ in range(6)] == statuses


def test_a_rate_is_repeatable(client):
    """The same order gives the same faults again."""
    runs = []
    for _ in range(2):
        order(client, {"status": 500}, rate=0.5)
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
def test_a_fault_is_done_to_what_it_matches(client, match, status):
    """Method and path, without case; a missing one matches all."""
    order(client, {"status": 500}, match=match)

    assert get(client) == status


def test_control_endpoints_are_never_disturbed(client):
    """Else nobody could end a fault."""
    order(client, {"resetBefore": True})

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
def test_every_mistake_in_an_order_is_named(client, faults, pointers):
    """By JSON Pointer, all at once; nothing of it comes into force."""
    reply = client.put("/_faults", json=faults)

    assert (reply.status_code, sorted(reply.json()["errors"])) == (400, pointers)
    assert client.get("/_faults").json() == []


def test_a_body_that_is_no_json_is_named(client):
    """The pointer is that of the whole."""
    assert client.put("/_faults", content="[").json() == {"errors": {"": "must be JSON"}}
