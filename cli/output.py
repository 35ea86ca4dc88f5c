"""Output: tables and lines for people on a terminal, JSON for programs."""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text


def console() -> Console:
    """Returns the console of results: standard output as it is now."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def messages() -> Console:
    """Returns the console of messages and progress: standard error."""
    is_terminal = Console(stderr=True).is_terminal
    return Console(
        stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=not is_terminal
    )


def clean(text: object) -> str:
    """Returns a text without control characters, which could change the terminal."""
    return "".join(c if unicodedata.category(c)[0] != "C" else " " for c in str(text))


def print_error(text: str) -> None:
    """Prints why a command failed."""
    messages().print(Text(clean(text), style="bold red"))


def print_note(text: str) -> None:
    """Prints a message that is not a result."""
    messages().print(Text(clean(text)))


def print_json(document: Any) -> None:
    """Prints a document as one line of JSON."""
    print(json.dumps(document, ensure_ascii=True))  # noqa: T201  the result, not to be wrapped


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table; numbers are aligned to the right. On a terminal long cells are wrapped."""
    cells = [[clean(value) for value in row] for row in rows]
    are_numbers = [
        bool(cells) and all(row[index].isdecimal() for row in cells)
        for index in range(len(headers))
    ]
    out = Console(highlight=False, markup=False, emoji=False)
    if not out.is_terminal:
        _print_lines([headers, *cells], are_numbers)
        return
    table = RichTable(box=None, pad_edge=False)
    for head, is_number in zip(headers, are_numbers, strict=True):
        table.add_column(head, justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    out.print(table)


def _print_lines(rows: Sequence[Sequence[str]], are_numbers: Sequence[bool]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, are_numbers, strict=True)
        ]
        console().print(Text("  ".join(cells).rstrip()))


def print_counts(counts: Mapping[str, int]) -> None:
    """Prints counts in one line, without those that are zero."""
    shown = [f"{count:,} {name}" for name, count in counts.items() if count]
    console().print(Text(", ".join(shown) or "nothing to do"))


def counted(count: int, noun: str) -> str:
    """Returns a count with its noun, in the plural unless the count is 1."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
