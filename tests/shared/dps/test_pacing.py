"""The turns of one process, in virtual time."""

import asyncio
from itertools import pairwise

import pytest

from shared.dps.pacing import Permit
from shared.errors import PacedOutError
from tests.shared.dps.virtual_pacing import (
    BURST,
    MINUTE,
    NEVER,
    in_virtual_time,
    now,
    pacer_of,
    refused,
    spend_burst,
)


@in_virtual_time
async def test_a_few_calls_after_a_rest_do_not_wait():
    """A person who opens a page waits for nobody's quota."""
    pacer = pacer_of(1)

    waited = [await pacer.wait(now()) for _ in range(BURST)]

    assert waited == [0.0] * BURST


@in_virtual_time
async def test_turns_come_at_the_rate_it_starts_with():
    """After the burst, so many a minute as the settings say."""
    pacer = pacer_of(60, quota=60)
    await spend_burst(pacer)

    took = [await pacer.wait(NEVER) for _ in range(3)]

    assert took == pytest.approx([1.02, 2.04, 3.06], abs=0.01)


@in_virtual_time
async def test_first_come_is_first_served():
    """Whoever waits longest has the next turn."""
    pacer = pacer_of(60)
    await spend_burst(pacer)
    served = []

    async def wait(name: str) -> None:
        await pacer.wait(NEVER)
        served.append(name)

    await asyncio.gather(*(wait(name) for name in "abcd"))

    assert served == list("abcd")


@in_virtual_time
async def test_waiter_that_goes_leaves_its_place_to_the_next():
    """A caller that was cancelled costs nobody a turn."""
    pacer = pacer_of(60, quota=60)
    await spend_burst(pacer)
    first, second = (asyncio.create_task(pacer.wait(NEVER)) for _ in range(2))
    await asyncio.sleep(0.5)

    first.cancel()
    turn = await second

    assert turn == pytest.approx(1.02, abs=0.01)


@in_virtual_time
async def test_turn_of_a_caller_that_has_just_gone_is_given_on():
    """A turn that was given and cannot be taken any more is the next one's."""
    pacer = pacer_of(60, quota=60)
    await spend_burst(pacer)
    first, second = (asyncio.create_task(pacer.wait(NEVER)) for _ in range(2))
    turn = MINUTE / pacer.snapshot().operations_per_minute
    # So soon after it that the loop does both before the caller can run.
    asyncio.get_running_loop().call_at(turn + 1e-10, first.cancel)

    given_on = await second

    assert first.cancelled()
    assert given_on == pytest.approx(turn)


@in_virtual_time
async def test_turn_that_comes_while_its_caller_goes_is_the_next_ones():
    """A caller that is cancelled, and has not run since, is given no turn."""
    pacer = pacer_of(60, quota=60)
    await spend_burst(pacer)
    first, second = (asyncio.create_task(pacer.wait(NEVER)) for _ in range(2))
    turn = MINUTE / pacer.snapshot().operations_per_minute
    asyncio.get_running_loop().call_at(turn - 1e-10, first.cancel)

    assert await second == pytest.approx(turn)


@in_virtual_time
async def test_pause_while_a_caller_goes_harms_nobody():
    """Those that it makes late are told, those that come later have their turns."""
    pacer = pacer_of(60)
    turn = await pacer.wait(NEVER)
    await asyncio.gather(*(pacer.wait(NEVER) for _ in range(BURST - 1)))
    late, gone = (asyncio.create_task(pacer.wait(10.0)) for _ in range(2))
    await asyncio.sleep(0.1)

    gone.cancel()
    pacer.throttled(30, turn=turn)

    with pytest.raises(PacedOutError):
        await late
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await pacer.wait(NEVER) >= 30
    assert pacer.snapshot().waiting == 0


@in_virtual_time
async def test_group_that_is_cancelled_gives_all_its_turns_back():
    """Each raises what cancelled it, and nothing else."""
    pacer = pacer_of(60, quota=60)
    await spend_burst(pacer)
    group = [asyncio.create_task(pacer.wait(NEVER)) for _ in range(5)]
    await asyncio.sleep(1.0)

    for caller in group:
        caller.cancel()
    found = await asyncio.gather(*group, return_exceptions=True)

    assert {type(one) for one in found} == {asyncio.CancelledError}
    assert await pacer.wait(NEVER) == pytest.approx(1.02, abs=0.01)


@in_virtual_time
async def test_turn_that_comes_too_late_is_refused_at_once():
    """Nobody waits in vain; the error says when there would be one."""
    pacer = pacer_of(6, quota=6)
    await spend_burst(pacer)

    with pytest.raises(PacedOutError) as raised:
        await pacer.wait(5.0)

    assert now() == 0
    assert raised.value.retry_after == pytest.approx(10.2, abs=0.1)


@in_virtual_time
async def test_refused_waiter_takes_nobodys_place():
    """Whoever comes after it, and has more time, is not kept waiting by it."""
    pacer = pacer_of(6, quota=6)
    await spend_burst(pacer)
    with pytest.raises(PacedOutError):
        await pacer.wait(5.0)

    assert await pacer.wait(11.0) == pytest.approx(10.2, abs=0.1)


@in_virtual_time
async def test_pause_refuses_those_that_it_makes_late():
    """Who waits already learns as soon as DPS asks for a pause that it has become too long."""
    pacer = pacer_of(60)
    turn = await pacer.wait(NEVER)
    await asyncio.gather(*(pacer.wait(NEVER) for _ in range(BURST - 1)))
    waiting = asyncio.create_task(pacer.wait(10.0))
    await asyncio.sleep(0.1)

    pacer.throttled(30, turn=turn)

    with pytest.raises(PacedOutError) as raised:
        await waiting
    assert now() == pytest.approx(0.1)
    assert raised.value.retry_after is not None
    assert raised.value.retry_after >= 30


@pytest.mark.parametrize(("retry_after", "pause"), [(20, 20), (0, 0), (3600, 120)])
@in_virtual_time
async def test_retry_after_holds_everybody_back(retry_after: float, pause: float):
    """No call starts before it is over, and a service that exaggerates is asked after two minutes."""
    pacer = pacer_of(600)
    await refused(pacer, retry_after)

    turn = await pacer.wait(NEVER)

    assert pause <= turn <= pause + 0.2


@in_virtual_time
async def test_pauses_grow_where_dps_does_not_say():
    """A service that goes on refusing is asked ever less often, and at least every ten seconds."""
    pacer = pacer_of(600)
    asked = []
    for _ in range(6):
        await refused(pacer)
        asked.append(now())

    pauses = [later - earlier for earlier, later in pairwise(asked)]

    assert pauses[0] < pauses[2]
    assert min(pauses) >= 1.5
    assert max(pauses) < 10


@in_virtual_time
async def test_snapshot_tells_who_waits():
    """What operators see: the rate, those without a turn, and what DPS refused."""
    pacer = pacer_of(60)
    await spend_burst(pacer)
    waiting = [asyncio.create_task(pacer.wait(NEVER)) for _ in range(3)]
    await asyncio.sleep(0)

    told = pacer.snapshot()

    assert (told.operations_per_minute, told.waiting, told.throttled) == (60, 3, 0)
    await asyncio.gather(*waiting)


def test_permit_is_used_once():
    """It stands for one turn."""
    permit = Permit(0.0)

    assert [permit.use(), permit.use()] == [True, False]
