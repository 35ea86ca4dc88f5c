"""The superclass of all models, and the validation of documents."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from shared.dps.models.spelling import find_misspellings
from shared.dps.responses import Record
from shared.json_documents import OWN_FAULT, fault_message, pointer

_MAX_SUGGESTIONS = 20


class Document(BaseModel):
    """
    A JSON object of DPS's: members in camelCase, unknown members kept, secrets never printed.

    A model validates a document; the document itself is sent to DPS, in DPS's spelling. Twins are
    not validated, and DPS decides about everything that it might accept.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="allow",
        hide_input_in_errors=True,
        defer_build=True,  # the allocation webhook needs no models on a cold start
    )

    @property
    def document(self) -> Record:
        """The JSON object with the members that were set."""
        return Record(self.model_dump(mode="json", by_alias=True, exclude_unset=True))

    def __str__(self) -> str:
        return str(self.document)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.document!r})"


def validation_error(message: str) -> PydanticCustomError:
    """Returns the error for a validator to raise; `message` is a predicate for the member."""
    return PydanticCustomError(OWN_FAULT, "{message}", {"message": message})


def find_faults(
    document: Any,
    model: type[Document],
    *,
    at: Iterable[object] = (),
    suggestions: Iterable[str] = (),
) -> dict[str, str]:
    """
    Returns every fault of a document by JSON Pointer; messages never contain a value sent.

    The document is in the spelling of `respelled`: a member in another case is a second spelling.
    `at` is the path of the document in what the caller sent. `suggestions` are names to suggest for
    an unknown member, in addition to those of the model.
    """
    try:
        # By alias only: a member with Python's spelling is unknown to DPS.
        model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        members = [*(str(field.alias) for field in model.model_fields.values()), *suggestions]
        faults = {
            # Suggestions cost time, and a request can have very many unknown members.
            pointer(*at, *_steps(details)): fault_message(
                details, members=members if index < _MAX_SUGGESTIONS else ()
            )
            for index, details in enumerate(errors)
        }
    else:
        faults = {}
    return faults | dict(find_misspellings(document, model, tuple(at)))


def find_merge_patch_faults(merge_patch: Any, model: type[Document]) -> dict[str, str]:
    """Returns the faults of a merge patch that it has whatever the document is."""
    return find_faults(merge_patch, Document) | dict(find_misspellings(merge_patch, model))


def _steps(error: ErrorDetails) -> Iterable[int | str]:
    return error["loc"] if error["type"] == "extra_forbidden" else map(_member, error["loc"])


def _member(step: int | str) -> int | str:
    # pydantic reports a missing member with a default by its Python name.
    return to_camel(step) if isinstance(step, str) and "_" in step else step
