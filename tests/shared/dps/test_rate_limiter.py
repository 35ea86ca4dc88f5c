"""Rate limiter: who gets a permit, and when; in virtual time."""

import asyncio
from itertools import pairwise

import pytest

from shared.dps.rate_limiter import Permit
from shared.errors import NoPermitError
from tests.shared.dps.rate_limits import (
    BURST,
    MINUTE,
    NEVER,
    in_virtual_time,
    new_limiter,
    now,
    throttled_call,
    use_burst,
)


@in_virtual_time
async def test_burst_of_calls_after_an_idle_time_does_not_wait() -> None:
    """After an idle time five calls may start at once."""
    limiter = new_limiter(1)

    start_times = [await limiter.acquire(now()) for _ in range(BURST)]

    assert start_times == [0.0] * BURST


@in_virtual_time
async def test_permits_are_granted_at_the_initial_rate() -> None:
    """After the burst, permits are granted at the configured initial rate."""
    limiter = new_limiter(60, quota=60)
    await use_burst(limiter)

    start_times = [await limiter.acquire(NEVER) for _ in range(3)]

    assert start_times == pytest.approx([1.02, 2.04, 3.06], abs=0.01)


@in_virtual_time
async def test_permits_are_granted_first_come_first_served() -> None:
    """Callers get permits in the order in which they requested them."""
    limiter = new_limiter(60)
    await use_burst(limiter)
    order = []

    async def wait(name: str) -> None:
        await limiter.acquire(NEVER)
        order.append(name)

    await asyncio.gather(*(wait(name) for name in "abcd"))

    assert order == list("abcd")


@in_virtual_time
async def test_cancelled_caller_uses_no_permit() -> None:
    """If a waiting caller is cancelled, the next caller gets its permit."""
    limiter = new_limiter(60, quota=60)
    await use_burst(limiter)
    first, second = (asyncio.create_task(limiter.acquire(NEVER)) for _ in range(2))
    await asyncio.sleep(0.5)

    first.cancel()
    start_time = await second

    assert start_time == pytest.approx(1.02, abs=0.01)


@in_virtual_time
async def test_permit_granted_to_a_caller_cancelled_at_once_is_passed_on() -> None:
    """A permit that was granted but not yet received goes to the next caller."""
    limiter = new_limiter(60, quota=60)
    await use_burst(limiter)
    first, second = (asyncio.create_task(limiter.acquire(NEVER)) for _ in range(2))
    start_time = MINUTE / limiter.status().operations_per_minute
    # So soon after the grant that the loop does both before the caller can run.
    asyncio.get_running_loop().call_at(start_time + 1e-10, first.cancel)

    passed_on = await second

    assert first.cancelled()
    assert passed_on == pytest.approx(start_time)


@in_virtual_time
async def test_caller_that_is_being_cancelled_is_granted_no_permit() -> None:
    """A caller that was cancelled but has not run since gets no permit."""
    limiter = new_limiter(60, quota=60)
    await use_burst(limiter)
    first, second = (asyncio.create_task(limiter.acquire(NEVER)) for _ in range(2))
    start_time = MINUTE / limiter.status().operations_per_minute
    asyncio.get_running_loop().call_at(start_time - 1e-10, first.cancel)

    assert await second == pytest.approx(start_time)


@in_virtual_time
async def test_pause_during_a_cancellation_affects_no_other_caller() -> None:
    """A pause fails the callers it makes late, not the cancelled one; later callers get permits."""
    limiter = new_limiter(60)
    start_time = await limiter.acquire(NEVER)
    await asyncio.gather(*(limiter.acquire(NEVER) for _ in range(BURST - 1)))
    late, cancelled = (asyncio.create_task(limiter.acquire(10.0)) for _ in range(2))
    await asyncio.sleep(0.1)

    cancelled.cancel()
    limiter.on_throttled(30, start_time=start_time)

    with pytest.raises(NoPermitError):
        await late
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert await limiter.acquire(NEVER) >= 30
    assert limiter.status().waiting == 0


