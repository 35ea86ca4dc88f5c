"""The watch over secrets: it hears what it is there to hear."""

import logging

from shared.errors import InvalidRequestError
from tests.overheard import Overheard


def test_log_and_errors_are_heard():
    """What stands in a line of the log, in a stack trace or in an error's faults is found."""
    overheard = Overheard()

    overheard.handle(logging.LogRecord("n", logging.INFO, "p", 1, "a %s", ("line",), None))
    try:
        int("a trace")
    except ValueError as error:
        trace = (type(error), error, error.__traceback__)
        overheard.handle(logging.LogRecord("n", logging.ERROR, "p", 1, "", (), trace))
    overheard.errors.append(InvalidRequestError({"/a": "a fault"}))

    said = "".join(overheard.said())
    assert all(words in said for words in ("a line", "a trace", "a fault"))
