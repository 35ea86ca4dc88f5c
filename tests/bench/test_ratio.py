"""What a row says of its goal."""

import pytest


@pytest.fixture
def row(bench):
    """Makes a row of pairs."""
    ratio = bench("ratio")
    return lambda ours, theirs, **goal: ratio.Row(
        name="a call", unit="us", ours=ours, theirs=theirs, **goal
    )


def test_ratio_is_the_median_of_the_rounds(row):
    """One round that something disturbed changes nothing."""
    assert row([1, 1, 9], [2, 2, 2]).ratio == 0.5


@pytest.mark.parametrize(
    ("ours", "goal", "met"),
    [
        ([0.9], {"at_least": 0.9}, True),
        ([0.8], {"at_least": 0.9}, False),
        ([0.6], {"at_most": 0.6}, True),
        ([0.7], {"at_most": 0.6}, False),
    ],
)
def test_goal_is_a_least_or_a_most(row, ours, goal, met):
    """It is met on its own side, the goal itself included."""
    assert row(ours, [1.0], **goal).is_met is met


def test_miss_within_the_spread_is_no_failure(row):
    """What the machine's noise may have done is told as a miss, and does not fail a run."""
    near = row([0.5, 0.7, 0.9], [1, 1, 1], at_most=0.6)

    assert (near.is_met, near.is_missed) == (False, False)


def test_miss_beyond_the_spread_is_a_failure(row):
    """What noise cannot explain fails a run."""
    assert row([0.69, 0.7, 0.71], [1, 1, 1], at_most=0.6).is_missed


def test_row_as_json_has_what_programs_look_for(row):
    """Name, both sides, ratio, goal and whether it is met."""
    assert row([1.0], [2.0], at_most=0.6).as_json() == {
        "name": "a call, us",
        "ours": 1.0,
        "peer": 2.0,
        "ratio": 0.5,
        "spread": 0.0,
        "goal": "<= 0.6",
        "met": True,
    }


def test_what_is_not_measured_is_neither_met_nor_missed(bench):
    """A run that leaves a row out does not fail for it, and does not claim it."""
    left_out = bench("ratio").NotMeasured(name="memory", goal="<= 1.1", why="takes minutes")

    assert (left_out.as_json()["met"], left_out.is_missed) == (None, False)


def test_what_failed_is_missed(bench):
    """A script that ends with an error fails the run."""
    assert bench("ratio").Failed(name="memory", goal=None, why="TimeoutError").is_missed
