"""The header of a table: the members that its columns set, and the faults of their names."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cli.columns import NOT_A_MEMBER, Column, find_overlaps, resolve, shown
from cli.file_content import COMMENT
from cli.profile import Profile
from shared.dps.models import ENROLLMENT_GROUP, INDIVIDUAL_ENROLLMENT, BulkMode, RecordKind

_DELIMITERS = re.compile(r"[;,|\t]")

Fault = tuple[str, str]
"""The name of a column, and what is wrong with it."""


def find_kind(names: Iterable[str]) -> RecordKind:
    """Returns the kind of the records with these members, by the member that is their id."""
    folded = {name.strip().casefold() for name in names}
    is_group = ENROLLMENT_GROUP.id_member.casefold() in folded
    return ENROLLMENT_GROUP if is_group else INDIVIDUAL_ENROLLMENT


@dataclass(frozen=True, kw_only=True)
class Header:
    """The names of a table's columns, none for a JSON file, and how a profile reads them."""

    names: Sequence[str]
    profile: Profile
    kind: RecordKind
    mode: BulkMode

    def resolve(self) -> tuple[list[Column], list[Fault]]:
        """Returns the columns, constants first, and the faults."""
        faults: list[Fault] = []
        constants = list(self._constants(faults))
        cells = list(self._cells(faults))
        columns = [*constants, *cells]
        if self.mode == BulkMode.DELETE:
            # Other columns are not read, so their faults do not matter.
            faults = []
            is_id = (self.kind.id_member,)
            cells = [column for column in cells if column.path == is_id]
            columns = [column for column in columns if column.path == is_id]
        faults += find_overlaps(cells)
        faults += self._missing(columns)
        return columns, [(shown(name), text) for name, text in faults]

    def _constants(self, faults: list[Fault]) -> Iterator[Column]:
        for name, value in self.profile.constants.items():
            header = f"--set {name}"
            try:
                path, parse = resolve(name, self.kind)
                yield Column(header=header, path=path, parse=parse, value=parse(value))
            except ValueError as error:
                faults.append((header, str(error)))

    def _cells(self, faults: list[Fault]) -> Iterator[Column]:
        for index, name in enumerate(self.names):
            target = self.profile.columns.get(name, name)
            if not target or target.startswith(COMMENT):
                continue
            try:
                path, parse = resolve(target, self.kind)
            except ValueError as error:
                faults.append((name, _with_advice(name, target, str(error))))
            else:
                yield Column(header=name, path=path, parse=parse, index=index)

    def _missing(self, columns: Iterable[Column]) -> Iterator[Fault]:
        if not self.names:
            return
        if len(self.names) == 1 and _DELIMITERS.search(self.names[0]):
            yield self.names[0], "is the only column: name the delimiter with --delimiter"
            return
        for name in self.profile.columns:
            if name not in self.names:
                yield name, "is mapped, but not a column of the file"
        members = {column.path[0] for column in columns}
        if (id_member := self.kind.id_member) not in members:
            is_individual = self.kind is INDIVIDUAL_ENROLLMENT
            groups = " (or enrollmentGroupId, for groups)" if is_individual else ""
            yield id_member, f"has no column; map one with --column 'NAME={id_member}'{groups}"
        if "attestation" not in members and self.mode != BulkMode.DELETE:
            advice = "add it, or set it for all rows with --set attestation.type=symmetricKey"
            yield "attestation.type", f"has no column; {advice}"


def _with_advice(name: str, target: str, fault: str) -> str:
    if target != name:
        return f"is mapped to '{target}', which {fault}"
    if fault != NOT_A_MEMBER:
        return fault
    name = shown(name)
    return f"{fault}; map it with --column '{name}=PATH', or ignore it with --column '{name}='"
