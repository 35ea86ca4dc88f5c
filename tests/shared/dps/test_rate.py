"""How the rate of one process follows what DPS admits, in virtual time."""

import asyncio

import pytest

from local.virtual_time import VirtualTime
from shared.dps.pacing import Pacer
from tests.shared.dps.virtual_pacing import (
    BURST,
    MINUTE,
    NEVER,
    in_virtual_time,
    now,
    pacer_of,
    refused,
    spend_burst,
    turns,
)


async def now_and_then(pacer: Pacer, *, calls: int) -> None:
    """A call each half minute, all of which DPS admits."""
    for _ in range(calls):
        await pacer.wait(NEVER)
        pacer.answered()
        await asyncio.sleep(MINUTE / 2)


@in_virtual_time
async def test_rate_doubles_until_dps_first_refuses():
    """From a tenth of the quota to all of it in less than a minute."""
    pacer = pacer_of(100)

    await turns(pacer, seconds=15)
    after_a_while = pacer.snapshot().operations_per_minute
    await turns(pacer, seconds=45)

    assert after_a_while == pytest.approx(200, rel=0.05)
    assert pacer.snapshot().operations_per_minute == pytest.approx(980)


@in_virtual_time
async def test_quota_is_never_exceeded():
    """The configured quota is the most that one process asks for, in any minute."""
    pacer = pacer_of(1000)

    counts = [await turns(pacer, seconds=MINUTE) for _ in range(3)]

    assert max(counts) <= 1000
    assert min(counts) >= 975


@in_virtual_time
async def test_rate_that_nobody_needs_does_not_grow():
    """What was not tried is not known to be allowed."""
    pacer = pacer_of(100)

    for _ in range(50):
        await pacer.wait(NEVER)
        pacer.answered()
        await asyncio.sleep(5)

    assert pacer.snapshot().operations_per_minute == 100


@in_virtual_time
async def test_refusal_cuts_the_rate():
    """By a tenth, as soon as DPS says that it is too high."""
    pacer = pacer_of(600)
    for _ in range(9):
        pacer.answered()

    await refused(pacer)

    assert pacer.snapshot().operations_per_minute == pytest.approx(540)


@in_virtual_time
async def test_refusals_of_one_round_cut_once():
    """Calls that were under way when the rate was cut say nothing of the rate there is now."""
    pacer = pacer_of(600)
    pacer.answered()
    started = [await pacer.wait(NEVER) for _ in range(4)]
    pacer.throttled(1, turn=started[0])
    after_one = pacer.snapshot().operations_per_minute

    for turn in started[1:]:
        pacer.throttled(1, turn=turn)

    assert pacer.snapshot().operations_per_minute == after_one
    assert pacer.snapshot().throttled == 4


@in_virtual_time
async def test_refusals_before_anything_is_admitted_cut_nothing():
    """A process that starts in a minute that others have used up begins when that is over."""
    pacer = pacer_of(100)
    await refused(pacer, 50)

    await turns(pacer, seconds=50 + MINUTE)

    assert pacer.snapshot().operations_per_minute == pytest.approx(980)


@in_virtual_time
async def test_rate_stays_near_the_one_that_was_refused():
    """It comes back to it slowly, and does not pass it by much for a hundred calls."""
    pacer = pacer_of(100)
    await turns(pacer, seconds=5)
    refused_at = pacer.snapshot().operations_per_minute
    await refused(pacer, 0)

    await turns(pacer, seconds=MINUTE)

    assert pacer.snapshot().operations_per_minute == pytest.approx(refused_at, rel=0.1)


@in_virtual_time
async def test_rate_leaves_a_wall_that_is_gone():
    """When the others have gone, what they had is found within minutes."""
    pacer = pacer_of(100)
    await turns(pacer, seconds=5)
    await refused(pacer, 0)

    await turns(pacer, seconds=12 * MINUTE)

    assert pacer.snapshot().operations_per_minute == pytest.approx(980)


@in_virtual_time
async def test_smaller_quota_is_found_within_a_window():
    """Of a quota configured too high, what DPS admitted in the last minute is the measure."""
    pacer = pacer_of(980)
    await turns(pacer, seconds=20)

    await refused(pacer, 40)

    admitted = 980 / 3 + BURST
    assert pacer.snapshot().operations_per_minute < 1.5 * admitted


@in_virtual_time
async def test_long_refusal_leaves_a_rate_to_come_back_with():
    """Somebody who uses the quota up for an hour does not bring the process to a standstill."""
    pacer = pacer_of(100)
    await turns(pacer, seconds=MINUTE)

    while now() < 3600:
        await refused(pacer)

    assert pacer.snapshot().operations_per_minute > 980 / 6
    assert pacer.snapshot().throttled < 1000


@in_virtual_time
async def test_idle_process_hoards_no_burst():
    """After an hour without a call no more than a second's calls go out at once."""
    pacer = pacer_of(980)
    await asyncio.sleep(3600)

    at_once = 0
    for _ in range(100):
        await pacer.wait(NEVER)
        at_once += now() == 3600

    assert at_once == 16


@in_virtual_time
async def test_pause_that_dps_asks_for_is_no_demand():
    """A few calls refused with a long Retry-After do not take the rate down to those few."""
    pacer = pacer_of(100)
    for _ in range(3):
        await pacer.wait(NEVER)
        pacer.answered()
        await refused(pacer, 40)
        await asyncio.sleep(MINUTE)

    assert pacer.snapshot().operations_per_minute > 50


@in_virtual_time
async def test_rate_that_was_cut_is_forgotten_while_nobody_has_to_wait():
    """A call now and then, such as a look at the health, keeps no process slow for ever."""
    pacer = pacer_of(100)
    for _ in range(5):
        await turns(pacer, seconds=5)
        await refused(pacer, 1)
    assert pacer.snapshot().operations_per_minute < 80

    await now_and_then(pacer, calls=30)

    assert pacer.snapshot().operations_per_minute == pytest.approx(100)


@in_virtual_time
async def test_rate_that_was_grown_to_is_kept_while_there_are_calls():
    """Who seldom waits is not made to start anew."""
    pacer = pacer_of(100)
    await turns(pacer, seconds=MINUTE)

    await now_and_then(pacer, calls=30)

    assert pacer.snapshot().operations_per_minute == pytest.approx(980)


@in_virtual_time
async def test_process_that_stood_still_goes_on():
    """Its clock has gone on for hours while a caller waited."""
    pacer = pacer_of(1)
    await spend_burst(pacer)
    waiting = asyncio.create_task(pacer.wait(NEVER))
    await asyncio.sleep(1)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTime)
    loop.stand_still(8 * 3600)

    assert await waiting == pytest.approx(8 * 3600 + 1)


@in_virtual_time
async def test_cut_is_not_forgotten_at_once():
    """Though for ten minutes nobody had to wait."""
    pacer = pacer_of(100)
    await turns(pacer, seconds=1)
    await now_and_then(pacer, calls=25)

    await refused(pacer, 1)

    assert pacer.snapshot().operations_per_minute < 100


@pytest.mark.parametrize(("idle", "rate"), [(5, 980), (15, 100)], ids=["short", "long"])
@in_virtual_time
async def test_rate_outlives_a_short_rest_only(idle: float, rate: float):
    """It does not start anew after each pause; what was true long ago is forgotten."""
    pacer = pacer_of(100)
    await turns(pacer, seconds=MINUTE)
    await asyncio.sleep(idle * MINUTE)

    await pacer.wait(NEVER)

    assert pacer.snapshot().operations_per_minute == pytest.approx(rate)
