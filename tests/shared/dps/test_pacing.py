"""The turns of one process, in virtual time."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from functools import wraps
from itertools import pairwise
from typing import Any

import pytest

from local.virtual_time import VirtualTime
from shared.dps.pacing import Pacer, Permit
from shared.errors import PacedOutError

NEVER = float("inf")
BURST = 5
MINUTE = 60.0


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Makes a test of a coroutine function, whose hours pass in an instant."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualTime) as runner:
            runner.run(test(**fixtures))

    return run


def pacer_of(start: float, *, quota: float = 1000) -> Pacer:
    """A pacer whose chance is the same at every run."""
    return Pacer(start=start, quota=quota, random=random.Random(1))  # noqa: S311


def now() -> float:
    """The time of the loop."""
    return asyncio.get_running_loop().time()


async def spend_burst(pacer: Pacer) -> None:
    """Takes the turns that are to be had at once."""
    for _ in range(BURST):
        await pacer.wait(now())


async def turns(pacer: Pacer, *, seconds: float) -> int:
    """How many turns one gets who wants as many as there are, all of which DPS admits."""
    until, count = now() + seconds, 0
    while now() < until:
        try:
            await pacer.wait(until)
        except PacedOutError:
            break
        pacer.answered()
        count += 1
    return count


async def refused(pacer: Pacer, retry_after: float | None = None) -> None:
    """A call that DPS refuses at once."""
    turn = await pacer.wait(NEVER)
    pacer.throttled(retry_after, turn=turn)


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
    started = [await pacer.wait(NEVER) for _ in range(4)]
    pacer.throttled(1, turn=started[0])
    after_one = pacer.snapshot().operations_per_minute

    for turn in started[1:]:
        pacer.throttled(1, turn=turn)

    assert pacer.snapshot().operations_per_minute == after_one
    assert pacer.snapshot().throttled == 4


@in_virtual_time
async def test_rate_stays_near_the_one_that_was_refused():
    """It comes back to it slowly, and does not pass it by much for minutes: probes are rare."""
    pacer = pacer_of(100)
    await turns(pacer, seconds=5)
    refused_at = pacer.snapshot().operations_per_minute
    await refused(pacer, 0)

    await turns(pacer, seconds=3 * MINUTE)

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


@pytest.mark.parametrize(("idle", "rate"), [(5, 980), (15, 100)], ids=["short", "long"])
@in_virtual_time
async def test_rate_outlives_a_short_rest_only(idle: float, rate: float):
    """It does not start anew after each pause; what was true long ago is forgotten."""
    pacer = pacer_of(100)
    await turns(pacer, seconds=MINUTE)
    await asyncio.sleep(idle * MINUTE)

    await pacer.wait(NEVER)

    assert pacer.snapshot().operations_per_minute == pytest.approx(rate)


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
