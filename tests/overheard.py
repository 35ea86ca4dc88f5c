"""What a test lets out: its log and its errors."""

import logging
from collections.abc import Iterator

from shared.errors import AppError


class Overheard(logging.Handler):
    """Keeps every line of the log as it would leave, and every error of the app."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.errors: list[AppError] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the line."""
        self.lines.append(self.format(record))

    def said(self) -> Iterator[str]:
        """All of it, as text."""
        yield from self.lines
        for error in self.errors:
            yield f"{error!s} {error!r} {vars(error)}"
