"""JSON documents: strict parsing and merge patches."""

import json
from typing import Any

import pytest
from pydantic_core import ErrorDetails

from shared.errors import DocumentTooLargeError, InvalidRequestError
from shared.json_documents import (
    DOCUMENT_LIMITS,
    MAX_DOCUMENT_BYTES,
    apply_merge_patch,
    fault_message,
    is_unicode,
    parse_json,
)
from shared.json_reader import MAX_DEPTH


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
def test_valid_json_is_parsed(body: bytes, document: str | dict[str, Any]) -> None:
    """Everything that RFC 8259 allows is parsed."""
    assert parse_json(body) == document


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "a JSON document is required"),
        (b" \n", "a JSON document is required"),
        (b"{", "is not JSON"),
        (b"{'a': 1}", "is not JSON"),
        (b'{"a": 1} x', "line 1, column 10"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b'{"a": NaN}', "outside the range of a double"),
        (b'{"a": -Infinity}', "outside the range of a double"),
        (b'{"a": 1e999}', "outside the range of a double"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b"[" * 10_000 + b"]" * 10_000, "must not nest deeper than 100 levels"),
    ],
)
def test_invalid_json_is_refused(body: bytes, message: str) -> None:
    """The fault says why the body is not valid JSON."""
    with pytest.raises(InvalidRequestError) as raised:
        parse_json(body)

    assert message in raised.value.faults[""]


def test_every_repeated_member_is_a_fault() -> None:
    """Parsers differ in which of two members with the same name they use."""
    with pytest.raises(InvalidRequestError) as raised:
        parse_json(b'{"a": {"b/c": 1, "b/c": 2}, "d": [{"e": 1, "e": 1, "e": 1}], "f": 1}')

    assert set(raised.value.faults) == {"/a/b~1c", "/d/0/e"}


def test_repeated_members_are_found_in_linear_time() -> None:
    """A body of seventy thousand members, one of them repeated, is parsed without delay."""
    members = ",".join(f'"m{number}": 0' for number in range(70_000))

    with pytest.raises(InvalidRequestError) as raised:
        parse_json(f'{{{members}, "m0": 1}}'.encode())

    assert list(raised.value.faults) == ["/m0"]


def test_nesting_is_limited() -> None:
    """A document may be as deep as the limit, and no deeper."""
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH

    assert parse_json(deepest)
    with pytest.raises(InvalidRequestError) as raised:
        parse_json(b'{"twin": ' + deepest + b"}")
    assert raised.value.faults == {"/twin": f"must not nest deeper than {MAX_DEPTH} levels"}


def test_size_is_limited() -> None:
    """A document of one megabyte is parsed; one byte more is too large."""
    largest = b'"' + b"x" * (MAX_DOCUMENT_BYTES - 2) + b'"'

    assert parse_json(largest)
    with pytest.raises(DocumentTooLargeError):
        parse_json(largest + b" ")


def test_faults_do_not_contain_the_body() -> None:
    """A fault has the position and the reason, never the value."""
    with pytest.raises(InvalidRequestError) as raised:
        parse_json(b'{"primaryKey": "c2VjcmV0" "x"}')

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
def test_merge_patch_is_applied(
    target: list[Any] | dict[str, Any], patch: str | dict[str, Any], document: str | dict[str, Any]
) -> None:
    """Examples of RFC 7396, appendix A."""
    assert apply_merge_patch(target, patch) == document


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (["enrollment", "etag"], "is not a member here; did you mean 'enrollment'?"),
        (["id", "etag"], "is not a member here; use id, etag"),
        ([f"m{number}" for number in range(11)], "is not a member here"),
        ([], "is not a member here"),
    ],
    ids=["similar name", "few members", "many members", "unknown members"],
)
def test_fault_of_an_unknown_member_says_what_is_allowed(members: list[str], message: str) -> None:
    """The fault suggests a similar name, or else lists the members if they are few."""
    error: ErrorDetails = {
        "type": "extra_forbidden",
        "loc": ("enrolment",),
        "msg": "",
        "input": None,
    }

    assert fault_message(error, members=members) == message


@pytest.mark.parametrize(("text", "expected"), [("\U0001f600", True), ("\ud83d", False)])
def test_unpaired_surrogate_is_not_unicode(text: str, expected: bool) -> None:
    """JSON can contain half of a surrogate pair, which UTF-8 cannot encode."""
    assert is_unicode({"tags": [text]}) is expected
    assert is_unicode({"data": {"enrollments": [{"tags": {"a": {text: 1}}}]}}) is expected
    assert is_unicode({text: 1}) is expected


DENSEST = json.dumps([0] * (DOCUMENT_LIMITS.max_values - 1), separators=(",", ":")).encode()


def test_number_of_values_is_limited() -> None:
    """A body above the limit is refused before it is parsed: this one is not even JSON."""
    assert len(parse_json(DENSEST)) == DOCUMENT_LIMITS.max_values - 1
    with pytest.raises(DocumentTooLargeError) as raised:
        parse_json(b"," * (DOCUMENT_LIMITS.max_values + 1))
    assert raised.value.faults == {"": "must not exceed 100000 values"}


@pytest.mark.parametrize("content", ["1,", "{},[", '\\"{,'])
def test_largest_twin_of_a_device_is_within_the_limits(content: str) -> None:
    """40 KB of tags and desired properties, even if each character could begin a value."""
    text = content * (40 * 1024 // len(content))

    assert parse_json(json.dumps({"initialTwin": {"tags": {"x": text}}}).encode())
