"""Readiness: DPS is checked on request, and the result is cached."""

from functools import partial

import httpx
import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.errors import DpsCredentialError, DpsThrottledError
from shared.readiness import Readiness, find_dps_errors
from shared.settings import Settings


class Clock:
    """Seconds, as the test sets them."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def refusing(dps: DpsStandIn) -> DpsStandIn:
    """A DPS that refuses the credential once."""
    faults = [{"times": 1, "do": {"status": 401}}]
    httpx.put(f"{dps.url}/_faults", json=faults).raise_for_status()
    return dps


async def test_result_is_cached(refusing: DpsStandIn, settings: Settings) -> None:
    """An error is returned until the cached result expires; then DPS is checked again."""
    clock = Clock()
    async with DpsClient(settings) as client:
        readiness = Readiness(partial(find_dps_errors, client), clock=clock)

        first = await readiness.errors()
        clock.now += 29
        cached = await readiness.errors()
        clock.now += 1
        repaired = await readiness.errors()

    assert [type(error) for error in first] == [DpsCredentialError]
    assert cached is first
    assert repaired == []
    assert len(refusing.requests) == 2


async def test_result_is_kept_if_no_check_can_be_sent(
    refusing: DpsStandIn, settings: Settings
) -> None:
    """If the rate limiter gives no permit for the check, the previous result stands."""
    clock = Clock()
    async with DpsClient(settings) as client, httpx.AsyncClient(base_url=refusing.url) as dps:
        readiness = Readiness(partial(find_dps_errors, client), clock=clock)
        first = await readiness.errors()
        await dps.put("/_faults", json=[{"do": {"status": 429, "headers": {"Retry-After": "60"}}}])
        with pytest.raises(DpsThrottledError):
            await client.enrollments.get("dev-1")

        clock.now += 30
        cached = await readiness.errors()

    assert cached is first
    assert client.rate_limiter_status.throttled == 1
