"""Options that several verbs share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.client import DEFAULT_URL, Connection
from cli.columns import MemberPath
from cli.errors import CommandError
from cli.output import print_note
from cli.profile import Profile
from cli.tables import Table
from shared.dps.models import (
    ENROLLMENT_GROUP,
    INDIVIDUAL_ENROLLMENT,
    BulkMode,
    RecordKind,
)


class KindName(StrEnum):
    """The kinds of records."""

    ENROLLMENT = "enrollment"
    GROUP = "group"

    @property
    def kind(self) -> RecordKind:
        """The kind in the models."""
        return ENROLLMENT_GROUP if self is KindName.GROUP else INDIVIDUAL_ENROLLMENT


class Mode(StrEnum):
    """What is done with each record; `update` replaces records that exist."""

    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"
    DELETE = "delete"

    @property
    def bulk(self) -> BulkMode:
        """The mode in the models."""
        return BulkMode(self.value)


FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="CSV, NDJSON or a JSON array.")]
ModeOption = Annotated[Mode, typer.Option("--mode", help="What to do with each record.")]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="NAME=PATH",
        help="The member that a column is for; without PATH the column is ignored.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="A value for rows that have none."),
]
ProfileOption = Annotated[
    Path | None, typer.Option("--profile", metavar="TOML", help="A file with these options.")
]
KindOption = Annotated[
    KindName | None, typer.Option("--kind", help="Default: found in the file's columns.")
]
EncodingOption = Annotated[
    str | None, typer.Option("--encoding", help="Default: found in the file.")
]
DelimiterOption = Annotated[
    str | None, typer.Option("--delimiter", help="Default: found in the file.")
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", envvar="ENROLLMENT_URL", help="The app. Default: that of `make run`."),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="ENROLLMENT_KEY",
        show_envvar=True,
        help="The function key; better in the variable or the profile than in the command.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of tables.")]


def parse_tag(text: str) -> tuple[MemberPath, str]:
    """Returns path and value of a tag; raises `CommandError` if the text is not NAME=VALUE."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise CommandError("--tag must be NAME=VALUE, such as --tag region=de.")
    return ("initialTwin", "tags", *name.split(".")), value


def read_profile(
    file: Path | None,
    *,
    columns: list[str] | None,
    constants: list[str] | None,
    encoding: str | None,
    delimiter: str | None,
) -> Profile:
    """Returns the profile in a file, with the options of the command, which take precedence."""
    return Profile.read(file).with_options(
        columns=columns or (), constants=constants or (), encoding=encoding, delimiter=delimiter
    )


def open_table(file: Path, profile: Profile, kind: KindName | None, mode: Mode) -> Table:
    """Returns the table in a file; raises `CommandError` if it cannot be read as one."""
    return Table.open(file, profile, mode=mode.bulk, kind=kind.kind if kind else None)


def open_valid_table(file: Path, profile: Profile, kind: KindName | None, mode: Mode) -> Table:
    """Returns the table in a file; raises `CommandError` for a fault of its header, too."""
    table = open_table(file, profile, kind, mode)
    if table.faults:
        lines = [f"  {fault.column}: {fault.message}" for fault in table.faults]
        raise CommandError("\n".join([f"The header of {file} has faults:", *lines]))
    if table.is_fallback_encoding:
        print_note(
            f"{file} is read as {table.encoding}: it is not valid UTF-8; --encoding sets another."
        )
    return table


def find_connection(url: str | None, key: str | None, profile: Profile) -> Connection:
    """Returns the connection of the options, else the profile's, else that of `make run`."""
    if url or not profile.url:
        # The profile's key is for the profile's app only.
        own = url in (None, profile.url)
        return Connection(url=url or DEFAULT_URL, key=key or (profile.key if own else None))
    return Connection(url=profile.url, key=key or profile.key)
