"""The search for leaked secrets."""

import logging

from shared.errors import InvalidRequestError
from tests.leaks import LeakDetector


def test_leak_detector_keeps_log_lines_stack_traces_and_errors() -> None:
    """The texts contain a log line, the message of a logged exception, and an error's faults."""
    detector = LeakDetector()

    detector.handle(logging.LogRecord("n", logging.INFO, "p", 1, "a %s", ("line",), None))
    try:
        int("a trace")
    except ValueError as error:
        trace = (type(error), error, error.__traceback__)
        detector.handle(logging.LogRecord("n", logging.ERROR, "p", 1, "", (), trace))
    detector.errors.append(InvalidRequestError({"/a": "a fault"}))

    texts = "".join(detector.texts())
    assert all(text in texts for text in ("a line", "a trace", "a fault"))


def test_leak_detector_keeps_texts_of_released_errors() -> None:
    """Although it no longer refers to the errors, nor to what their tracebacks hold."""
    detector = LeakDetector()
    detector.errors.append(InvalidRequestError({"/a": "a fault"}))

    detector.release_errors()

    assert detector.errors == []
    assert "a fault" in "".join(detector.texts())
