"""
The file of symmetric keys that `apply --keys` makes.

The keys of a row are on disk before they are sent, so that no device gets a key that is nowhere
else. The file is readable by its owner only. Keys are never printed.
"""

import base64
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cli.durable_files import append, open_private, sync_directory
from cli.errors import CommandError
from cli.stored import has_keys
from shared.dps.models import AttestationType, RecordKind

_KEY_BYTES = 64  # the size of the keys that DPS generates, and the largest that it accepts
_NAMES = ("primaryKey", "secondaryKey")


class KeyFile:
    """The keys by case-folded id, in a CSV file with the columns id, primaryKey, secondaryKey."""

    def __init__(self, path: Path, kind: RecordKind, *, resume: bool) -> None:
        """Opens the file; raises `CommandError` if it exists, unless `resume` is set."""
        self._path = path
        self._id_member = kind.id_member
        self._keys: dict[str, tuple[str, str, str]] = {}
        flags = os.O_RDWR | os.O_CREAT | (0 if resume else os.O_EXCL)
        try:
            self._descriptor = open_private(path, flags)
        except FileExistsError:
            message = f"{path} exists, and may hold the only copy of keys: name another file."
            raise CommandError(message) from None
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
        self._read()

    def _read(self) -> None:
        content = self._path.read_bytes()
        head = _lines([(self._id_member, *_NAMES)])
        if content[: len(head)] not in (head, b""):
            raise CommandError(f"{self._path} is not a file of keys of this run.")
        complete = content.rfind(b"\n") + 1
        for line in content[len(head) : complete].splitlines():
            if not _is_row(line):
                raise CommandError(f"{self._path} is damaged: a line has no two keys. Restore it.")
        last = content[complete:]
        if complete and _is_row(last):
            self._append(b"\n")
        else:
            # A line that is cut off was not on disk when its keys would have been sent.
            os.ftruncate(self._descriptor, complete)
        for line in filter(_is_row, content[len(head) :].splitlines()):
            id, primary, secondary = line.decode().split(",")
            self._keys[id.casefold()] = (id, primary, secondary)
        if not complete:
            self._append(head)

    def _append(self, content: bytes) -> None:
        try:
            append(self._descriptor, content)
        except OSError as error:
            raise CommandError(f"{self._path} cannot be written: {error.strerror}.") from error

    def check_complete(self, documents: Iterable[dict[str, Any]]) -> None:
        """Raises `CommandError` if a document that was sent has no keys here: DPS may have others."""
        for document in documents:
            if (
                self._needs_keys(document)
                and document[self._id_member].casefold() not in self._keys
            ):
                raise CommandError(
                    f"{self._path} has no keys for {document[self._id_member]}, which was sent with"
                    " keys: restore the file."
                )

    def add_to(self, documents: Iterable[dict[str, Any]]) -> None:
        """Gives documents without symmetric keys those of the file, or new ones once on disk."""
        made: dict[str, tuple[str, str, str]] = {}
        missing = list(filter(self._needs_keys, documents))
        for document in missing:
            id = document[self._id_member]
            if id.casefold() not in self._keys:
                made[id.casefold()] = (id, _create_key(), _create_key())
        if made:
            self._append(_lines(made.values()))
            self._keys |= made
        for document in missing:
            _, *keys = self._keys[document[self._id_member].casefold()]
            document["attestation"]["symmetricKey"] = dict(zip(_NAMES, keys, strict=True))

    @staticmethod
    def _needs_keys(document: dict[str, Any]) -> bool:
        is_symmetric = document["attestation"]["type"] == AttestationType.SYMMETRIC_KEY
        return is_symmetric and not has_keys(document)

    @property
    def count(self) -> int:
        """The number of rows that have keys in the file."""
        return len(self._keys)

    def keep(self, is_used: Callable[[str], bool]) -> None:
        """Removes the keys of ids that DPS does not have with them; the file is replaced at once."""
        kept = {key: row for key, row in self._keys.items() if is_used(key)}
        if len(kept) == len(self._keys):
            return
        temporary = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}.part")
        try:
            descriptor = open_private(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            append(descriptor, _lines([(self._id_member, *_NAMES), *kept.values()]))
            os.close(descriptor)
            os.close(self._descriptor)  # Windows does not replace a file that is open
            temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(self._path)
        self._descriptor = open_private(self._path, os.O_RDWR)
        self._keys = kept

    def close(self) -> None:
        """Closes the file, and removes it if it has no keys."""
        os.close(self._descriptor)
        if not self._keys:
            self._path.unlink()


def _lines(rows: Iterable[tuple[str, ...]]) -> bytes:
    # Neither ids nor keys have characters that CSV quotes.
    return "".join(f"{','.join(row)}\n" for row in rows).encode()


def _is_row(line: bytes) -> bool:
    """Returns whether a line has an id and two keys of the size that is made here."""
    _, *keys = line.split(b",")
    try:
        sizes = [len(base64.b64decode(key, validate=True)) for key in keys]
    except ValueError:
        return False
    return sizes == [_KEY_BYTES, _KEY_BYTES]


def _create_key() -> str:
    """Returns a new key in base64; none begins like a formula of a spreadsheet."""
    while True:
        key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
        if not key.startswith("+"):
            return key
