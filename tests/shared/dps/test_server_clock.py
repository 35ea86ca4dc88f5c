"""The server clock: which records are certainly older than a moment."""

import asyncio

import pytest

from shared.dps.server_clock import NEVER, ServerClock
from tests.shared.dps.rate_limits import in_virtual_time

# The time at the start of the loop's virtual time, in whole seconds.
DATE = "Sat, 28 Nov 2026 12:00:00 GMT"
LATER_DATE = "Sat, 28 Nov 2026 12:00:07 GMT"


def at(seconds: str) -> str:
    """Returns a time of DPS's."""
    return f"2026-11-28T12:00:{seconds}Z"


def record(seconds: str) -> dict[str, str]:
    """Returns a record that was last updated at this time."""
    return {"lastUpdatedDateTimeUtc": at(seconds)}


@in_virtual_time
async def test_record_that_was_seen_before_a_moment_is_older() -> None:
    """It is dated exactly, however many digits its time has."""
    clock = ServerClock()
    clock.observe(DATE, record("00.9245671"))
    moment = clock.now()
    clock.observe(DATE, record("00.95"))

    assert clock.is_before(at("00.9245671"), moment)
    assert clock.is_before(at("00.9"), moment)
    assert not clock.is_before(at("00.925"), moment)
    assert not clock.is_before(at("00.95"), moment)


@in_virtual_time
async def test_latest_record_of_a_page_is_known() -> None:
    """A time without a fraction is before those of the same second."""
    clock = ServerClock()
    clock.observe(DATE, [record("03"), record("03.5"), {}, 5])

    assert clock.is_before(at("03.5"), clock.now())
    assert not clock.is_before(at("03.51"), clock.now())


@in_virtual_time
async def test_date_of_a_response_bounds_the_time_of_a_moment() -> None:
    """The loop's clock shows how much later than the response a moment was."""
    clock = ServerClock()
    clock.observe(DATE, None)
    await asyncio.sleep(5)

    assert clock.is_before(at("05"), clock.now())
    assert not clock.is_before(at("05.1"), clock.now())


@in_virtual_time
async def test_date_of_a_later_response_dates_an_earlier_moment() -> None:
    """A process that has had no response before can date its first attempt."""
    clock = ServerClock()
    moment = clock.now()
    await asyncio.sleep(5)
    clock.observe(LATER_DATE, None)

    assert clock.is_before(at("02"), moment)
    assert not clock.is_before(at("02.1"), moment)


@in_virtual_time
async def test_old_bound_is_replaced() -> None:
    """After a minute a lower bound is used, because clocks drift apart."""
    clock = ServerClock()
    clock.observe(LATER_DATE, None)
    await asyncio.sleep(61)
    clock.observe("Sat, 28 Nov 2026 12:01:00 GMT", None)
    await asyncio.sleep(2)

    assert clock.is_before("2026-11-28T12:01:02Z", clock.now())
    assert not clock.is_before("2026-11-28T12:01:03Z", clock.now())


@pytest.mark.parametrize("time", [None, "", "yesterday", 5])
def test_unreadable_time_is_not_before(time: object) -> None:
    """Nothing is proved by a record without a readable time."""

    @in_virtual_time
    async def run() -> None:
        clock = ServerClock()
        clock.observe("no date", {"lastUpdatedDateTimeUtc": "no time"})
        clock.observe(DATE, time)
        assert not clock.is_before(time, clock.now())
        assert not clock.is_before(at("00"), NEVER)

    run()
