"""What a test lets out: its log and its errors."""

import logging
from collections.abc import Iterator
from copy import copy

from shared.errors import AppError
from shared.redaction import RedactingFilter


class Overheard(logging.Handler):
    """Keeps every line of the log as it would leave, and every error of the app."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.errors: list[AppError] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the line; the record itself stays as it is for the handlers after this one."""
        leaving = copy(record)
        RedactingFilter().filter(leaving)
        self.lines.append(self.format(leaving))

    def said(self) -> Iterator[str]:
        """All of it, as text."""
        yield from self.lines
        for error in self.errors:
            yield f"{error!s} {error!r} {vars(error)}"
