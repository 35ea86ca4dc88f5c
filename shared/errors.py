"""
What can go wrong, as one tree. What each means outside stands in `functions/_outcomes.py`.

AppError
├── InvalidRequestError             the caller's request, every fault of it
│   ├── DocumentTooLargeError       one document over the limit
│   └── UnsupportedMediaTypeError   a body that does not claim to be JSON
├── NotConfiguredError              our settings: missing or wrong, each with its cure
└── DpsError                        one call to DPS
    ├── DpsAnswerError              DPS answered, and not with what was asked
    │   ├── DpsBadRequestError      400
    │   ├── DpsNotFoundError        404
    │   ├── DpsConflictError        409
    │   ├── DpsPreconditionFailedError   412
    │   ├── DpsThrottledError       429
    │   └── DpsFaultError           any other status, or an answer nobody can read
    ├── DpsCredentialError          401, 403, or no token to be had: our credential
    ├── DpsUnreachableError         no connection was made
    ├── DpsReplyLostError           the connection broke before the answer was whole
    ├── DpsTimeoutError             no answer within the deadline
    └── BulkItemError               one record of a bulk operation that was split
        ├── NotAttemptedError       it was not sent
        └── OutcomeUnknownError     it was sent, and no answer came
"""

from collections.abc import Mapping


class AppError(Exception):
    """Anything this app foresees. `str(error)` is fit for the caller: it holds no value sent."""


class InvalidRequestError(AppError):
    """
    The request cannot succeed as it is.

    `faults` maps a JSON Pointer (RFC 6901) into the document, or the name of a header, parameter
    or path segment, to what is wrong there: all faults at once.
    """

    def __init__(
        self, faults: Mapping[str, str], message: str = "The request is not valid."
    ) -> None:
        super().__init__(message)
        self.faults = dict(faults)


class DocumentTooLargeError(InvalidRequestError):
    """A document is larger than the app accepts."""


class UnsupportedMediaTypeError(InvalidRequestError):
    """The body claims to be something else than JSON."""


class NotConfiguredError(AppError):
    """
    The app's settings do not allow the call.

    `faults` maps the name of a setting to what is wrong with it and how to mend it.
    """

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__(f"The app is not configured: see {', '.join(faults)}.")
        self.faults = dict(faults)


class DpsError(AppError):
    """
    A call to DPS did not do what was asked.

    `tracking_id` is DPS's own, for a support request; `retry_after` is in seconds, when known.
    """

    def __init__(
        self, message: str, *, tracking_id: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.tracking_id = tracking_id
        self.retry_after = retry_after


class DpsAnswerError(DpsError):
    """
    DPS answered with an error.

    `error_code` is DPS's six-digit code, of which the first three digits are the HTTP status
    (`None` where the answer names none); `details` is DPS's `info` member.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        error_code: int | None = None,
        details: Mapping[str, str] | None = None,
        tracking_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, tracking_id=tracking_id, retry_after=retry_after)
        self.status = status
        self.error_code = error_code
        self.details = dict(details or {})


class DpsBadRequestError(DpsAnswerError):
    """DPS found the request invalid (400)."""


class DpsNotFoundError(DpsAnswerError):
    """DPS knows no such record (404)."""


class DpsConflictError(DpsAnswerError):
    """The record exists and no If-Match was sent, or it was changed meanwhile (409)."""


class DpsPreconditionFailedError(DpsAnswerError):
    """The record's etag is not the one of If-Match (412)."""


class DpsThrottledError(DpsAnswerError):
    """The quota of the DPS instance is spent (429)."""


class DpsFaultError(DpsAnswerError):
    """DPS failed (5xx), or answered with something that is not its API."""


class DpsCredentialError(DpsError):
    """DPS refused the app's credential (401, 403), or no token could be had for it."""


class DpsUnreachableError(DpsError):
    """No connection to DPS was made: nothing was sent."""


class DpsReplyLostError(DpsError):
    """The connection broke before the answer was whole: whether DPS acted is unknown."""


class DpsTimeoutError(DpsError):
    """No whole answer came within the deadline: whether DPS acted is unknown."""


class BulkItemError(DpsError):
    """One record of a bulk operation that was split into several calls has no answer of DPS's."""


class NotAttemptedError(BulkItemError):
    """The record was not sent to DPS: nothing changed."""


class OutcomeUnknownError(BulkItemError):
    """The record was sent and no answer came: whether it was changed is unknown."""
