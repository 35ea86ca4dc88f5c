"""The only reader of the environment."""

import os
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from shared.errors import NotConfiguredError


def variable(name: str) -> str:
    """What a variable of the environment says; empty if it is not set."""
    return os.environ.get(name, "").strip()  # noqa: TID251  here and below: the one reader


def word(value: object) -> str:
    """A word of a fixed list, written in any case."""
    return str(value).strip().lower()


def names(value: object) -> tuple[str, ...]:
    """Names parted by commas."""
    return tuple(name.strip() for name in str(value).split(",") if name.strip())


class OfEnvironment(BaseModel):
    """Settings: the name of each in the environment is its field's in upper case, or its alias."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=str.upper,
        hide_input_in_errors=True,
        defer_build=True,  # a cold start that answers the webhook reads no settings
    )

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Self:
        """The settings in the environment; raises `NotConfiguredError` naming every fault."""
        values = cls._values(os.environ if environment is None else environment)  # noqa: TID251
        faults = cls._faults_together(values)
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            raise NotConfiguredError({**faults, **dict(map(cls._explained, found))}) from None
        if faults:
            raise NotConfiguredError(faults)
        return settings

    @classmethod
    def read_sound(cls) -> tuple[Self, NotConfiguredError | None]:
        """
        The settings with defaults in place of those that are wrong, and what is wrong with them.

        Raises `NotConfiguredError` for what has no default.
        """
        try:
            return cls.read(), None
        except NotConfiguredError as error:
            found = error
        values = cls._values(os.environ)  # noqa: TID251
        sound = {name: value for name, value in values.items() if name not in found.faults}
        try:
            return cls.read(sound), found
        except NotConfiguredError:
            raise found from None

    @classmethod
    def fields(cls) -> dict[str, str]:
        """The names in the environment, each with the field it fills."""
        return {str(field.alias): name for name, field in cls.model_fields.items()}

    @classmethod
    def _values(cls, environment: Mapping[str, str]) -> dict[str, str]:
        """The settings that are set: Azure shows a cleared setting as an empty text."""
        found = {name: environment.get(name, "").strip() for name in cls.fields()}
        return {name: value for name, value in found.items() if value}

    @classmethod
    def _faults_together(cls, values: Mapping[str, str]) -> Mapping[str, str]:  # noqa: ARG003
        """The faults of settings that do not go together."""
        return {}

    @classmethod
    def _explained(cls, found: ErrorDetails) -> tuple[str, str]:
        name = str(found["loc"][0])
        return name, f"{found['msg']}. {cls.model_fields[cls.fields()[name]].description}"
