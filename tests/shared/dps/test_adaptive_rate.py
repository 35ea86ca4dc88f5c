"""Adaptive rate: how the rate of one process follows what DPS admits; in virtual time."""

import asyncio

import pytest

from local.virtual_time import VirtualTime
from shared.dps.rate_limiter import RateLimiter
from tests.shared.dps.rate_limits import (
    BURST,
    MINUTE,
    NEVER,
    call_constantly,
    in_virtual_time,
    new_limiter,
    now,
    throttled_call,
    use_burst,
)


async def call_occasionally(limiter: RateLimiter, *, calls: int) -> None:
    """Makes a call every half minute, all of which DPS admits."""
    for _ in range(calls):
        await limiter.acquire(NEVER)
        limiter.on_response()
        await asyncio.sleep(MINUTE / 2)


@in_virtual_time
async def test_rate_doubles_until_the_first_throttling() -> None:
    """From a tenth of the quota the rate reaches the whole quota in less than a minute."""
    limiter = new_limiter(100)

    await call_constantly(limiter, seconds=15)
    early_rate = limiter.status().operations_per_minute
    await call_constantly(limiter, seconds=45)

    assert early_rate == pytest.approx(200, rel=0.05)
    assert limiter.status().operations_per_minute == pytest.approx(980)


@in_virtual_time
async def test_configured_quota_is_never_exceeded() -> None:
    """In no minute are more permits granted than the quota, and nearly all of it is used."""
    limiter = new_limiter(1000)

    counts = [await call_constantly(limiter, seconds=MINUTE) for _ in range(3)]

    assert max(counts) <= 1000
    assert min(counts) >= 975


@in_virtual_time
async def test_rate_without_waiting_callers_does_not_grow() -> None:
    """A rate that was not tested does not grow."""
    limiter = new_limiter(100)

    for _ in range(50):
        await limiter.acquire(NEVER)
        limiter.on_response()
        await asyncio.sleep(5)

    assert limiter.status().operations_per_minute == 100


@in_virtual_time
async def test_throttling_cuts_the_rate() -> None:
    """A throttled call cuts the rate by a tenth."""
    limiter = new_limiter(600)
    for _ in range(9):
        limiter.on_response()

    await throttled_call(limiter)

    assert limiter.status().operations_per_minute == pytest.approx(540)


@in_virtual_time
async def test_throttled_calls_of_one_round_trip_cut_once() -> None:
    """Calls that started before the last cut do not cut again."""
    limiter = new_limiter(600)
    limiter.on_response()
    start_times = [await limiter.acquire(NEVER) for _ in range(4)]
    limiter.on_throttled(1, start_time=start_times[0])
    after_first = limiter.status().operations_per_minute

    for start_time in start_times[1:]:
        limiter.on_throttled(1, start_time=start_time)

    assert limiter.status().operations_per_minute == after_first
    assert limiter.status().throttled == 4


@in_virtual_time
async def test_throttling_before_any_admitted_call_cuts_nothing() -> None:
    """A process that starts in a used-up window keeps its initial rate for the next window."""
    limiter = new_limiter(100)
    await throttled_call(limiter, 50)

    await call_constantly(limiter, seconds=50 + MINUTE)

    assert limiter.status().operations_per_minute == pytest.approx(980)


@in_virtual_time
async def test_rate_stays_near_the_ceiling() -> None:
    """After a throttling the rate stays within a tenth of the throttled rate for a minute."""
    limiter = new_limiter(100)
    await call_constantly(limiter, seconds=5)
    throttled_rate = limiter.status().operations_per_minute
    await throttled_call(limiter, 0)

    await call_constantly(limiter, seconds=MINUTE)

    assert limiter.status().operations_per_minute == pytest.approx(throttled_rate, rel=0.1)


@in_virtual_time
async def test_rate_grows_past_an_outdated_ceiling() -> None:
    """If other processes stop, the rate reaches the whole quota within minutes."""
    limiter = new_limiter(100)
    await call_constantly(limiter, seconds=5)
    await throttled_call(limiter, 0)

    await call_constantly(limiter, seconds=12 * MINUTE)

    assert limiter.status().operations_per_minute == pytest.approx(980)


