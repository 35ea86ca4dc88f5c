"""Texts of faults and errors: each fault is a predicate, so that every description is in sentences."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic_core import ErrorDetails, PydanticKnownError, core_schema

from shared.error_catalog import ERROR_CATALOG, INTERNAL_ERROR
from shared.errors import InvalidRequestError
from shared.json_documents import fault_message

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in ("functions", "shared")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "allocation" not in path.parts
]
PREDICATE = re.compile(r"(?:is|must|has|contains)\b")
_ERRORS = {"InvalidRequestError", "DocumentTooLargeError", "UnsupportedMediaTypeError"}


def text_of(node: ast.AST | None) -> str | None:
    """Returns the text of a literal, with `@` for each expression in it; `None` if it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "@" for part in node.values)
    return None


def fault_nodes(node: ast.AST) -> Iterator[ast.AST | None]:
    """Yields the expressions in which a fault is written."""
    match node:
        case ast.Call(func=ast.Name(id="validation_error") | ast.Name(id="JsonError"), args=args):
            yield args[0]
        case ast.Call(
            func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Dict() as faults, *_]
        ):
            yield from faults.values if name in _ERRORS else ()
        case ast.Assign(targets=[ast.Name(id="fault" | "_TOO_DEEP" | "_ID_FAULT")], value=value):
            yield value
        case ast.Assign(targets=[ast.Name(id="_FAULT_MESSAGES")], value=ast.Dict(values=values)):
            yield from values
        case ast.Assign(
            targets=[ast.Subscript(value=ast.Name(id="faults" | "found"))], value=value
        ):
            yield value
        case ast.Yield(value=ast.Tuple(elts=[_, fault])):
            yield fault


def fault_texts() -> list[tuple[str, str]]:
    """Returns every fault text in the sources, with its file and line."""
    return [
        (f"{path.relative_to(ROOT)}:{getattr(literal, 'lineno', 0)}", text)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        for literal in fault_nodes(node)
        if (text := text_of(literal))
    ]


FAULTS = fault_texts()


def test_faults_are_found() -> None:
    """In every layer that has faults of requests."""
    files = {place.rpartition(":")[0] for place, _ in FAULTS}

    assert len(FAULTS) > 50
    assert {
        "functions/http/requests.py",
        "shared/json_documents.py",
        "shared/dps/models/attestation.py",
        "shared/dps/models/spelling.py",
        "shared/messaging/cloud_events.py",
        "shared/messaging/request_models.py",
    } <= files


@pytest.mark.parametrize("text", [text for _, text in FAULTS], ids=[place for place, _ in FAULTS])
def test_fault_is_a_predicate(text: str) -> None:
    """It follows the pointer, or "The body", and ends without a full stop."""
    assert PREDICATE.match(text)
    assert not text.endswith((".", ";", " "))


CONTEXT: dict[str, Any] = {
    "gt": 1, "ge": 1, "lt": 9, "le": 9, "multiple_of": 2, "min_length": 1, "max_length": 2,
    "actual_length": 3, "field_type": "List", "expected": "'a' or 'b'", "pattern": "a+",
    "class": "C", "class_name": "C", "error": "e", "tag": "t", "discriminator": "d",
    "expected_tags": "t", "expected_schemes": "https", "tz_expected": 1, "tz_actual": 2,
    "max_digits": 1, "decimal_places": 1, "whole_digits": 1, "method_name": "m", "encoding": "utf-8",
    "encoding_error": "e", "mismatch": "m", "field": "f", "attribute": "a",
    "first_len": 1, "second_len": 2, "cls_name": "C", "key": "k", "min_size": 1, "max_size": 2,
    "expected_version": 4, "function": "f", "mapping_type": "M", "enum": "E",
}  # fmt: skip


@pytest.mark.parametrize("type_", sorted(get_args(core_schema.ErrorType)))
def test_fault_of_every_error_of_pydantic_is_a_predicate(type_: Any) -> None:
    """Also of those that no model has today."""
    try:
        message = PydanticKnownError(type_, CONTEXT).message()
    except (TypeError, KeyError):  # it needs an exception, or more
        message = "Input should be another"
    error = ErrorDetails(type=type_, loc=("member",), msg=message, input=1, ctx=CONTEXT)

    fault = fault_message(error)

    assert PREDICATE.match(fault)
    assert "{" not in fault


@pytest.mark.parametrize("entry", [*ERROR_CATALOG.values(), INTERNAL_ERROR])
def test_meaning_and_remedy_are_sentences(entry: Any) -> None:
    """They begin with a capital letter and end with a full stop."""
    for text in (entry.meaning, entry.remedy):
        assert re.fullmatch(r"[A-Z`].*\.", text)


def test_description_is_in_sentences() -> None:
    """One for each fault; a question keeps its mark."""
    error = InvalidRequestError(
        {"": "is not UTF-8", "/a": "is required", "/b": "is not a member here; did you mean 'a'?"}
    )

    assert error.describe() == (
        "The request is not valid. The body is not UTF-8. /a is required. "
        "/b is not a member here; did you mean 'a'?"
    )


def test_long_description_ends_with_a_sentence() -> None:
    """It says how many faults it leaves out, and fits into a property of a message."""
    error = InvalidRequestError({f"/member-{number:030}": "is required" for number in range(100)})

    description = error.describe()

    assert len(description) < 4096
    listed = description.count("is required.")
    assert description.endswith(
        f" is required. It has more faults than these ({100 - listed} more)."
    )


def test_faults_of_the_body_and_those_not_listed_share_its_pointer() -> None:
    """Neither replaces the other."""
    error = InvalidRequestError({"": "must be base64", "/a": "is required", "/b": "is required"})

    assert (
        error.list_faults(2)[""] == "must be base64, and has more faults than are listed (1 more)"
    )