@in_virtual_time
async def test_cancelling_all_callers_returns_all_their_permits() -> None:
    """Each caller raises `CancelledError`, and the next caller waits for one permit only."""
    limiter = new_limiter(60, quota=60)
    await use_burst(limiter)
    group = [asyncio.create_task(limiter.acquire(NEVER)) for _ in range(5)]
    await asyncio.sleep(1.0)

    for caller in group:
        caller.cancel()
    results = await asyncio.gather(*group, return_exceptions=True)

    assert {type(result) for result in results} == {asyncio.CancelledError}
    assert await limiter.acquire(NEVER) == pytest.approx(1.02, abs=0.01)


@in_virtual_time
async def test_permit_after_the_deadline_is_refused_at_once() -> None:
    """The call fails without waiting; the error says when a permit will be available."""
    limiter = new_limiter(6, quota=6)
    await use_burst(limiter)

    with pytest.raises(NoPermitError) as raised:
        await limiter.acquire(5.0)

    assert now() == 0
    assert raised.value.retry_after == pytest.approx(10.2, abs=0.1)


@in_virtual_time
async def test_refused_caller_delays_no_other() -> None:
    """A later caller with a later deadline does not wait behind a refused one."""
    limiter = new_limiter(6, quota=6)
    await use_burst(limiter)
    with pytest.raises(NoPermitError):
        await limiter.acquire(5.0)

    assert await limiter.acquire(11.0) == pytest.approx(10.2, abs=0.1)


@in_virtual_time
async def test_pause_refuses_waiting_callers_that_it_makes_late() -> None:
    """A waiting caller fails as soon as a pause makes its permit too late."""
    limiter = new_limiter(60)
    start_time = await limiter.acquire(NEVER)
    await asyncio.gather(*(limiter.acquire(NEVER) for _ in range(BURST - 1)))
    waiting = asyncio.create_task(limiter.acquire(10.0))
    await asyncio.sleep(0.1)

    limiter.on_throttled(30, start_time=start_time)

    with pytest.raises(NoPermitError) as raised:
        await waiting
    assert now() == pytest.approx(0.1)
    assert raised.value.retry_after is not None
    assert raised.value.retry_after >= 30


@pytest.mark.parametrize(("retry_after", "pause"), [(20, 20), (0, 0), (3600, 120)])
@in_virtual_time
async def test_retry_after_pauses_all_calls(retry_after: float, pause: float) -> None:
    """No call starts before Retry-After has passed, but after two minutes at most."""
    limiter = new_limiter(600)
    await throttled_call(limiter, retry_after)

    start_time = await limiter.acquire(NEVER)

    assert pause <= start_time <= pause + 0.2


@in_virtual_time
async def test_pauses_without_retry_after_grow() -> None:
    """Without Retry-After each throttling in a row pauses longer, up to a limit."""
    limiter = new_limiter(600)
    call_times = []
    for _ in range(6):
        await throttled_call(limiter)
        call_times.append(now())

    pauses = [later - earlier for earlier, later in pairwise(call_times)]

    assert pauses[0] < pauses[2]
    assert min(pauses) >= 1.5
    assert max(pauses) < 10


@in_virtual_time
async def test_status_has_rate_waiting_and_throttled_calls() -> None:
    """The status has the current rate, the calls without a permit and the throttled calls."""
    limiter = new_limiter(60)
    await use_burst(limiter)
    waiting = [asyncio.create_task(limiter.acquire(NEVER)) for _ in range(3)]
    await asyncio.sleep(0)

    status = limiter.status()

    assert (status.operations_per_minute, status.waiting, status.throttled) == (60, 3, 0)
    await asyncio.gather(*waiting)


def test_permit_can_be_used_once() -> None:
    """Only the first use of a permit succeeds."""
    permit = Permit(0.0)

    assert [permit.use(), permit.use()] == [True, False]
