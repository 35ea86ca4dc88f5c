"""Positions of records in a bulk message, as text: `0-9,12`."""

import re
from collections.abc import Iterable
from itertools import chain, islice

_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)


def format_positions(positions: Iterable[int]) -> str:
    """Returns ascending positions as ranges."""
    ranges: list[tuple[int, int]] = []
    for position in positions:
        first, last = ranges[-1] if ranges else (position, position)
        if ranges and position == last + 1:
            ranges[-1] = first, position
        else:
            ranges.append((position, position))
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)


def read_positions(text: object, *, limit: int) -> list[int]:
    """Returns at most `limit` positions; none for what is not such a text."""
    matches = [_RANGE.fullmatch(part) for part in str(text).split(",")]
    ranges = (range(int(match[1]), int(match[2] or match[1]) + 1) for match in matches if match)
    return list(islice(chain.from_iterable(ranges), limit))
