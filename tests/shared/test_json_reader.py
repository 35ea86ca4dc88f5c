"""Reading JSON in parts: as if it were read at once, but never more than a part at a time."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.json_reader import MAX_DEPTH, JsonError, JsonReader, TooLargeError

TEXTS = st.text(max_size=20) | st.sampled_from(['"\\', "ä😀" * 9, "\ud83d", "\n" * 5])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
DOCUMENTS = st.recursive(
    SCALARS.filter(lambda value: value not in (float("inf"), -float("inf"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=30,
)


def read(body: bytes, **limits: Any) -> Any:
    """Returns the document and its faults, or why it cannot be read."""
    reader = JsonReader(body, max_faults=100, **limits)
    try:
        return reader.read(), reader.faults
    except JsonError as error:
        return type(error), error.steps, error.fault


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Returns JSON, or what is nearly JSON, in various formats."""
    indent, ascii_only = draw(st.sampled_from([None, 1])), draw(st.booleans())
    text = json.dumps(draw(DOCUMENTS), indent=indent, ensure_ascii=ascii_only)
    at = draw(st.integers(0, len(text)))
    inserted = ["", ",", "}", "]", '"', "\\", "x", "1e999", '{"a":1,"a":2}', "\n \n"]
    text = text[:at] + draw(st.sampled_from(inserted)) + text[at:]
    return text.encode(errors="replace")


@given(body=bodies(), part_bytes=st.integers(1, 60))
@example(b"[-1.5, 1e+5]", 1)
@example(b'{"a": [{"b":\n 1}],\n\n x}', 3)
def test_document_read_in_parts_is_that_read_at_once(body: bytes, part_bytes: int) -> None:
    """With the same faults, at the same line and column, unless a value is larger than a part."""
    in_parts = read(body, part_bytes=part_bytes, max_items=100)

    assert in_parts[0] is TooLargeError or in_parts == read(body, part_bytes=len(body))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of characters that the parser was given."""
    lengths: list[int] = []
    parse = json.JSONDecoder.raw_decode

    def record(self: json.JSONDecoder, text: str, idx: int = 0) -> Any:
        lengths.append(len(text) - idx)
        return parse(self, text, idx)

    monkeypatch.setattr(json.JSONDecoder, "raw_decode", record)
    return lengths


def request(records: list[Any], **more: Any) -> bytes:
    """Returns the body of a request for many records."""
    return json.dumps({"enrollments": records, **more}).encode()


def test_parser_gets_no_more_than_two_parts(parsed: list[int]) -> None:
    """A part, and the rest of the one before, in which a record began."""
    records = [{"id": n, "tags": {"x": "y" * 50}} for n in range(1000)]

    document, _ = read(request(records), part_bytes=1000, max_items=1000)

    assert document == {"enrollments": records}
    assert max(parsed) <= 2000


@pytest.mark.parametrize(
    ("body", "steps"),
    [
        (request([{}, {"tags": dict.fromkeys(map(str, range(500)))}]), ("enrollments", 1, "tags")),
        (request([{"tags": {"a": [0] * 500}}]), ("enrollments", 0, "tags")),
        (request([], data={"a": {"b": {"c": [0] * 500}}}), ("data", "a", "b", "c")),
        (json.dumps([[[0] * 500]]).encode(), (0, 0)),
    ],
    ids=["object", "list in an object", "deep", "lists"],
)
def test_large_member_of_a_record_is_not_parsed(
    body: bytes, steps: tuple[Any, ...], parsed: list[int]
) -> None:
    """It cannot be valid; the parser sees a part of it, and the rest is not read."""
    body = body.removesuffix(b"}") + b"not JSON"

    assert read(body, part_bytes=200, max_items=1000) == (
        TooLargeError,
        steps,
        "must not exceed 200 bytes",
    )
    assert max(parsed) <= 800


def test_text_that_is_not_utf8_is_found_in_any_part() -> None:
    """Even if a part ends within the bytes of a character before it."""
    for size in range(1, 20):
        body = '{"enrollments": ["ä😀ä😀ä😀"]}'.encode() + b"\xff"
        assert read(body, part_bytes=size, max_items=10) == (JsonError, (), "is not UTF-8")


def test_large_text_of_a_record_is_read() -> None:
    """Texts take no more memory than the body, so the other records can be applied."""
    records = [{"x": "ä" * 5000}, {"x": "\ufeff😀" * 5000}, {"x": "z"}]
    body = json.dumps({"enrollments": records}, ensure_ascii=False).encode()

    document, _ = read(body, part_bytes=201, max_items=10)

    assert document == {"enrollments": records}


def test_text_decoded_with_a_large_one_is_parsed_in_parts(parsed: list[int]) -> None:
    """A long string does not hide a large object after it."""
    records = [{"x": "ä😀" * 3000}, {"x": [0] * 3000}]
    body = json.dumps({"enrollments": records}, ensure_ascii=False).encode()

    assert read(body, part_bytes=200, max_items=10)[1] == ("enrollments", 1, "x")
    assert max(parsed[-3:]) <= 800


@pytest.mark.parametrize(
    ("text", "steps", "fault"),
    [
        ('{"enrollments": [1, 2, 3, 4, no', ("enrollments",), "must not exceed 3 records"),
        ('{"a": 1, "b": 2, "c": 3, "d": no', (), "must not exceed 3 members"),
    ],
)
def test_items_beyond_the_limit_are_not_read(text: str, steps: tuple[Any, ...], fault: str) -> None:
    """The rest of the body need not even be JSON."""
    assert read(text.encode(), part_bytes=10, max_items=3) == (TooLargeError, steps, fault)


def test_faults_have_the_path_in_the_whole_document() -> None:
    """Of repeated names, in outer objects and in records, and of values that nest too deep."""
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    text = f'{{"a": [{{"b": 1, "b": 2}}, {deep}], "c": 1, "c": 2}}'

    _, faults = read(text.encode(), part_bytes=1000, max_items=10)

    assert faults == [
        (("a", 0, "b"), "must not appear more than once"),
        (("a",), f"must not nest deeper than {MAX_DEPTH} levels"),
        (("c",), "must not appear more than once"),
    ]


def test_number_of_faults_is_limited() -> None:
    """A large body can have a fault in every few bytes."""
    reader = JsonReader(
        request([{}] * 50).replace(b"{}", b'{"a":1,"a":2}'), part_bytes=10**6, max_faults=20
    )

    reader.read()

    assert len(reader.faults) == 20
