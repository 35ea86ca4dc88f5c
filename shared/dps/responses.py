"""Responses of DPS: records and pages, or the errors that they stand for."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NoReturn

from shared import errors
from shared.redaction import mask_secrets, redact

_ID_MEMBERS = ("registrationId", "enrollmentGroupId")
READ_ONLY_MEMBERS = frozenset(
    {"registrationState", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "etag"}
)
"""The members of an enrollment or a group that DPS writes itself."""


class Record(dict[str, Any]):
    """
    A JSON object of DPS's, complete: members unknown to this app are kept.

    `str(record)` is indented JSON and `repr(record)` one line, both without secrets.
    `json.dumps(record)` has the secrets.
    """

    @property
    def etag(self) -> str | None:
        """The entity tag as DPS returns it: base64 text without quotes."""
        return self.get("etag")

    @property
    def id(self) -> str | None:
        """The registration id or enrollment group id."""
        return next((self[name] for name in _ID_MEMBERS if name in self), None)

    def __str__(self) -> str:
        return json.dumps(mask_secrets(self), indent=2, ensure_ascii=False)

    def __repr__(self) -> str:
        return f"Record({mask_secrets(self)!r})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """
    One page of a query's records; it may be empty and not the last.

    `continuation` is the opaque token of the next page, `None` on the last. `item_type` is DPS's
    name for the records: `Enrollment`, `EnrollmentGroup` or `DeviceRegistration`.
    """

    records: list[Record]
    continuation: str | None
    item_type: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """
    A successful response: `document` is its JSON, `None` if it has no body.

    `in_doubt` is true if an earlier attempt of the call may have been applied too.
    """

    status: int
    headers: Mapping[str, str]
    document: Any
    in_doubt: bool = False

    def record(self) -> Record:
        """Returns the record; raises `DpsFaultError` if the response is anything else."""
        if not isinstance(self.document, dict):
            raise errors.DpsFaultError("The response of DPS is not a record.", status=self.status)
        return Record(self.document)

    def page(self) -> Page:
        """Returns the page of records; raises `DpsFaultError` if the response is anything else."""
        items = self.document
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise errors.DpsFaultError(
                "The response of DPS is not a list of records.", status=self.status
            )
        return Page(
            records=[Record(item) for item in items],
            continuation=self.headers.get("x-ms-continuation"),
            item_type=self.headers.get("x-ms-item-type"),
        )


_ERROR_BY_STATUS: dict[int, type[errors.DpsAnswerError]] = {
    HTTPStatus.BAD_REQUEST: errors.DpsBadRequestError,
    HTTPStatus.NOT_FOUND: errors.DpsNotFoundError,
    HTTPStatus.REQUEST_TIMEOUT: errors.DpsFaultError,
    HTTPStatus.CONFLICT: errors.DpsConflictError,
    HTTPStatus.PRECONDITION_FAILED: errors.DpsPreconditionFailedError,
    HTTPStatus.TOO_MANY_REQUESTS: errors.DpsThrottledError,
}
_CREDENTIAL_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
# One member of each shape of error: DPS's own, and that of the gateway in front of it.
_ERROR_MEMBERS = {"errorCode", "ExceptionMessage"}
_INVALID_JSON = object()


def _error_class(status: int) -> type[errors.DpsAnswerError]:
    is_client_error = HTTPStatus(400) <= status < HTTPStatus(500)
    return _ERROR_BY_STATUS.get(
        status, errors.DpsRefusedError if is_client_error else errors.DpsFaultError
    )


def parse_response(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """
    Returns the successful response; raises the `DpsError` of any other status.

    `headers` must be a case-insensitive mapping.
    """
    document = _parse_json(body)
    if not HTTPStatus(200) <= status < HTTPStatus(300):
        # It may repeat what was sent, such as a webhook URL that the app completed.
        members = mask_secrets(document) if isinstance(document, dict) else {}
        raise _parse_error(status, headers, members)
    if document is _INVALID_JSON:
        raise errors.DpsFaultError("The response of DPS is not JSON.", status=status)
    if isinstance(document, dict) and isinstance(document.get("errors"), list):
        document["errors"] = [_redacted(item) for item in document["errors"]]
    return Answer(status=status, headers=headers, document=document)


def _redacted(item: Any) -> Any:
    """Returns the error of a record in a bulk result, which may repeat what was sent, masked."""
    if not isinstance(item, dict):
        return item
    masked = {
        name: value if name in _ID_MEMBERS else mask_secrets(value) for name, value in item.items()
    }
    text = item.get("errorStatus")
    return {**masked, "errorStatus": redact(text)} if isinstance(text, str) else masked


def _parse_json(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse_constant) if body else None
    except (ValueError, RecursionError):
        return _INVALID_JSON


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError  # NaN and Infinity are Python's extensions


def _parse_error(
    status: int, headers: Mapping[str, str], document: dict[str, Any]
) -> errors.DpsError:
    message = document.get("message") or document.get("Message") or f"DPS responded with {status}."
    own_id = document.get("trackingId")
    tracking_id = str(own_id) if own_id else _tracking_id(document.get("ExceptionMessage"))
    retry_after = _retry_after_seconds(headers.get("Retry-After"))
    if status in _CREDENTIAL_REFUSED:
        return errors.DpsCredentialError(
            str(message), tracking_id=tracking_id, retry_after=retry_after
        )
    if status == HTTPStatus.NOT_FOUND and _ERROR_MEMBERS.isdisjoint(document):
        # Any web server answers 404 for an unknown path: this says nothing about a record.
        return errors.DpsFaultError("The 404 response is not from the DPS API.", status=status)
    code, details = document.get("errorCode"), document.get("info")
    return _error_class(status)(
        str(message),
        status=status,
        error_code=code if isinstance(code, int) else None,
        details=details if isinstance(details, dict) else None,
        tracking_id=tracking_id,
        retry_after=retry_after,
    )


def _tracking_id(text: object) -> str | None:
    # The gateway's shape of error: github.com/Azure/azure-iot-sdk-csharp/issues/3479.
    match = re.match(r"Tracking ID:(\S+)", str(text))
    return match[1] if match else None


def _retry_after_seconds(value: str | None) -> float | None:
    """Returns the seconds of either form of Retry-After (RFC 9110, 10.2.3), else `None`."""
    if not value:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):  # not a date, no time zone, year out of range
        return None


def bulk_item_errors(
    result: Record, id_member: str, documents: Iterable[Mapping[str, Any]]
) -> dict[str, errors.DpsError]:
    """
    Returns the error of each document that a bulk operation did not apply, by case-folded id.

    Raises `DpsFaultError` if the result does not say which of the documents failed.
    """
    try:
        failed: dict[str, errors.DpsError] = {
            item[id_member].casefold(): _item_error(item) for item in result["errors"]
        }
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise errors.DpsFaultError(
            "The response of DPS is not a bulk result.", status=200
        ) from error
    if failed.keys() - {str(document.get(id_member)).casefold() for document in documents}:
        raise errors.DpsFaultError("The bulk result has records not in the call.", status=200)
    if not failed and not result.get("isSuccessful"):
        raise errors.DpsFaultError("The failed bulk result of DPS names no record.", status=200)
    return failed


def _item_error(item: Mapping[str, Any]) -> errors.DpsError:
    code, text = int(item["errorCode"]), str(item["errorStatus"])
    status = code // 1000  # the first three of the six digits are the HTTP status
    return _error_class(status)(text, status=status, error_code=code)
