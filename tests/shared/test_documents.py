"""Reading JSON: strict, with every fault in words."""

import pytest

from shared.documents import MAX_BYTES, MAX_DEPTH, merged, parse
from shared.errors import DocumentTooLargeError, InvalidRequestError


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b' {"a": [1, 2.5, null, true, "\xc3\xa4"]} ', {"a": [1, 2.5, None, True, "ä"]}),
        (b"\xef\xbb\xbf{}", {}),
        (b'"text"', "text"),
        (b'{"n": 12345678901234567890}', {"n": 12345678901234567890}),
    ],
    ids=["values", "byte order mark", "text", "long number"],
)
def test_json_is_read(body, document):
    """What RFC 8259 allows comes out as it went in."""
    assert parse(body) == document


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "required"),
        (b" \n", "required"),
        (b"{", "is not JSON"),
        (b"{'a': 1}", "is not JSON"),
        (b'{"a": 1} x', "line 1, column 10"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b'{"a": NaN}', "cannot hold"),
        (b'{"a": -Infinity}', "cannot hold"),
        (b'{"a": 1e999}', "cannot hold"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b"[" * 10_000 + b"]" * 10_000, "deeper"),
    ],
)
def test_what_is_no_json_is_refused(body, words):
    """A body that is not JSON is refused in words that tell why."""
    with pytest.raises(InvalidRequestError) as raised:
        parse(body)

    assert words in raised.value.faults[""]


def test_every_member_that_stands_twice_is_named():
    """Two members of one name are read differently by different readers, so they are refused."""
    with pytest.raises(InvalidRequestError) as raised:
        parse(b'{"a": {"b/c": 1, "b/c": 2}, "d": [{"e": 1, "e": 1, "e": 1}], "f": 1}')

    assert set(raised.value.faults) == {"/a/b~1c", "/d/0/e"}


def test_many_members_cost_no_more_than_their_number():
    """A body of a hundred thousand members, one of them twice, is read as fast as any."""
    members = ",".join(f'"m{number}": 0' for number in range(70_000))

    with pytest.raises(InvalidRequestError) as raised:
        parse(f'{{{members}, "m0": 1}}'.encode())

    assert list(raised.value.faults) == ["/m0"]


def test_nesting_ends_at_the_limit():
    """A document may be as deep as the limit, and no deeper."""
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH

    assert parse(deepest)
    with pytest.raises(InvalidRequestError) as raised:
        parse(b'{"twin": ' + deepest + b"}")
    assert raised.value.faults == {"/twin": f"nests deeper than {MAX_DEPTH} levels"}


def test_size_ends_at_the_limit():
    """A document of a megabyte is read; one byte more is too large."""
    largest = b'"' + b"x" * (MAX_BYTES - 2) + b'"'

    assert parse(largest)
    with pytest.raises(DocumentTooLargeError):
        parse(largest + b" ")


def test_no_fault_repeats_what_was_sent():
    """A fault says where and what, never the value."""
    with pytest.raises(InvalidRequestError) as raised:
        parse(b'{"primaryKey": "c2VjcmV0" "x"}')

    assert "c2VjcmV0" not in str(raised.value.faults)


@pytest.mark.parametrize(
    ("target", "patch", "document"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": "foo"}, "bar", "bar"),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_is_laid_on(target, patch, document):
    """Examples of RFC 7396, appendix A."""
    assert merged(target, patch) == document
