"""`export`: the records in DPS as a file that `apply` takes; without keys."""

import asyncio
import io
import json
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO
from urllib.parse import quote

import typer

from cli.client import AppClient, Connection, open_client
from cli.columns import MemberPath
from cli.csv_columns import CsvColumns
from cli.errors import CommandError
from cli.file_content import Format
from cli.options import KeyOption, KindName, ProfileOption, UrlOption, find_connection, parse_tag
from cli.output import counted, print_note
from cli.profile import Profile, parse_delimiter
from cli.progress import Progress
from cli.records import CsvWriter
from cli.stored import CONCURRENT_READS
from shared.dps.models import (
    ENROLLMENT_GROUP,
    AllocationPolicy,
    ProvisioningStatus,
    RecordKind,
)
from shared.dps.responses import READ_ONLY_MEMBERS
from shared.redaction import MASK, mask_secrets

Document = dict[str, Any]
_DEFAULT_STATUS = ProvisioningStatus.ENABLED


@dataclass(frozen=True, kw_only=True)
class _Filter:
    """Conditions that a record must meet, all of those that are set."""

    status: str | None
    id_prefix: str | None
    tags: list[tuple[MemberPath, str]]
    hub: str | None
    allocation: str | None

    def matches(self, record: Mapping[str, Any], id: str) -> bool:
        """Returns whether a record is to be exported, as far as its hub is not concerned."""
        return (
            self.status in (None, record.get("provisioningStatus") or _DEFAULT_STATUS)
            and id.casefold().startswith((self.id_prefix or "").casefold())
            and all(_tag(record, path) == value for path, value in self.tags)
            and self.allocation in (None, record.get("allocationPolicy"))
        )


