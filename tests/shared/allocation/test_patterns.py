"""Patterns: the same results as `re`, in time linear in the text."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.allocation.patterns import Pattern, PatternError

ATOMS = st.sampled_from(["a", "b", "-", ".", r"\d", r"\W", r"\.", "[ab]", "[^a]", "[a-c-]", "[]a]"])
REPEATS = st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "{0}"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda parts: f"({parts[0]}|{parts[1]})")
        | st.tuples(inner, REPEATS).map(lambda parts: f"(?:{parts[0]}){parts[1]}")
    ),
    max_leaves=8,
)
TEXTS = st.text("abcA-.]1\n", max_size=10)


@given(pattern=PATTERNS, text=TEXTS)
@settings(max_examples=250, deadline=None)
def test_pattern_matches_as_in_re(pattern: Any, text: Any) -> None:
    """Every supported pattern matches the same texts as in Python's `re`."""
    expected = re.fullmatch(pattern, text, re.ASCII | re.DOTALL)

    assert Pattern(pattern).matches(text) == bool(expected)


@given(pattern=PATTERNS, text=TEXTS)
@settings(max_examples=100, deadline=None)
def test_pattern_ignoring_case_matches_as_in_re(pattern: Any, text: Any) -> None:
    """The same with IGNORECASE, for ids that DPS compares without case."""
    expected = re.fullmatch(pattern, text, re.ASCII | re.DOTALL | re.IGNORECASE)

    assert Pattern(pattern, ignore_case=True).matches(text) == bool(expected)


@given(text=st.text("a()[]{}|*+?^$\\-,.09dP<=!:", max_size=14))
@settings(max_examples=250, deadline=None)
def test_any_text_is_a_pattern_or_an_error(text: Any) -> None:
    """What is accepted matches as in `re`; anything else raises `PatternError` and nothing else."""
    try:
        pattern = Pattern(text)
    except PatternError:
        return

    assert pattern.matches("a-0") == bool(re.fullmatch(text, "a-0", re.ASCII | re.DOTALL))


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(a|a)*b", "(a|aa)+b", "(.*)(.*)(.*)(.*)(.*)b", "((a?){20}){20}b"]
)
def test_catastrophic_backtracking_does_not_occur(pattern: str) -> None:
    """With the longest text, a backtracking matcher would never finish these patterns."""
    assert not Pattern(pattern).matches("a" * 1024)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(a)\1", "back references"),
        ("(?=a)a", "lookaround"),
        ("(?P<n>a)", "names"),
        ("(?i)a", "flags"),
        ("^a", "the whole text is always matched"),
        ("a$", "the whole text is always matched"),
        (r"\ba", "backslash"),
        ("a**", "a repeat of a repeat"),
        ("a+?", "a repeat of a repeat"),
        ("*", "nothing to repeat"),
        ("a{3,2}", "less than its minimum"),
        ("(a", "not closed"),
        ("a)", "unmatched"),
        ("[a", "not closed"),
        ("[z-a]", "bad character range"),
        ("[a--b]", "reserved in a class"),
        ("a}", "must be written as"),
        ("(" * 21 + ")" * 21, "nested parentheses"),
        ("(a{999}){999}", "more than 1000 steps"),
        ("((){999}){999}", "more than 1000 steps"),
    ],
)
def test_unsupported_pattern_is_an_error(pattern: str, message: str) -> None:
    """The message says what is not supported."""
    with pytest.raises(PatternError, match=re.escape(message)):
        Pattern(pattern)
