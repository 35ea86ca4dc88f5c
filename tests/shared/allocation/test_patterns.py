"""Patterns: they mean what `re` means, and cost what their text is long."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.allocation.patterns import Pattern
from shared.allocation.syntax import PatternError

ATOMS = st.sampled_from(["a", "b", "-", ".", r"\d", r"\W", r"\.", "[ab]", "[^a]", "[a-c-]", "[]a]"])
REPEATS = st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "{0}"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})")
        | st.tuples(inner, REPEATS).map(lambda two: f"(?:{two[0]}){two[1]}")
    ),
    max_leaves=8,
)
TEXTS = st.text("abcA-.]1\n", max_size=10)


@given(pattern=PATTERNS, text=TEXTS)
@settings(max_examples=250, deadline=None)
def test_pattern_means_what_re_means(pattern, text):
    """Whoever knows Python's patterns knows these."""
    expected = re.fullmatch(pattern, text, re.ASCII | re.DOTALL)

    assert Pattern(pattern).matches(text) == bool(expected)


@given(pattern=PATTERNS, text=TEXTS)
@settings(max_examples=100, deadline=None)
def test_pattern_without_case_means_what_re_means(pattern, text):
    """The same for names that DPS compares without case."""
    expected = re.fullmatch(pattern, text, re.ASCII | re.DOTALL | re.IGNORECASE)

    assert Pattern(pattern, ignore_case=True).matches(text) == bool(expected)


@given(text=st.text("a()[]{}|*+?^$\\-,.09dP<=!:", max_size=14))
@settings(max_examples=250, deadline=None)
def test_any_text_is_a_pattern_or_is_refused(text):
    """What is taken, `re` takes too and means the same; nothing else escapes than PatternError."""
    try:
        pattern = Pattern(text)
    except PatternError:
        return

    assert pattern.matches("a-0") == bool(re.fullmatch(text, "a-0", re.ASCII | re.DOTALL))


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(a|a)*b", "(a|aa)+b", "(.*)(.*)(.*)(.*)(.*)b", "((a?){20}){20}b"]
)
def test_pattern_that_blows_up_elsewhere_reads_each_character_once(pattern):
    """The text books' examples, with the longest text: a backtracking matcher would not end."""
    assert not Pattern(pattern).matches("a" * 1024)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"(a)\1", "back references"),
        ("(?=a)a", "lookaround"),
        ("(?P<n>a)", "names"),
        ("(?i)a", "flags"),
        ("^a", "leave it out"),
        ("a$", "leave it out"),
        (r"\ba", "backslash"),
        ("a**", "a repeat of a repeat"),
        ("a+?", "a repeat of a repeat"),
        ("*", "nothing to repeat"),
        ("a{3,2}", "less than its beginning"),
        ("(a", "not closed"),
        ("a)", "unmatched"),
        ("[a", "not closed"),
        ("[z-a]", "bad character range"),
        ("[a--b]", "something else"),
        ("a}", "not written"),
        ("(" * 21 + ")" * 21, "nested parentheses"),
        ("(a{999}){999}", "more than 1000 steps"),
        ("((){999}){999}", "more than 1000 steps"),
    ],
)
def test_pattern_that_cannot_be_bounded_is_refused(pattern, words):
    """What is left out is said, and where."""
    with pytest.raises(PatternError, match=re.escape(words)):
        Pattern(pattern)
