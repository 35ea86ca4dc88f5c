"""One line of the log for each decision: all that is left of it, since DPS passes no reason on."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from itertools import islice
from typing import Any

from functions._outcomes import outcome_of
from shared.errors import AppError, InvalidRequestError, NotConfiguredError

MAX_FAULTS = 20
"""How many faults of one request a line holds."""

_LOG = logging.getLogger(__name__)


@contextmanager
def logged(**line: Any) -> Iterator[dict[str, Any]]:
    """
    Gives a line to fill, and writes it as JSON with status and duration, whatever happens.

    Nobody puts payloads, twins or keys in it.
    """
    began = time.perf_counter()
    line = {"event": "allocation", **line}
    level = logging.INFO
    try:
        yield line
        line["status"] = HTTPStatus.OK
    except Exception as error:
        line |= _failure(error)
        is_ours = line["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR
        level = logging.ERROR if is_ours else logging.WARNING
        raise
    finally:
        line["milliseconds"] = round((time.perf_counter() - began) * 1000, 3)
        _LOG.log(level, "%s", json.dumps(line))


def _failure(error: Exception) -> dict[str, Any]:
    # The text of an error nobody foresaw may hold anything; `@replies` logs it with its traceback.
    reason = str(error) if isinstance(error, AppError) else type(error).__name__
    failure = {"status": outcome_of(error).status, "reason": reason}
    if isinstance(error, InvalidRequestError | NotConfiguredError):
        failure["faults"] = dict(islice(error.faults.items(), MAX_FAULTS))
    return failure
