"""How the models of the policy file check what pydantic does not know."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import AfterValidator, Discriminator, WithJsonSchema
from pydantic_core import PydanticCustomError


def checked(find: Callable[[Any], str | None]) -> AfterValidator:
    """A check that is told what is wrong, or nothing."""

    def check(value: Any) -> Any:
        if words := find(value):
            raise PydanticCustomError("allocation", "{words}", {"words": words})
        return value

    return AfterValidator(check)


def form(pattern: str, words: str) -> tuple[AfterValidator, WithJsonSchema]:
    """A check of a text against a pattern, and the same for editors."""
    compiled = re.compile(pattern)
    check = checked(lambda text: None if compiled.fullmatch(text) else words)
    return check, WithJsonSchema({"type": "string", "pattern": f"^({pattern})$"})


def by_member(names: Mapping[str, str], otherwise: str) -> Discriminator:
    """Chooses the member of a union by the first name a document has."""

    def tag(value: Any) -> str:
        has = value if isinstance(value, Mapping) else ()
        return next((names[name] for name in names if name in has), otherwise)

    return Discriminator(tag)
