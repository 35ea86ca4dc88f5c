"""Points in time as DPS writes them."""

from datetime import UTC, datetime

TICK = 100  # nanoseconds
TICKS_A_SECOND = 10_000_000
SECOND = TICK * TICKS_A_SECOND


def timestamp(nanoseconds: int) -> str:
    """Seven digits of a second, trailing zeros trimmed (R): 2023-05-09T20:30:58.924567Z."""
    seconds, ticks = divmod(nanoseconds // TICK, TICKS_A_SECOND)
    fraction = f".{ticks:07d}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"
