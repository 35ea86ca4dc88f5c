"""
The file of symmetric keys that `apply --keys` makes.

The keys of a row are on disk before they are sent, so that no device gets a key that is nowhere
else. The file is readable by its owner only. Keys are never printed.
"""

import base64
import csv
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cli.durable_files import open_private, sync_directory, write_all
from cli.errors import CommandError
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
        complete = content[: content.rfind(b"\n") + 1]
        head = _lines([(self._id_member, *_NAMES)])
        if content[: len(head)] not in (head, b""):
            raise CommandError(f"{self._path} is not a file of keys of this run.")
        # A line that is cut off was not on disk when its keys would have been sent.
        os.ftruncate(self._descriptor, len(complete))
        rows = csv.reader(complete.decode().splitlines())
        next(rows, None)
        for id, primary, secondary in rows:
            self._keys[id.casefold()] = (id, primary, secondary)
        if not complete:
            write_all(self._descriptor, head)

    def add_to(self, documents: Iterable[dict[str, Any]]) -> None:
        """Gives documents without symmetric keys those of the file, or new ones once on disk."""
        new = []
        for document in documents:
            attestation = document["attestation"]
            if attestation["type"] != AttestationType.SYMMETRIC_KEY:
                continue
            if attestation.get("symmetricKey"):
                continue
            id = document[self._id_member]
            if id.casefold() not in self._keys:
                new.append((id, _create_key(), _create_key()))
                self._keys[id.casefold()] = new[-1]
            _, *keys = self._keys[id.casefold()]
            attestation["symmetricKey"] = dict(zip(_NAMES, keys, strict=True))
        if new:
            self._append(new)

    @property
    def count(self) -> int:
        """The number of rows that have keys in the file."""
        return len(self._keys)

    def keep(self, is_used: Callable[[str], bool]) -> None:
        """Removes the keys of ids that DPS does not have with them; the file is replaced at once."""
        kept = {key: row for key, row in self._keys.items() if is_used(key)}
        if len(kept) == len(self._keys):
            return
        temporary = self._path.with_name(self._path.name + ".part")
        temporary.unlink(missing_ok=True)  # it could be a link, or readable by others
        descriptor = open_private(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        write_all(descriptor, _lines([(self._id_member, *_NAMES), *kept.values()]))
        os.close(descriptor)
        os.close(self._descriptor)  # Windows does not replace a file that is open
        temporary.replace(self._path)
        sync_directory(self._path)
        self._descriptor = open_private(self._path, os.O_RDWR)
        self._keys = kept

    def close(self) -> None:
        """Closes the file, and removes it if it has no keys."""
        os.close(self._descriptor)
        if not self._keys:
            self._path.unlink()

    def _append(self, rows: Iterable[tuple[str, ...]]) -> None:
        os.lseek(self._descriptor, 0, os.SEEK_END)
        write_all(self._descriptor, _lines(rows))


def _lines(rows: Iterable[tuple[str, ...]]) -> bytes:
    # Neither ids nor keys have characters that CSV quotes.
    return "".join(f"{','.join(row)}\n" for row in rows).encode()


def _create_key() -> str:
    """Returns a new key in base64; none begins like a formula of a spreadsheet."""
    while True:
        key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
        if not key.startswith("+"):
            return key
