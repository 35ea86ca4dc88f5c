"""
A profile: what stays the same from file to file, in TOML.

    [columns]
    "Serial No" = "registrationId"
    "Remark" = ""                          # ignored

    [set]
    "attestation.type" = "symmetricKey"    # where a row has no value

    [file]
    encoding = "windows-1250"
    delimiter = ";"

    [connection]
    url = "https://my-app.azurewebsites.net"
    key = "…"
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cli.errors import CommandError
from shared.json_documents import fault_message


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class _File(_Section):
    encoding: str | None = None
    delimiter: str | None = None


class _Connection(_Section):
    url: str | None = None
    key: str | None = None


class _Profile(_Section):
    columns: dict[str, str] = Field(default_factory=dict)
    set: dict[str, str] = Field(default_factory=dict)
    file: _File = Field(default_factory=_File)
    connection: _Connection = Field(default_factory=_Connection)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How a file is read, and where the app is; `columns` and `constants` are by name."""

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict, repr=False)
    encoding: str | None = None
    delimiter: str | None = None
    url: str | None = None
    key: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, file: Path | None) -> "Profile":
        """Returns the profile in a file, empty for `None`; raises `CommandError` with its faults."""
        if file is None:
            return cls()
        try:
            document = tomllib.loads(file.read_text("utf-8-sig"))
            parsed = _Profile.model_validate(document)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise CommandError(f"{file} is not UTF-8.") from None
        except tomllib.TOMLDecodeError as error:
            raise CommandError(f"{file} is not TOML: {error}") from None
        except ValidationError as error:
            raise CommandError(f"{file}: {'; '.join(_faults(error))}") from None
        return cls(
            columns=parsed.columns,
            constants=parsed.set,
            encoding=parsed.file.encoding,
            delimiter=parsed.file.delimiter,
            url=parsed.connection.url,
            key=parsed.connection.key,
        )

    def with_options(
        self,
        *,
        columns: Iterable[str] = (),
        constants: Iterable[str] = (),
        encoding: str | None = None,
        delimiter: str | None = None,
    ) -> "Profile":
        """Returns the profile with options of the command line, which take precedence."""
        return replace(
            self,
            columns={**self.columns, **_pairs("--column", columns)},
            constants={**self.constants, **_pairs("--set", constants)},
            encoding=encoding or self.encoding,
            delimiter=parse_delimiter(text) if (text := delimiter or self.delimiter) else None,
        )


def parse_delimiter(text: str) -> str:
    """Returns the character for a delimiter or its name; raises `CommandError` if it is none."""
    delimiter = _DELIMITERS.get(text.lower(), text)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise CommandError("--delimiter must be one character, or comma, semicolon or tab.")
    return delimiter


_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", r"\t": "\t"}


def _faults(error: ValidationError) -> Iterable[str]:
    for details in error.errors(include_url=False, include_input=False):
        path = ".".join(map(str, details["loc"]))
        members: Any = _Profile.model_fields if len(details["loc"]) == 1 else ()
        yield f"{path} {fault_message(details, members=members)}"


def _pairs(option: str, texts: Iterable[str]) -> Mapping[str, str]:
    pairs = {}
    for text in texts:
        name, separator, value = (
            text.rpartition("=") if option == "--column" else text.partition("=")
        )
        if not separator or not name.strip():
            raise CommandError(f"{option} must be like {_EXAMPLES[option]}.")
        pairs[name.strip()] = value.strip()
    return pairs


_EXAMPLES = {
    "--column": "--column 'Serial No=registrationId'",
    "--set": "--set attestation.type=symmetricKey",
}
