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
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


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


def print_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table; numbers are aligned to the right."""
    table = RichTable(title=Text(title), title_justify="left", box=None, pad_edge=False)
    cells = [list(row) for row in rows]
    for index, head in enumerate(heads):
        is_number = bool(cells) and all(isinstance(row[index], int) for row in cells)
        table.add_column(head, justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(_number(v) if isinstance(v, int) else clean(v)) for v in row))
    Console(highlight=False, markup=False, emoji=False).print(table)


def _number(value: int) -> str:
    return f"{value:,}"


def print_counts(counts: Mapping[str, int]) -> None:
    """Prints counts in one line, without those that are zero."""
    shown = [f"{count:,} {name}" for name, count in counts.items() if count]
    console().print(Text(", ".join(shown) or "nothing to do"))
