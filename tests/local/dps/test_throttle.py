"""The quota, with a clock that tests advance."""

from typing import Any

import httpx
import pytest

from tests.local.dps.calls import ENROLLMENT, Clock, StartDps


@pytest.fixture
def clock() -> Clock:
    """A clock at the beginning of a minute."""
    clock = Clock()
    clock.now -= clock.now % 60_000_000_000
    return clock


@pytest.fixture
def client(start_dps: StartDps, clock: Clock) -> httpx.Client:
    """A client of a stand-in with the clock."""
    return start_dps(clock=clock)[1]


def set_quota(client: httpx.Client, **settings: Any) -> httpx.Response:
    """Sets the quota and returns the response."""
    return client.put("/_throttle", json=settings)


def call(client: httpx.Client, count: int) -> list[int]:
    """Sends `count` requests and returns their statuses."""
    return [client.get("/enrollments/nobody").status_code for _ in range(count)]


def test_no_quota_by_default(client: httpx.Client) -> None:
    """Fifty calls at once are admitted."""
    assert 429 not in call(client, 50)


@pytest.mark.parametrize("algorithm", ["tokenBucket", "fixedWindow"])
def test_call_beyond_the_quota_is_429(client: httpx.Client, algorithm: str) -> None:
    """The error has DPS's code and message, and the seconds to wait."""
    set_quota(client, operationsPerMinute=3, algorithm=algorithm)

    statuses = call(client, 3)
    rejected = client.get("/enrollments/nobody")

    assert statuses == [404, 404, 404]
    assert (rejected.status_code, rejected.json()["errorCode"]) == (429, 429001)
    assert rejected.json()["message"] == "Operations are being throttled for this tenant."
    assert rejected.headers["Retry-After"] == {"tokenBucket": "20", "fixedWindow": "60"}[algorithm]


def test_token_bucket_refills_at_a_constant_rate(client: httpx.Client, clock: Clock) -> None:
    """The bucket is refilled up to its burst."""
    set_quota(client, operationsPerMinute=6, burst=2)
    call(client, 2)

    clock.advance(10)
    after_ten_seconds = call(client, 2)
    clock.advance(600)

    assert after_ten_seconds == [404, 429]
    assert call(client, 3) == [404, 404, 429]


def test_fixed_window_starts_with_the_minute(client: httpx.Client, clock: Clock) -> None:
    """The quota is available again at the next minute, not before."""
    set_quota(client, operationsPerMinute=2, algorithm="fixedWindow")
    call(client, 2)

    clock.advance(59)
    before = call(client, 1)
    clock.advance(1)

    assert (before, call(client, 3)) == ([429], [404, 404, 429])


def test_shorter_window_has_a_proportional_quota(client: httpx.Client, clock: Clock) -> None:
    """Six seconds have a tenth of the quota of a minute."""
    set_quota(client, operationsPerMinute=20, algorithm="fixedWindow", windowSeconds=6)
    first = call(client, 3)

    clock.advance(6)

    assert (first, call(client, 3)) == ([404, 404, 429], [404, 404, 429])


@pytest.mark.parametrize(("count", "admitted"), [("calls", 3), ("items", 1)])
def test_bulk_call_counts_as_one_call_or_as_its_items(
    client: httpx.Client, count: str, admitted: int
) -> None:
    """The quota can count either, because it is unknown which DPS counts."""
    set_quota(client, operationsPerMinute=3, count=count)
    items = [ENROLLMENT.document(f"rec-{n}") for n in range(2)]

    statuses = [
        client.post("/enrollments", json={"enrollments": items, "mode": "create"}).status_code
        for _ in range(4)
    ]

    assert statuses.count(200) == admitted


def test_call_with_more_items_than_the_quota_is_admitted(client: httpx.Client) -> None:
    """The call uses up the whole quota."""
    set_quota(client, operationsPerMinute=3, count="items")
    items = [ENROLLMENT.document(f"rec-{n}") for n in range(5)]

    response = client.post("/enrollments", json={"enrollments": items, "mode": "create"})

    assert (response.status_code, call(client, 1)) == (200, [429])


def test_retry_after_can_be_disabled(client: httpx.Client) -> None:
    """The option exists because it is unknown whether DPS sends the header."""
    set_quota(client, operationsPerMinute=1, retryAfter=False)
    call(client, 1)

    assert "Retry-After" not in client.get("/enrollments/nobody").headers


def test_quota_can_be_disabled(client: httpx.Client) -> None:
    """GET and PUT return the same settings."""
    set_quota(client, operationsPerMinute=1)

    response = set_quota(client, enabled=False)

    assert call(client, 3) == [404, 404, 404]
    assert response.json() == client.get("/_throttle").json()
    assert response.json()["enabled"] is False


def test_statistics_count_throttled_call(client: httpx.Client) -> None:
    """The statistics have a throttled call under `throttled`."""
    set_quota(client, operationsPerMinute=1)

    call(client, 3)

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
def test_invalid_quota_is_400(client: httpx.Client, settings: dict[str, Any]) -> None:
    """The error has the JSON Pointer of the member, and the quota does not change."""
    response = set_quota(client, **settings)

    assert (response.status_code, list(response.json()["errors"])) == (
        400,
        [f"/{next(iter(settings))}"],
    )
    assert client.get("/_throttle").json()["enabled"] is False
