"""Rows of the benchmark table and their goals."""

from collections.abc import Sequence

import pytest
from table import Failed, NotMeasured, Row


def create_row(
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Row:
    """Returns a row of these measurements."""
    return Row(
        name="a call", unit="us", ours=ours, theirs=theirs, at_least=at_least, at_most=at_most
    )


def test_ratio_is_the_median_of_the_rounds() -> None:
    """An outlier in one round does not change the ratio."""
    assert create_row([1, 1, 9], [2, 2, 2]).ratio == 0.5


@pytest.mark.parametrize(
    ("ours", "is_met"), [([0.9], True), ([0.8], False)], ids=["equal", "below"]
)
def test_lower_goal_is_inclusive(ours: list[float], is_met: bool) -> None:
    """A ratio equal to a lower goal meets it, one below it does not."""
    assert create_row(ours, [1.0], at_least=0.9).is_met is is_met


@pytest.mark.parametrize(
    ("ours", "is_met"), [([0.6], True), ([0.7], False)], ids=["equal", "above"]
)
def test_upper_goal_is_inclusive(ours: list[float], is_met: bool) -> None:
    """A ratio equal to an upper goal meets it, one above it does not."""
    assert create_row(ours, [1.0], at_most=0.6).is_met is is_met


def test_miss_within_the_spread_does_not_fail_the_run() -> None:
    """A goal missed by less than the spread is not met, but not a failure either."""
    row = create_row([0.5, 0.7, 0.9], [1, 1, 1], at_most=0.6)

    assert (row.is_met, row.is_missed) == (False, False)


def test_miss_beyond_the_spread_fails_the_run() -> None:
    """A goal missed by more than the spread is a failure."""
    assert create_row([0.69, 0.7, 0.71], [1, 1, 1], at_most=0.6).is_missed


def test_row_as_json() -> None:
    """The JSON has name, both figures, ratio, spread, goal and whether it is met."""
    assert create_row([1.0], [2.0], at_most=0.6).as_json() == {
        "name": "a call, us",
        "ours": 1.0,
        "peer": 2.0,
        "ratio": 0.5,
        "spread": 0.0,
        "goal": "<= 0.6",
        "met": True,
    }


def test_row_that_is_not_measured_is_neither_met_nor_missed() -> None:
    """A row that was left out does not fail the run."""
    row = NotMeasured(name="memory", goal="<= 1.1", why="takes minutes")

    assert (row.as_json()["met"], row.is_missed) == (None, False)


def test_failed_measurement_fails_the_run() -> None:
    """A script that ends with an error counts as a missed goal."""
    assert Failed(name="memory", goal=None, why="TimeoutError").is_missed
