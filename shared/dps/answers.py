"""What DPS answers, as records or as errors."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NoReturn

from shared.dps.records import Record
from shared.errors import (
    DpsAnswerError,
    DpsBadRequestError,
    DpsConflictError,
    DpsCredentialError,
    DpsError,
    DpsFaultError,
    DpsNotFoundError,
    DpsPreconditionFailedError,
    DpsRefusedError,
    DpsThrottledError,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """
    A good answer: `document` is its JSON, `None` where it has no body.

    `in_doubt` says that an earlier attempt of the call may have been done as well.
    """

    status: int
    headers: Mapping[str, str]
    document: Any
    in_doubt: bool = False

    def record(self) -> Record:
        """The one record; raises `DpsFaultError` if the answer is something else."""
        if not isinstance(self.document, dict):
            raise DpsFaultError(
                "DPS answered with something that is no record.", status=self.status
            )
        return Record(self.document)

    def records(self) -> list[Record]:
        """The list of records; raises `DpsFaultError` if the answer is something else."""
        found = self.document
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise DpsFaultError("DPS answered with something that is no list.", status=self.status)
        return [Record(item) for item in found]


_ERROR_OF_STATUS: dict[int, type[DpsAnswerError]] = {
    HTTPStatus.BAD_REQUEST: DpsBadRequestError,
    HTTPStatus.NOT_FOUND: DpsNotFoundError,
    HTTPStatus.REQUEST_TIMEOUT: DpsFaultError,
    HTTPStatus.CONFLICT: DpsConflictError,
    HTTPStatus.PRECONDITION_FAILED: DpsPreconditionFailedError,
    HTTPStatus.TOO_MANY_REQUESTS: DpsThrottledError,
}
# A member of either shape that errors have: DPS's own, and that of the gateway before it.
_SHAPES = {"errorCode", "ExceptionMessage"}
_CREDENTIAL_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def _class_of(status: int) -> type[DpsAnswerError]:
    """By the table; of what it does not hold, 4xx are refusals and the rest faults."""
    refused = HTTPStatus(400) <= status < HTTPStatus(500)
    return _ERROR_OF_STATUS.get(status, DpsRefusedError if refused else DpsFaultError)


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """
    The answer DPS gave; raises the `DpsError` that its status stands for.

    `headers` are looked up without regard to case.
    """
    document = _json(body)
    if not HTTPStatus(200) <= status < HTTPStatus(300):
        raise _error(status, headers, document if isinstance(document, dict) else {})
    if document is _UNREADABLE:
        raise DpsFaultError("DPS answered with something that is not JSON.", status=status)
    return Answer(status=status, headers=headers, document=document)


_UNREADABLE = object()


def _json(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_no_json) if body else None
    except (ValueError, RecursionError):
        return _UNREADABLE


def _no_json(_: str) -> NoReturn:
    raise ValueError  # NaN and Infinity are Python's own


def _error(status: int, headers: Mapping[str, str], document: dict[str, Any]) -> DpsError:
    text = document.get("message") or document.get("Message") or f"DPS answered with {status}."
    told = document.get("trackingId")
    tracking_id = str(told) if told else _tracking_id(document.get("ExceptionMessage"))
    retry_after = _seconds(headers.get("Retry-After"))
    if status in _CREDENTIAL_REFUSED:
        return DpsCredentialError(str(text), tracking_id=tracking_id, retry_after=retry_after)
    code, details = document.get("errorCode"), document.get("info")
    if status == HTTPStatus.NOT_FOUND and _SHAPES.isdisjoint(document):
        # Whatever is at the wrong address says so of every path, and nothing of records.
        return DpsFaultError("What answered 404 is not DPS's API.", status=status)
    return _class_of(status)(
        str(text),
        status=status,
        error_code=code if isinstance(code, int) else None,
        details=details if isinstance(details, dict) else None,
        tracking_id=tracking_id,
        retry_after=retry_after,
    )


def _tracking_id(text: object) -> str | None:
    # The gateway before DPS has a shape of its own (github.com/Azure/azure-iot-sdk-csharp/issues/3479).
    found = re.match(r"Tracking ID:(\S+)", str(text))
    return found[1] if found else None


def _seconds(retry_after: str | None) -> float | None:
    """Seconds to wait, of either form of Retry-After (RFC 9110, 10.2.3); `None` if it is neither."""
    if not retry_after:
        return None
    if re.fullmatch(r"[0-9]{1,9}", retry_after):
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):  # not a date, one without a zone, or of no year
        return None


def errors_of_items(result: Record, id_member: str) -> dict[str, DpsError]:
    """
    Why records of a bulk operation were not changed, by their id.

    Raises `DpsFaultError` if the result does not say which records failed.
    """
    try:
        errors: dict[str, DpsError] = {
            item[id_member]: _error_of_item(item) for item in result["errors"]
        }
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DpsFaultError("DPS answered with no bulk result.", status=200) from error
    if not all(isinstance(id, str) for id in errors):
        raise DpsFaultError("DPS answered with no bulk result.", status=200)
    if not errors and not result.get("isSuccessful"):
        raise DpsFaultError("DPS names no record of a bulk operation that failed.", status=200)
    return errors


def _error_of_item(item: dict[str, Any]) -> DpsAnswerError:
    code = int(item["errorCode"])
    status = code // 1000  # the first three of the six digits are the HTTP status
    return _class_of(status)(str(item["errorStatus"]), status=status, error_code=code)