def verb(
    *,
    kind: Annotated[KindName, typer.Option(help="The kind of records.")] = KindName.ENROLLMENT,
    status: Annotated[
        ProvisioningStatus | None, typer.Option(help="Only with this status.")
    ] = None,
    id_prefix: Annotated[
        str | None, typer.Option("--id-prefix", help="Only ids that begin like this, in any case.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="NAME=VALUE", help="Only with this tag in the initial twin."),
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option("--hub", help="Only records that name this hub, or devices assigned to it."),
    ] = None,
    allocation: Annotated[
        AllocationPolicy | None, typer.Option(help="Only with this allocation policy.")
    ] = None,
    registrations: Annotated[
        bool,
        typer.Option("--registrations", help="The devices' registration states instead."),
    ] = False,
    file_format: Annotated[Format, typer.Option("--format", help="The format.")] = Format.CSV,
    delimiter: Annotated[
        str, typer.Option("--delimiter", help="Of CSV: comma, semicolon or tab.")
    ] = "comma",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: standard output.")
    ] = None,
    profile: ProfileOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Write the records in DPS, filtered, as a file that `apply` takes; keys are left out."""
    condition = _Filter(
        status=status,
        id_prefix=id_prefix,
        tags=[parse_tag(text) for text in tag or ()],
        hub=hub,
        allocation=allocation,
    )
    export = _Export(
        kind.kind,
        condition,
        with_registrations=registrations,
        delimiter=parse_delimiter(delimiter),
    )
    app = find_connection(url, key, Profile.read(profile))
    # A spreadsheet needs the byte order mark to read UTF-8; JSON has none.
    encoding = "utf-8-sig" if file_format is Format.CSV else "utf-8"
    with _open_output(output, encoding) as out:
        asyncio.run(export.write(app, out, file_format))
    export.report()


def _tag(record: Mapping[str, Any], path: MemberPath) -> str | None:
    value: Any = record
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) or value is None else json.dumps(value)


def _hubs(document: Mapping[str, Any]) -> set[str]:
    """Returns the hubs that a record names, or to which a device is assigned."""
    names = [
        *(document.get("iotHubs") or ()),
        *map(document.get, ("iotHubHostName", "assignedHub")),
    ]
    return {str(name).casefold() for name in names if name}


class _Export:
    """The records of one kind, read page by page, and what the file lacks."""

    def __init__(
        self, kind: RecordKind, condition: _Filter, *, with_registrations: bool, delimiter: str
    ) -> None:
        self._kind = kind
        self._delimiter = delimiter
        self._condition = condition
        self._with_registrations = with_registrations
        self._count = self._certificates = self._masked = 0

    async def write(self, app: Connection, out: TextIO, file_format: Format) -> None:
        """Writes the file; CSV at the end, when its columns are known."""
        # On a terminal the records are progress enough.
        with Progress("Reading", total=None, is_shown=not out.isatty()) as progress:
            async with open_client(app) as client:
                documents = self._documents(client)
                if file_format is Format.CSV:
                    await self._write_csv(documents, out, progress)
                else:
                    await self._write_json(documents, out, progress, file_format)

    async def _write_json(
        self,
        documents: AsyncIterator[Document],
        out: TextIO,
        progress: Progress,
        file_format: Format,
    ) -> None:
        begin, between, end = (
            ("[\n", ",\n", "\n]\n") if file_format is Format.JSON else ("", "\n", "\n")
        )
        out.write(begin)
        async for document in documents:
            out.write((between if self._count else "") + json.dumps(document))
            self._count += 1
            progress.advance()
        out.write(end if self._count or file_format is Format.JSON else "")

    async def _write_csv(
        self, documents: AsyncIterator[Document], out: TextIO, progress: Progress
    ) -> None:
        columns = CsvColumns(self._kind)
        with tempfile.TemporaryFile("w+", encoding="ascii") as spool:
            async for document in documents:
                columns.add(document)
                spool.write(json.dumps(document) + "\n")
                self._count += 1
                progress.advance()
            columns.close()
            spool.seek(0)
            if not self._count:
                return
            writer = CsvWriter(out, self._delimiter)
            writer.write_header(columns.headers(is_table=not self._with_registrations))
            for line in spool:
                writer.write(columns.cells(json.loads(line)))

    async def _documents(self, client: AppClient) -> AsyncIterator[Document]:
        hub = self._condition.hub
        records = self._records(client)
        documents = self._registrations(client, records) if self._with_registrations else records
        async for document in documents:
            if hub is None or hub.casefold() in _hubs(document):
                is_record = not self._with_registrations
                yield self._exported(document) if is_record else mask_secrets(document)

    async def _records(self, client: AppClient) -> AsyncIterator[Document]:
        async for page in client.pages(f"/{self._kind.path}/query"):
            for record in page:
                if self._condition.matches(record, str(record.get(self._kind.id_member))):
                    yield record

    async def _registrations(
        self, client: AppClient, records: AsyncIterator[Document]
    ) -> AsyncIterator[Document]:
        """Yields the registration states of the devices of the records."""
        ids: list[str] = []
        async for record in records:
            id = str(record[self._kind.id_member])
            if self._kind is ENROLLMENT_GROUP:
                async for page in client.pages(f"/registrations/{quote(id, safe='')}/query"):
                    for state in page:
                        yield {"enrollmentGroupId": id, **state}
                continue
            ids.append(id)
            if len(ids) == CONCURRENT_READS:
                for state in await _read_states(client, ids):
                    yield state
                ids = []
        for state in await _read_states(client, ids):
            yield state

    def _exported(self, record: Document) -> Document:
        """Returns a record without keys and without what DPS writes itself."""
        kept = {k: v for k, v in record.items() if k not in READ_ONLY_MEMBERS and v is not None}
        attestation = dict(kept.pop("attestation", None) or {})
        attestation.pop("symmetricKey", None)
        x509 = attestation.get("x509") or {}
        self._certificates += any(name.endswith("Certificates") for name in x509)
        masked: Document = mask_secrets(kept)
        webhook = json.dumps(masked.get("customAllocationDefinition"))
        self._masked += masked != kept or MASK in webhook
        # In the order of the record. The endorsement key of a TPM is public.
        exported = masked | {"attestation": attestation}
        return {name: exported[name] for name in record if name in exported}

    def report(self) -> None:
        """Prints the count, and what has to be added before the file is applied elsewhere."""
        print_note(counted(self._count, "registration" if self._with_registrations else "record"))
        if self._certificates:
            print_note(
                f"{self._certificates:,} have X.509 certificates, which DPS does not return: add"
                " them before the file is applied to another DPS."
            )
        if self._masked:
            print_note(
                f"{self._masked:,} have a key that is masked, such as the query of a webhookUrl:"
                " replace it before the file is applied."
            )


async def _read_states(client: AppClient, ids: list[str]) -> list[Document]:
    """Returns the registration states of individual enrollments, which queries do not return."""
    reads = (client.read(f"/registrations/{quote(id, safe='')}") for id in ids)
    return [state for state in await asyncio.gather(*reads) if state is not None]


@contextmanager
def _open_output(file: Path | None, encoding: str) -> Iterator[TextIO]:
    """Opens the file, or standard output; a file appears only when it is complete."""
    if file is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", newline="")
        yield sys.stdout
        return
    if file.is_dir():
        raise CommandError(f"{file} is a directory.")
    part = file.with_name(f"{file.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("w", encoding=encoding, newline="") as out:
            yield out
        part.replace(file)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
