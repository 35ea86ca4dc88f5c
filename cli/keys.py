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

from cli.durable_files import append, is_in_place, open_private, sync_directory
from cli.errors import CommandError, RunFileError
from cli.stored import has_keys
from shared.dps.models import AttestationType, RecordKind

_KEY_BYTES = 64  # the size of the keys that DPS generates, and the largest that it accepts
_NAMES = ("primaryKey", "secondaryKey")


class KeyFile:
    """The keys by case-folded id, in a CSV file with the columns id, primaryKey, secondaryKey."""

    def __init__(self, path: Path, kind: RecordKind, *, resume: bool) -> None:
        """Creates the file, or reads that of a run that is resumed; raises `CommandError`."""
        self._path = path
        self._id_member = kind.id_member
        self._head = _lines([(self._id_member, *_NAMES)])
        self._keys: dict[str, tuple[str, str, str]] = {}
        self._copy: Path | None = None
        try:
            if not resume or not path.exists():
                _create(path, self._head)
            self._file = path.stat()
            self._read()
        except FileExistsError:
            message = f"{path} exists, and may hold the only copy of keys: name another file."
            raise CommandError(message) from None
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from error

    def _read(self) -> None:
        content = self._path.read_bytes()
        if not content.startswith(self._head):
            raise CommandError(f"{self._path} is not a file of keys of this run.")
        complete = content.rfind(b"\n") + 1
        lines = content[len(self._head) :].splitlines()
        if not all(map(_is_row, lines if complete == len(content) else lines[:-1])):
            raise CommandError(f"{self._path} is damaged: a line has no two keys. Restore it.")
        self._path.chmod(0o600)
        if complete < len(content) and _is_row(lines[-1]):
            self._append(b"\n")
        elif complete < len(content):
            # A line that is cut off was not on disk when its keys would have been sent.
            os.truncate(self._path, complete)
        for line in filter(_is_row, lines):
            id, primary, secondary = line.decode().split(",")
            self._keys[id.casefold()] = (id, primary, secondary)

    def _append(self, content: bytes) -> None:
        self.check_in_place()
        try:
            descriptor = open_private(self._path, os.O_RDWR)
            try:
                append(descriptor, content)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise RunFileError(f"{self._path} cannot be written: {error.strerror}.") from error

    def check_in_place(self) -> None:
        """Raises `RunFileError` if the file was moved, replaced or removed, after writing a copy."""
        if is_in_place(self._file, self._path) or not self._keys:
            return
        if self._copy is None:
            copy = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
            _create(copy, self._head + _lines(self._keys.values()))
            self._copy = copy
        text = f"{self._path} was moved, replaced or removed. All keys are in {self._copy}."
        raise RunFileError(text)

    def check_complete(self, documents: Iterable[dict[str, Any]]) -> None:
        """Raises `CommandError` if a document that was sent with keys has none here."""
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
        self.check_in_place()
        temporary = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}.part")
        try:
            _create(temporary, self._head + _lines(kept.values()))
            temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(self._path)
        self._file = self._path.stat()
        self._keys = kept

    def close(self) -> None:
        """Removes the file if it has no keys."""
        if not self._keys and is_in_place(self._file, self._path):
            self._path.unlink()


def _create(path: Path, content: bytes) -> None:
    """Creates a file with a content; raises OSError, and then leaves none."""
    descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        append(descriptor, content)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(descriptor)


def _lines(rows: Iterable[tuple[str, ...]]) -> bytes:
    # Neither ids nor keys have characters that CSV quotes.
    return "".join(f"{','.join(row)}\n" for row in rows).encode()


def _is_row(line: bytes) -> bool:
    """Returns whether a line has an id and two keys of the size that is made here."""
    _, *keys = line.split(b",")
    if not line.isascii():
        return False
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
