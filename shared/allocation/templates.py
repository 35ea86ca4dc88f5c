"""
Templates: JSON in which `${fact}` stands for what DPS or the device said.

A text that is one placeholder becomes the fact itself, a number or an object as well; inside a
longer text a fact becomes text. Where a fact is not there, the member or item that names it is left
out, not the whole. `$${` is a plain `${`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shared.allocation.facts import Facts
from shared.documents import pointer

LEFT_OUT: Any = object()
"""What a template without its fact becomes."""

Render = Callable[[Facts], Any]

_PLACEHOLDER = re.compile(r"\$(\$\{)|\$\{([^{}]*)\}")


def placeholders(document: Any, *steps: object) -> Iterator[tuple[str, str]]:
    """Each fact that a document names, after the JSON Pointer to where it does."""
    if isinstance(document, str):
        found = _PLACEHOLDER.finditer(document)
        yield from ((pointer(*steps), match[2]) for match in found if match[2] is not None)
    children = document.items() if isinstance(document, Mapping) else ()
    items = enumerate(document) if isinstance(document, list) else ()
    for step, child in (*children, *items):
        yield from placeholders(child, *steps, step)


def compiled(document: Any) -> Render:
    """What fills a document in; one without placeholders is given as it is."""
    if not _PLACEHOLDER.search(json.dumps(document)):
        return lambda _: document
    if isinstance(document, str):
        return _text(document)
    if isinstance(document, Mapping):
        return _object({name: compiled(child) for name, child in document.items()})
    return _list([compiled(child) for child in document])


def _object(members: Mapping[str, Render]) -> Render:
    def render(facts: Facts) -> Any:
        found = ((name, member(facts)) for name, member in members.items())
        return {name: value for name, value in found if value is not LEFT_OUT}

    return render


def _list(items: list[Render]) -> Render:
    def render(facts: Facts) -> Any:
        found = (item(facts) for item in items)
        return [value for value in found if value is not LEFT_OUT]

    return render


def _text(text: str) -> Render:
    whole = _PLACEHOLDER.fullmatch(text)
    if whole and whole[2] is not None:
        return _fact(whole[2])
    # In turn: plain text, the "${" of an escape or None, the name of a fact or None.
    parts = [*_PLACEHOLDER.split(text), None]
    plain = [
        f"{literal}{escaped or ''}"
        for literal, escaped in zip(parts[::3], parts[1::3], strict=True)
    ]
    return _joined(plain, parts[2::3])


def _fact(name: str) -> Render:
    def render(facts: Facts) -> Any:
        value = facts[name]
        return LEFT_OUT if value is None else value

    return render


def _joined(plain: list[str], names: list[str | None]) -> Render:
    def render(facts: Facts) -> Any:
        words = [_words(facts[name]) if name is not None else "" for name in names]
        if any(word is None for word in words):
            return LEFT_OUT
        return "".join(f"{text}{word}" for text, word in zip(plain, [*words, ""], strict=True))

    return render


def _words(value: Any) -> str | None:
    """A fact inside a longer text; `None` for what is no word: nothing, an object, a list."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, int | float) else None
