"""Files that only their owner can read, and that are on disk when a call returns."""

import os
import sys
from pathlib import Path

_BINARY = getattr(os, "O_BINARY", 0)  # Windows would write other line ends than it is given


def open_private(path: Path, flags: int) -> int:
    """Opens a file as `os.open` does; one that is created is readable by its owner only."""
    is_new = not path.exists()
    descriptor = os.open(path, flags | _BINARY, 0o600)
    if is_new:
        sync_directory(path)
    return descriptor


def is_in_place(file: os.stat_result, path: Path) -> bool:
    """Returns whether a file is still the one at the path: not moved, replaced or removed."""
    try:
        return os.path.samestat(file, path.stat())
    except OSError:
        return False


def append(descriptor: int, content: bytes) -> None:
    """
    Appends to a file, and returns when the content is on disk.

    If it cannot be written as a whole, nothing of it stays in the file.
    """
    end = os.lseek(descriptor, 0, os.SEEK_END)
    view = memoryview(content)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def sync_directory(path: Path) -> None:
    """Returns when a file that was created or renamed has its name on disk."""
    if sys.platform == "win32":
        return  # a directory cannot be opened
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
