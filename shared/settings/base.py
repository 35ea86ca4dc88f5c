"""The environment reader: the only module that reads environment variables."""

import os
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from shared.errors import NotConfiguredError


def read_variable(name: str) -> str:
    """Returns the value of an environment variable, stripped; empty if it is not set."""
    return os.environ.get(name, "").strip()


def normalized(value: object) -> str:
    """Returns the value stripped and in lower case."""
    return str(value).strip().lower()


def comma_separated(value: object) -> tuple[str, ...]:
    """Returns the names in a comma-separated list."""
    return tuple(name.strip() for name in str(value).split(",") if name.strip())


class EnvironmentSettings(BaseModel):
    """
    Settings read from environment variables.

    A variable has its field's name in upper case, or the field's alias.
    """

    model_config = ConfigDict(
        frozen=True,
        alias_generator=str.upper,
        hide_input_in_errors=True,
        defer_build=True,  # the allocation webhook reads no settings on a cold start
    )

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Returns the settings; raises `NotConfiguredError` with every fault."""
        values = cls._values(os.environ if environment is None else environment)
        faults = cls._combination_faults(values)
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
            raise NotConfiguredError({**faults, **dict(map(cls._setting_fault, errors))}) from None
        if faults:
            raise NotConfiguredError(faults)
        return settings

    @classmethod
    def read_with_defaults(cls) -> tuple[Self, NotConfiguredError | None]:
        """
        Returns the settings with defaults in place of invalid ones, and the error that names those.

        Raises `NotConfiguredError` if an invalid setting has no default.
        """
        try:
            return cls.read(), None
        except NotConfiguredError as error:
            fault = error
        values = cls._values(os.environ)
        valid = {name: value for name, value in values.items() if name not in fault.faults}
        try:
            return cls.read(valid), fault
        except NotConfiguredError:
            raise fault from None

    @classmethod
    def fields(cls) -> dict[str, str]:
        """Returns the field name of each environment variable."""
        return {str(field.alias): name for name, field in cls.model_fields.items()}

    @classmethod
    def _values(cls, environment: Mapping[str, str]) -> dict[str, str]:
        """Returns the variables that are set; Azure keeps a cleared setting as an empty string."""
        values = {name: environment.get(name, "").strip() for name in cls.fields()}
        return {name: value for name, value in values.items() if value}

    @classmethod
    def _combination_faults(cls, values: Mapping[str, str]) -> Mapping[str, str]:  # noqa: ARG003
        """Returns the faults of settings that must not be combined, or must be."""
        return {}

    @classmethod
    def _setting_fault(cls, error: ErrorDetails) -> tuple[str, str]:
        name = str(error["loc"][0])
        return name, f"{error['msg']}. {cls.model_fields[cls.fields()[name]].description}"
