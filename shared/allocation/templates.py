"""
Templates: JSON in which `${fact}` stands for a fact of the request.

A string that is one placeholder becomes the fact itself, whatever its type. Within a longer string
a fact becomes text. If a fact is absent, the member or item that uses it is omitted. `$${` is a
literal `${`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shared.allocation.facts import Facts
from shared.json_documents import pointer

OMITTED: Any = object()
"""The result of a template whose fact is absent."""

Render = Callable[[Facts], Any]

_PLACEHOLDER = re.compile(r"\$(\$\{)|\$\{([^{}]*)\}")


def find_placeholders(document: Any, *path: object) -> Iterator[tuple[str, str]]:
    """Yields a JSON Pointer and the fact's name for each placeholder in a document."""
    if isinstance(document, str):
        matches = _PLACEHOLDER.finditer(document)
        yield from ((pointer(*path), match[2]) for match in matches if match[2] is not None)
    members = document.items() if isinstance(document, Mapping) else ()
    items = enumerate(document) if isinstance(document, list) else ()
    for step, child in (*members, *items):
        yield from find_placeholders(child, *path, step)


def compile_template(document: Any) -> Render:
    """Returns a function that fills in a document; without placeholders it returns it unchanged."""
    if not _PLACEHOLDER.search(json.dumps(document)):
        return lambda _: document
    if isinstance(document, str):
        return _compile_text(document)
    if isinstance(document, Mapping):
        return _compile_object({name: compile_template(child) for name, child in document.items()})
    return _compile_list([compile_template(child) for child in document])


def _compile_object(members: Mapping[str, Render]) -> Render:
    def render(facts: Facts) -> Any:
        rendered = ((name, member(facts)) for name, member in members.items())
        return {name: value for name, value in rendered if value is not OMITTED}

    return render


def _compile_list(items: list[Render]) -> Render:
    def render(facts: Facts) -> Any:
        rendered = (item(facts) for item in items)
        return [value for value in rendered if value is not OMITTED]

    return render


def _compile_text(text: str) -> Render:
    match = _PLACEHOLDER.fullmatch(text)
    if match and match[2] is not None:
        return _compile_fact(match[2])
    # Repeats three parts: literal text, the "${" of an escape or None, a fact's name or None.
    parts = [*_PLACEHOLDER.split(text), None]
    literals = [
        f"{literal}{escaped or ''}"
        for literal, escaped in zip(parts[::3], parts[1::3], strict=True)
    ]
    return _compile_concatenation(literals, parts[2::3])


def _compile_fact(name: str) -> Render:
    def render(facts: Facts) -> Any:
        value = facts[name]
        return OMITTED if value is None else value

    return render


def _compile_concatenation(literals: list[str], names: list[str | None]) -> Render:
    def render(facts: Facts) -> Any:
        values = [_format(facts[name]) if name is not None else "" for name in names]
        if any(value is None for value in values):
            return OMITTED
        return "".join(
            f"{text}{value}" for text, value in zip(literals, [*values, ""], strict=True)
        )

    return render


def _format(value: Any) -> str | None:
    """Returns a scalar as text, or None for an absent value, an object or a list."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, int | float) else None
