"""Timestamps in the format of DPS."""

from datetime import UTC, datetime

TICK = 100  # nanoseconds
TICKS_PER_SECOND = 10_000_000
SECOND = TICK * TICKS_PER_SECOND  # nanoseconds


def timestamp(nanoseconds: int) -> str:
    """
    Returns a Unix time as DPS writes it, such as 2023-05-09T20:30:58.924567Z.

    Recorded: up to seven digits of a second, without trailing zeros.
    """
    seconds, ticks = divmod(nanoseconds // TICK, TICKS_PER_SECOND)
    fraction = f".{ticks:07d}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"
