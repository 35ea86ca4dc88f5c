"""The error catalogue: complete, with fixed codes and reasons, and equal to `docs/errors.md`."""

import re
from collections import Counter
from pathlib import Path

import pytest

from shared import errors
from shared.error_catalog import (
    ERROR_CATALOG,
    INTERNAL_ERROR,
    Disposition,
    ErrorEntry,
    code_for,
    entry_for,
)
from shared.errors import (
    AllocationError,
    AppError,
    DpsAnswerError,
    DpsConflictError,
    DpsError,
    DpsFaultError,
    InvalidRequestError,
    QueueError,
)

DOCUMENTED = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
ENTRIES = [*ERROR_CATALOG.values(), INTERNAL_ERROR]
# Base classes that are never raised themselves.
ABSTRACT = {AppError, AllocationError, DpsError, DpsAnswerError, QueueError}
# Literal, because callers compare them: renaming a class must not change a reason.
REASONS = {
    400000: "DpsBadRequest",
    400004: "InvalidRequest",
    401002: "Unauthorized",
    403001: "DeviceRefused",
    403002: "RightMissing",
    404000: "DpsNotFound",
    404001: "UnknownPolicy",
    404002: "MessageNotFound",
    404003: "RouteNotFound",
    405001: "MethodNotAllowed",
    409000: "DpsConflict",
    412000: "DpsPreconditionFailed",
    413001: "DocumentTooLarge",
    413002: "MessageTooLarge",
    415001: "UnsupportedMediaType",
    429001: "DpsThrottled",
    500001: "Bug",
    502001: "DpsFault",
    502002: "DpsCredential",
    502003: "DpsReplyLost",
    502004: "DpsRefused",
    502005: "QueueRefused",
    502006: "ResultUndeliverable",
    503001: "NotConfigured",
    503002: "DpsUnreachable",
    503003: "NotAttempted",
    503004: "OutcomeUnknown",
    503005: "NoHub",
    503006: "PolicyFile",
    503007: "PacedOut",
    503008: "QueueUnreachable",
    503009: "RetriesExhausted",
    503010: "DpsHost",
    504001: "DpsTimeout",
}


def all_errors() -> set[type[AppError]]:
    """Returns every class of the exception tree."""
    classes, pending = set(), [AppError]
    while pending:
        kind = pending.pop()
        classes.add(kind)
        pending.extend(kind.__subclasses__())
    return classes


def test_every_error_has_an_entry() -> None:
    """Every concrete error class has its own entry."""
    assert all_errors() - ABSTRACT == set(ERROR_CATALOG)


def test_docstring_draws_the_exception_tree() -> None:
    """The tree in the docstring of `shared/errors.py` names each class once."""
    drawn = re.findall(r"\w+Error", errors.__doc__ or "")

    assert sorted(drawn) == sorted(kind.__name__ for kind in all_errors())


def test_codes_and_reasons_are_fixed() -> None:
    """Each code has the reason that was published for it, and is used once, 503004 twice."""
    used = Counter((entry.code, entry.reason) for entry in ENTRIES)

    assert used == Counter(REASONS.items()) + Counter([(503004, "OutcomeUnknown")])


def test_unexpected_error_is_an_internal_error() -> None:
    """An exception without an entry is a 500, and its message is abandoned."""
    entry = entry_for(ZeroDivisionError())

    assert (entry.status, entry.reason, entry.disposition) == (500, "Bug", Disposition.ABANDON)


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
def test_dps_code_is_kept_if_it_has_the_same_status(error: Exception, code: int) -> None:
    """DPS's own code replaces that of the entry only if both have the same HTTP status."""
    assert code_for(error) == code


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.reason}, {entry.disposition}")
def test_every_entry_is_documented(entry: ErrorEntry) -> None:
    """`docs/errors.md` has a row with the texts of the entry."""
    columns = (
        entry.code,
        entry.status.value,
        entry.disposition,
        f"`{entry.reason}`",
        entry.meaning,
        entry.remedy,
    )

    assert f"| {' | '.join(map(str, columns))} |" in DOCUMENTED


def test_no_other_code_is_documented() -> None:
    """`docs/errors.md` has no row without an entry."""
    documented = re.findall(r"^\| (\d{6}) \| \d{3} \|", DOCUMENTED, re.MULTILINE)

    assert sorted(map(int, documented)) == sorted(entry.code for entry in ENTRIES)
