"""The table of outcomes: whole, and in step with its catalogue."""

import re
from pathlib import Path

import pytest

from functions._outcome import Settlement
from functions._outcomes import BUG, OUTCOME_OF, code_of, outcome_of, reason_of
from shared import errors
from shared.errors import (
    AllocationError,
    AppError,
    DpsAnswerError,
    DpsConflictError,
    DpsError,
    DpsFaultError,
    InvalidRequestError,
    SendError,
)

CATALOGUE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
ROWS = [*OUTCOME_OF.values(), BUG]
NAMED = [(kind.__name__.removesuffix("Error"), row) for kind, row in OUTCOME_OF.items()]

# Never raised themselves.
ABSTRACT = {AppError, AllocationError, DpsError, DpsAnswerError, SendError}


def all_errors() -> set[type[AppError]]:
    """Every error of the tree."""
    found, waiting = set(), [AppError]
    while waiting:
        kind = waiting.pop()
        found.add(kind)
        waiting.extend(kind.__subclasses__())
    return found


def test_every_error_has_a_row():
    """Nobody can add an error and forget what it means over HTTP or for a message."""
    assert all_errors() - ABSTRACT == set(OUTCOME_OF)


def test_tree_in_the_docstring_is_the_tree():
    """The drawing at the head of the module names each error once."""
    drawn = re.findall(r"\w+Error", errors.__doc__ or "")

    assert sorted(drawn) == sorted(kind.__name__ for kind in all_errors())


def test_codes_tell_their_status():
    """As with DPS's codes the first three digits are the HTTP status, and no code stands twice."""
    codes = [row.code for row in ROWS]

    assert [code // 1000 for code in codes] == [row.status for row in ROWS]
    assert len(set(codes)) == len(codes)


def test_unforeseen_is_a_bug():
    """What no row foresees is a 500 without details, and its message is delivered again."""
    outcome = outcome_of(ZeroDivisionError())

    assert (outcome.status, outcome.settlement) == (500, Settlement.ABANDON)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DpsConflictError("", status=409, error_code=409201), 409201),
        (DpsConflictError("", status=409), 409000),
        (DpsFaultError("", status=500, error_code=500001), 502001),
        (InvalidRequestError({}), 400004),
        (KeyError(), 500001),
    ],
)
def test_code_of_dps_is_kept_with_its_status(error, code):
    """DPS's own code is passed on where the status is; where it is not, the code is ours."""
    assert code_of(error) == code


@pytest.mark.parametrize(("reason", "row"), [*NAMED, ("Bug", BUG)])
def test_catalogue_holds_every_row(reason, row):
    """docs/errors.md says of each code what the app does."""
    head = f"| {row.code} | {row.status.value} | {row.settlement} | `{reason}` |"

    assert f"{head} {row.meaning} | {row.cure} |" in CATALOGUE


def test_reason_is_that_of_the_row():
    """An error is called what its row is called; what no row foresees is a bug."""
    assert reason_of(InvalidRequestError({})) == "InvalidRequest"
    assert reason_of(KeyError()) == "Bug"


def test_catalogue_holds_no_other_row():
    """A code that is gone from the table is gone from its catalogue."""
    documented = re.findall(r"^\| (\d{6}) \| \d{3} \|", CATALOGUE, re.MULTILINE)

    assert sorted(map(int, documented)) == sorted(row.code for row in ROWS)
