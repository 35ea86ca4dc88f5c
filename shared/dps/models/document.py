"""What all models share, and how a document's faults are found and put in words."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from shared.documents import pointer
from shared.dps.records import Record
from shared.faults import in_words


class Document(BaseModel):
    """
    A JSON object of DPS's: members in camelCase, unknown ones kept, secrets never printed.

    A model checks a document; the document itself is what is sent. So twins are taken as they are,
    and whatever DPS might accept is left for DPS to decide.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="allow",
        hide_input_in_errors=True,
        defer_build=True,  # a cold start that answers the webhook never needs them
    )

    @property
    def document(self) -> Record:
        """The JSON object with just the members that were set."""
        return Record(self.model_dump(mode="json", by_alias=True, exclude_unset=True))

    def __str__(self) -> str:
        return str(self.document)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.document!r})"


def fault(message: str) -> PydanticCustomError:
    """What a validator raises; `message` follows the member's name in a sentence."""
    return PydanticCustomError("dps", "{message}", {"message": message})


def faults_in(document: Any, model: type[Document], *, at: Iterable[object] = ()) -> dict[str, str]:
    """
    Every fault of a document, as JSON Pointer to what is wrong there; no value sent is repeated.

    `at` is the document's own place in what the caller sent.
    """
    try:
        # By DPS's names alone: a member in Python's spelling is one nobody knows.
        model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        return {pointer(*at, *_steps(found)): in_words(found) for found in errors}
    return {}


def _steps(found: ErrorDetails) -> Iterable[int | str]:
    return found["loc"] if found["type"] == "extra_forbidden" else map(_member, found["loc"])


def _member(step: int | str) -> int | str:
    # pydantic names a member that is missing, and may not be, by its Python name.
    return to_camel(step) if isinstance(step, str) and "_" in step else step
