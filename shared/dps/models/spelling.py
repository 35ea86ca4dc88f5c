"""
Spelling of members and enum values: any case is accepted, a typing error is a fault.

Clients vary the case: ARM, Bicep and Terraform write `Hashed`, azure-iot-sdk-java sends `CUSTOM`
(its issue 1286), azure-iot-cli-extension sent `geolatency` (its pull request 464).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from shared.json_documents import pointer

_MIN_LETTERS = 6
"""The least length of names that are compared: short names are often alike."""
_MAX_UNKNOWN = 100
"""The number of unknown members of an object that are compared: a request can have very many."""


Model = type[BaseModel]

FREE_FORM = object()
"""Annotates an object whose members are the user's own, such as a twin."""


@dataclass(frozen=True)
class ItemsOf:
    """Annotates a list whose items are documents of a model that are validated elsewhere."""

    model: Model


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    model: Model | None
    values: Mapping[str, str]
    """The values of an enum, by the same text without regard to case."""

    def respelled(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.values.get(value.casefold(), value)
        if self.model is None:
            return value
        if isinstance(value, list):
            return [respelled(item, self.model) for item in value]
        return respelled(value, self.model)


def respelled(document: Any, *models: Model) -> Any:
    """
    Returns the document with known members and enum values in the spelling of the models.

    Members of several models are known if several are given. Of a member that appears in several
    spellings only one is changed. Free-form objects and unknown members are not changed.
    """
    if not isinstance(document, dict):
        return document
    members = _members(*models)
    taken = set(document)
    result = {}
    for name, value in document.items():
        member = members.get(name.casefold())
        if member is None or (name != member.name and member.name in taken):
            result[name] = value
        else:
            taken.add(member.name)
            result[member.name] = member.respelled(value)
    return result


def find_misspellings(
    document: Any, model: Model, at: tuple[object, ...] = ()
) -> Iterator[tuple[str, str]]:
    """
    Yields the faults of a document in the models' spelling, by JSON Pointer.

    These are members that appear in a second spelling, and unknown members at one edit from a known
    one. Items of lists are not searched.
    """
    if not isinstance(document, Mapping):
        return
    members = _members(model)
    unknown = []
    for name, value in document.items():
        member = members.get(name.casefold())
        if member is None:
            unknown.append(name)
        elif name != member.name:
            yield (
                pointer(*at, name),
                f"must not appear beside {member.name}, which is the same member in another case",
            )
        elif member.model:
            yield from find_misspellings(value, member.model, (*at, name))
    for name in unknown[:_MAX_UNKNOWN]:
        if similar := next((known for known in members if _is_near(name.casefold(), known)), None):
            fault = f"is not a member here; did you mean '{members[similar].name}'?"
            yield pointer(*at, name), fault


def _is_near(name: str, known: str) -> bool:
    """Returns whether one letter too many, missing, replaced, or swapped with the next differs."""
    longer, shorter = sorted((name, known), key=len, reverse=True)
    if len(shorter) < _MIN_LETTERS or len(longer) > len(shorter) + 1:
        return False
    pairs = enumerate(zip(longer, shorter, strict=False))
    start = next((index for index, (a, b) in pairs if a != b), len(shorter))
    rest, other = longer[start:], shorter[start:]
    if len(longer) > len(shorter):
        return rest[1:] == other
    return rest[1:] == other[1:] or (rest[1::-1], rest[2:]) == (other[:2], other[2:])


@cache
def _members(*models: Model) -> Mapping[str, _Member]:
    """Returns the members of the models by their case-folded names."""
    return {
        to_camel(name).casefold(): _member(to_camel(name), field)
        for model in models
        for name, field in model.model_fields.items()
    }


def _member(name: str, field: FieldInfo) -> _Member:
    types = [] if FREE_FORM in field.metadata else list(_types(field.annotation))
    types += [marker.model for marker in field.metadata if isinstance(marker, ItemsOf)]
    values = [value for type_ in types if issubclass(type_, Enum) for value in type_]
    return _Member(
        name=name,
        model=next((type_ for type_ in types if issubclass(type_, BaseModel)), None),
        values={str(value.value).casefold(): str(value.value) for value in values},
    )


def _types(annotation: Any) -> Iterator[type]:
    """Yields the types in an annotation; for a literal, that of its value."""
    for argument in get_args(annotation) or (annotation,):
        if argument is not annotation:
            yield from _types(argument)
        else:
            yield argument if isinstance(argument, type) else type(argument)
