"""The content of a file with records: its encoding, format and delimiter, which are found in it."""

import codecs
import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from cli.errors import CommandError

COMMENT = "#"
"""Begins a comment line before the header, and the name of a column or member that is not read."""
DELIMITERS = (",", ";", "\t")

BLOCK = 1 << 20
_FALLBACK = "cp1252"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_IS_NO_HEADER = re.compile(rf'\ufeff?"?(?:{COMMENT}(?: |"?[\r\n]*$)|sep=)|\s*$', re.IGNORECASE)
_ZIP = b"PK\x03\x04"  # .xlsx and .ods
_FORMAT_BY_CHARACTER = {"{": "ndjson", "[": "json"}


class Format(StrEnum):
    """The formats of files."""

    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"


FileVersion = tuple[int, int, int, int]
"""Differs after a file was written to or replaced."""


def version_of(file: Path) -> FileVersion | None:
    """Returns the version of a file, `None` if there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """Digest and encoding of a file; `is_fallback` if the encoding is a guess."""

    version: FileVersion
    digest: str
    encoding: str
    is_fallback: bool


def read_content(file: Path, encoding: str | None) -> Content:
    """Returns digest and encoding of a file; raises `CommandError` if it is not text."""
    if file.exists() and not file.is_file():
        raise CommandError(f"{file} is not a regular file: it is read several times.")
    version = version_of(file)
    try:
        with file.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
    if start == _ZIP:
        raise CommandError(f"{file} is a workbook or an archive: save the sheet as CSV (UTF-8).")
    # A mark of the byte order precedes the option: a profile may be for files of another origin.
    found = next((name for bom, name in _BOMS if start.startswith(bom)), None)
    found = found or encoding or _without_bom(start)
    digest, fault = _digest_of(file, found)
    is_fallback = fault is not None and not encoding and found == "utf-8"
    if is_fallback and _digest_of(file, _FALLBACK)[1] is None:
        found, fault = _FALLBACK, None
    if fault is not None or version is None:
        raise CommandError(f"{file} is not {found}: {fault}; name its encoding with --encoding.")
    return Content(version=version, digest=digest, encoding=found, is_fallback=is_fallback)


def _without_bom(start: bytes) -> str:
    """Returns UTF-16 if every other byte of the start is zero, as in ASCII text, else UTF-8."""
    names = {(False, True): "utf-16-le", (True, False): "utf-16-be"}
    return names.get((start[:1] == b"\0", start[1:2] == b"\0"), "utf-8")


def _digest_of(file: Path, encoding: str) -> tuple[str, str | None]:
    """Returns the SHA-256 of a file and where it is not in the encoding, if anywhere."""
    try:
        "".encode(encoding)  # raises LookupError for a codec that is not of texts, such as hex
        decoder = codecs.getincrementaldecoder(encoding)()
    except (LookupError, UnicodeError):
        raise CommandError(f"The encoding '{encoding}' is unknown.") from None
    digest, position, fault = hashlib.sha256(), 0, None
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            if fault is None:
                fault = _decode_fault(decoder, block, position)
            position += len(block)
    return digest.hexdigest(), fault or _decode_fault(decoder, b"", position, final=True)


def _decode_fault(
    decoder: codecs.IncrementalDecoder, block: bytes, position: int, *, final: bool = False
) -> str | None:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError as error:
        decoder.reset()
        return f"near byte {position + error.start}"
    except UnicodeError as error:  # of UTF-16
        decoder.reset()
        return str(error)
    return None


def open_text(file: Path, encoding: str) -> TextIO:
    """Opens a file as text, with its line ends as they are."""
    return file.open(encoding=encoding, newline="")


def find_format(text: TextIO, delimiter: str | None) -> tuple[Format, str]:
    """Returns the format and, of CSV, the delimiter of the first line that is no comment."""
    for line in text:
        content = line.lstrip("\ufeff").rstrip("\r\n")
        if name := _FORMAT_BY_CHARACTER.get(content.strip()[:1]):
            return Format(name), ","
        if content.lower().startswith("sep=") and len(content) > len("sep="):
            delimiter = delimiter or content[len("sep=")]
        elif not is_before_header(line):
            return Format.CSV, delimiter or _find_delimiter(content)
    raise CommandError("The file has no header and no records.")


def is_before_header(line: str) -> bool:
    """Returns whether a line of CSV can only precede the header: a comment, `sep=`, an empty one."""
    return _IS_NO_HEADER.match(line) is not None


def _find_delimiter(line: str) -> str:
    """Returns the delimiter that a header has most of, outside quotes."""
    unquoted = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=unquoted.count)