@in_virtual_time
async def test_smaller_quota_is_found_within_one_window() -> None:
    """If the configured quota is too high, the calls admitted in the last minute set the rate."""
    limiter = new_limiter(980)
    await call_constantly(limiter, seconds=20)

    await throttled_call(limiter, 40)

    admitted = 980 / 3 + BURST
    assert limiter.status().operations_per_minute < 1.5 * admitted


@in_virtual_time
async def test_long_throttling_leaves_a_usable_rate() -> None:
    """An hour of throttling leaves a rate of more than a sixth."""
    limiter = new_limiter(100)
    await call_constantly(limiter, seconds=MINUTE)

    while now() < 3600:
        await throttled_call(limiter)

    assert limiter.status().operations_per_minute > 980 / 6
    assert limiter.status().throttled < 1000


@in_virtual_time
async def test_idle_process_accumulates_no_large_burst() -> None:
    """After an idle hour no more than the calls of one second start at once."""
    limiter = new_limiter(980)
    await asyncio.sleep(3600)

    immediate = 0
    for _ in range(100):
        await limiter.acquire(NEVER)
        immediate += now() == 3600

    assert immediate == 16


@in_virtual_time
async def test_pause_by_retry_after_does_not_count_as_demand() -> None:
    """A few calls throttled with a long Retry-After do not lower the rate to those few."""
    limiter = new_limiter(100)
    for _ in range(3):
        await limiter.acquire(NEVER)
        limiter.on_response()
        await throttled_call(limiter, 40)
        await asyncio.sleep(MINUTE)

    assert limiter.status().operations_per_minute > 50


@in_virtual_time
async def test_low_rate_is_reset_if_no_caller_has_to_wait() -> None:
    """Occasional calls, such as health checks, do not keep a process slow."""
    limiter = new_limiter(100)
    for _ in range(5):
        await call_constantly(limiter, seconds=5)
        await throttled_call(limiter, 1)
    assert limiter.status().operations_per_minute < 80

    await call_occasionally(limiter, calls=30)

    assert limiter.status().operations_per_minute == pytest.approx(100)


@in_virtual_time
async def test_high_rate_is_kept_while_there_are_calls() -> None:
    """A process whose calls seldom wait keeps the rate that it reached."""
    limiter = new_limiter(100)
    await call_constantly(limiter, seconds=MINUTE)

    await call_occasionally(limiter, calls=30)

    assert limiter.status().operations_per_minute == pytest.approx(980)


@in_virtual_time
async def test_suspended_process_continues() -> None:
    """A process that was suspended for hours while a caller waited grants the permit."""
    limiter = new_limiter(1)
    await use_burst(limiter)
    waiting = asyncio.create_task(limiter.acquire(NEVER))
    await asyncio.sleep(1)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTime)
    loop.stand_still(8 * 3600)

    assert await waiting == pytest.approx(8 * 3600 + 1)


@in_virtual_time
async def test_cut_after_ten_quiet_minutes_is_kept() -> None:
    """A throttling counts as a test of the rate, so the cut is not reset at once."""
    limiter = new_limiter(100)
    await call_constantly(limiter, seconds=1)
    await call_occasionally(limiter, calls=25)

    await throttled_call(limiter, 1)

    assert limiter.status().operations_per_minute < 100


@pytest.mark.parametrize(("idle", "rate"), [(5, 980), (15, 100)], ids=["short", "long"])
@in_virtual_time
async def test_rate_is_reset_after_ten_idle_minutes(idle: float, rate: float) -> None:
    """A short idle time keeps the rate; a long one resets it."""
    limiter = new_limiter(100)
    await call_constantly(limiter, seconds=MINUTE)
    await asyncio.sleep(idle * MINUTE)

    await limiter.acquire(NEVER)

    assert limiter.status().operations_per_minute == pytest.approx(rate)
