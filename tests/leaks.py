"""Searches what a test logged and raised for secrets."""

import logging
from collections.abc import Iterator
from copy import copy

from shared.errors import AppError
from shared.redaction import RedactingFilter


class LeakDetector(logging.Handler):
    """A handler that keeps every log line as the app would write it, and every error of the app."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.errors: list[AppError] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the redacted line, and leaves the record unchanged for other handlers."""
        redacted = copy(record)
        RedactingFilter().filter(redacted)
        self.lines.append(self.format(redacted))

    def release_errors(self) -> None:
        """Keeps the texts of the errors, but not the errors."""
        self.lines = list(self.texts())
        self.errors.clear()

    def texts(self) -> Iterator[str]:
        """Yields the lines, and all texts of the errors."""
        yield from self.lines
        for error in self.errors:
            yield f"{error!s} {error!r} {vars(error)}"
