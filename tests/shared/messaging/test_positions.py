"""Positions of records as text: ranges, read leniently and within a limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messaging.positions import format_positions, read_positions


@pytest.mark.parametrize(
    ("positions", "text"),
    [
        ([], ""),
        ([7], "7"),
        ([0, 1, 2], "0-2"),
        ([0, 2, 3, 9], "0,2-3,9"),
        ([9998, 9999], "9998-9999"),
    ],
)
def test_positions_are_ranges(positions: list[int], text: str) -> None:
    """Positions in a row are one range."""
    assert format_positions(positions) == text


@given(st.sets(st.integers(0, 9999)).map(sorted))
def test_positions_are_read_as_formatted(positions: list[int]) -> None:
    """Whichever they are."""
    assert read_positions(format_positions(positions), limit=10_000) == positions


@pytest.mark.parametrize(
    ("text", "positions"),
    [("0-99999", [0, 1, 2]), ("5-3", []), ("x,7", [7]), (None, []), ("123456", []), ("٣", [])],
)
def test_other_texts_have_few_positions(text: object, positions: list[int]) -> None:
    """At most as many as the limit; what is no range is skipped."""
    assert read_positions(text, limit=3) == positions
