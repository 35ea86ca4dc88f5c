"""The transport and its pacer: no attempt without a turn."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from local.dps import DpsStandIn
from shared.dps import CallContext, DpsClient
from shared.errors import (
    DpsFaultError,
    DpsReplyLostError,
    DpsThrottledError,
    DpsTimeoutError,
    PacedOutError,
)
from shared.settings import Settings

BURST = 5  # calls that a process may make at once after a pause


def on_the_wire(dps: DpsStandIn, method: str) -> int:
    """How often DPS saw the method."""
    return sum(request.method == method for request in dps.requests)


@pytest.fixture
async def paced(dps: DpsStandIn) -> AsyncIterator[DpsClient]:
    """A client with one operation a minute, of whose burst a single call is left."""
    quota = {"DPS_OPERATIONS_PER_MINUTE": "1", "DPS_TIMEOUT_SECONDS": "5"}
    given = {"DPS_CONNECTION_STRING": dps.connection_string, "DPS_PACING_START": "1"}
    async with DpsClient(Settings.read(given | quota)) as client:
        for _ in range(BURST - 1):
            await client.enrollments.query({"query": "*"}).page()
        yield client


async def test_every_attempt_waits_for_its_turn(paced: DpsClient, dps: DpsStandIn, order_faults):
    """A repetition spends quota as well; where no turn is left for it, the call ends as it stands."""
    order_faults({"match": {"method": "DELETE"}, "do": {"resetBefore": True}})

    with pytest.raises(DpsReplyLostError) as raised:
        await paced.enrollments.delete("dev-1")

    assert raised.value.in_doubt
    assert raised.value.retry_after is not None
    assert on_the_wire(dps, "DELETE") == 1


async def test_call_whose_turn_comes_too_late_is_not_sent(paced: DpsClient, dps: DpsStandIn):
    """It fails at once, and says when there will be a turn."""
    await paced.enrollments.query({"query": "*"}).page()

    with pytest.raises(PacedOutError) as raised:
        await paced.enrollments.delete("dev-1")

    assert raised.value.retry_after is not None
    assert raised.value.retry_after > 5
    assert not raised.value.in_doubt
    assert on_the_wire(dps, "DELETE") == 0


async def test_turn_leaves_time_for_its_call(dps: DpsStandIn, order_faults):
    """However many ask for more than the quota gives, no turn is spent on a call cut short."""
    order_faults({"do": {"delayMs": 150}})
    quota = {"DPS_OPERATIONS_PER_MINUTE": "600", "DPS_TIMEOUT_SECONDS": "4"}
    given = {"DPS_CONNECTION_STRING": dps.connection_string, "DPS_PACING_START": "600"}
    outcomes: Counter[str] = Counter()

    async def keep_asking(client: DpsClient) -> None:
        for _ in range(15):
            try:
                await client.enrollments.query({"query": "*"}).page()
                outcomes["answered"] += 1
            except PacedOutError:
                outcomes["paced out"] += 1
                await asyncio.sleep(0.05)
            except DpsTimeoutError:
                outcomes["cut short"] += 1

    async with DpsClient(Settings.read(given | quota)) as client:
        await asyncio.gather(*(keep_asking(client) for _ in range(60)))

    assert outcomes["cut short"] == 0
    assert outcomes["paced out"] > outcomes["answered"] > 0


async def test_throttling_holds_back_every_call(client: DpsClient, dps: DpsStandIn, order_faults):
    """Once DPS has refused one call, no other is sent until Retry-After is over."""
    order_faults({"do": {"status": 429, "headers": {"Retry-After": "60"}}})
    with pytest.raises(DpsThrottledError):
        await client.enrollments.get("dev-1")

    with pytest.raises(PacedOutError) as raised:
        await client.enrollment_groups.get("group-1")

    assert raised.value.retry_after is not None
    assert 30 < raised.value.retry_after <= 61
    assert on_the_wire(dps, "GET") == 1
    assert client.pacing.throttled == 1


async def test_permit_is_good_for_one_attempt(paced: DpsClient, dps: DpsStandIn):
    """Who has waited for a turn does not wait again, until it is spent."""
    admitted = await paced.enrollments.admitted(CallContext())
    await paced.enrollments.query({"query": "*"}, context=admitted).page()

    with pytest.raises(PacedOutError):
        await paced.enrollments.delete("dev-1", context=admitted)

    assert on_the_wire(dps, "DELETE") == 0


async def test_turn_is_waited_for_within_the_deadline(paced: DpsClient):
    """Nobody is admitted who could not end in time."""
    soon = CallContext(deadline=asyncio.get_running_loop().time() + 1)
    await paced.enrollments.admitted(soon)

    with pytest.raises(PacedOutError):
        await paced.enrollments.admitted(soon)


async def test_context_can_limit_the_attempts(client: DpsClient, dps: DpsStandIn, order_faults):
    """A caller that repeats calls itself asks for one attempt."""
    order_faults({"do": {"status": 500}})

    with pytest.raises(DpsFaultError):
        await client.enrollments.get("dev-1", context=CallContext(max_attempts=1))

    assert on_the_wire(dps, "GET") == 1
