"""The quota, with a clock set by hand."""

import pytest

from tests.local.dps.calls import ENROLLMENT, Clock


@pytest.fixture
def clock():
    """A clock that stands still, at the beginning of a minute."""
    clock = Clock()
    clock.now -= clock.now % 60_000_000_000
    return clock


@pytest.fixture
def client(stand_in, clock):
    """A client of a stand-in with that clock."""
    return stand_in(clock=clock)[1]


def throttle(client, **settings):
    """Sets the quota."""
    return client.put("/_throttle", json=settings)


def calls(client, count):
    """The statuses of so many calls."""
    return [client.get("/enrollments/nobody").status_code for _ in range(count)]


def test_nothing_is_throttled_by_default(client):
    """More calls than any small quota go through."""
    assert 429 not in calls(client, 50)


@pytest.mark.parametrize("algorithm", ["tokenBucket", "fixedWindow"])
def test_the_quota_of_a_minute_is_admitted_and_no_more(client, algorithm):
    """With the documented code and words, and the seconds to wait."""
    throttle(client, operationsPerMinute=3, algorithm=algorithm)

    statuses = calls(client, 3)
    refused = client.get("/enrollments/nobody")

    assert statuses == [404, 404, 404]
    assert (refused.status_code, refused.json()["errorCode"]) == (429, 429001)
    assert refused.json()["message"] == "Operations are being throttled for this tenant."
    assert refused.headers["Retry-After"] == {"tokenBucket": "20", "fixedWindow": "60"}[algorithm]


def test_a_bucket_refills_evenly(client, clock):
    """Half a minute gives half the quota, and never more than the burst."""
    throttle(client, operationsPerMinute=6, burst=2)
    calls(client, 2)

    clock.advance(10)
    after_ten_seconds = calls(client, 2)
    clock.advance(600)

    assert after_ten_seconds == [404, 429]
    assert calls(client, 3) == [404, 404, 429]


def test_a_window_opens_with_the_minute(client, clock):
    """Nothing until then, everything after."""
    throttle(client, operationsPerMinute=2, algorithm="fixedWindow")
    calls(client, 2)

    clock.advance(59)
    before = calls(client, 1)
    clock.advance(1)

    assert (before, calls(client, 3)) == ([429], [404, 404, 429])


def test_a_shorter_window_holds_its_part_of_the_minute(client, clock):
    """Who has no minute to watch has six seconds with a tenth of the quota in each."""
    throttle(client, operationsPerMinute=20, algorithm="fixedWindow", windowSeconds=6)
    first = calls(client, 3)

    clock.advance(6)

    assert (first, calls(client, 3)) == ([404, 404, 429], [404, 404, 429])


@pytest.mark.parametrize(("count", "admitted"), [("calls", 3), ("items", 1)])
def test_a_bulk_call_counts_as_one_or_as_its_items(client, count, admitted):
    """Which of the two the service does is not published."""
    throttle(client, operationsPerMinute=3, count=count)
    items = [ENROLLMENT.document(f"rec-{n}") for n in range(2)]

    statuses = [
        client.post("/enrollments", json={"enrollments": items, "mode": "create"}).status_code
        for _ in range(4)
    ]

    assert statuses.count(200) == admitted


def test_a_call_dearer_than_the_quota_is_admitted_alone(client):
    """Else it could never be done."""
    throttle(client, operationsPerMinute=3, count="items")
    items = [ENROLLMENT.document(f"rec-{n}") for n in range(5)]

    reply = client.post("/enrollments", json={"enrollments": items, "mode": "create"})

    assert (reply.status_code, calls(client, 1)) == (200, [429])


def test_retry_after_can_be_left_out(client):
    """Nobody has seen whether the service sends it."""
    throttle(client, operationsPerMinute=1, retryAfter=False)
    calls(client, 1)

    assert "Retry-After" not in client.get("/enrollments/nobody").headers


def test_a_throttle_can_be_switched_off(client):
    """And says what it is set to."""
    throttle(client, operationsPerMinute=1)

    reply = throttle(client, enabled=False)

    assert calls(client, 3) == [404, 404, 404]
    assert reply.json() == client.get("/_throttle").json()
    assert reply.json()["enabled"] is False


def test_throttled_calls_are_counted(client):
    """In the statistics, for whoever measures."""
    throttle(client, operationsPerMinute=1)

    calls(client, 3)

    assert client.get("/_stats").json()["throttled"] == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"operationsPerMinute": 0},
        {"algorithm": "leaky"},
        {"burst": "x"},
        {"windowSeconds": 0},
        {"limit": 1},
        {"count": []},
    ],
)
def test_a_misshapen_throttle_is_named(client, settings):
    """And leaves the old one in force."""
    reply = throttle(client, **settings)

    assert (reply.status_code, list(reply.json()["errors"])) == (400, [f"/{next(iter(settings))}"])
    assert client.get("/_throttle").json()["enabled"] is False
