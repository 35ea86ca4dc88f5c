"""Readiness: looked at when asked, and not oftener than every half minute."""

import httpx
import pytest

from local.dps import DpsStandIn
from shared.dps import DpsClient
from shared.errors import DpsCredentialError, DpsThrottledError
from shared.readiness import SECONDS_KEPT, Readiness
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


async def test_answer_is_kept_and_looked_at_again(refusing: DpsStandIn, settings: Settings):
    """A bad answer stands for half a minute; then the mended DPS is seen."""
    clock = Clock()
    async with DpsClient(settings) as client:
        readiness = Readiness(client, clock=clock)

        first = await readiness.fault()
        clock.now += SECONDS_KEPT - 1
        kept = await readiness.fault()
        clock.now += 1
        mended = await readiness.fault()

    assert isinstance(first, DpsCredentialError)
    assert kept is first
    assert mended is None
    assert len(refusing.requests) == 2


async def test_answer_stands_while_dps_cannot_be_asked(refusing: DpsStandIn, settings: Settings):
    """That the quota leaves no turn for a look is no news of DPS."""
    clock = Clock()
    async with DpsClient(settings) as client, httpx.AsyncClient(base_url=refusing.url) as dps:
        readiness = Readiness(client, clock=clock)
        first = await readiness.fault()
        await dps.put("/_faults", json=[{"do": {"status": 429, "headers": {"Retry-After": "60"}}}])
        with pytest.raises(DpsThrottledError):
            await client.enrollments.get("dev-1")

        clock.now += SECONDS_KEPT
        kept = await readiness.fault()

    assert kept is first
    assert readiness.pacing.throttled == 1
