"""
What can go wrong, as one tree. What each means outside stands in `functions/_outcomes.py`.

AppError
├── InvalidRequestError             the caller's request, every fault of it
│   ├── DocumentTooLargeError       one document over the limit
│   └── UnsupportedMediaTypeError   a body that does not claim to be JSON
├── NotConfiguredError              our settings: missing or wrong, each with its cure
│   └── PolicyFileError             the allocation policies: missing or wrong, every fault
├── SendError                       a message that did not come into its queue
│   ├── QueueRefusedError           the queue is not there, is full, or not ours to send to
│   ├── MessageTooLargeError        it has more than the queue takes
│   └── QueueUnreachableError       nothing answered for the queue
├── RetriesExhaustedError           a message that was tried too often
├── MessageNotFoundError            no rejected message has that number
├── AllocationError                 a device that is not told its hub
│   ├── UnknownPolicyError          the webhook's address names no policy
│   ├── DeviceRefusedError          a policy refuses the device
│   └── NoHubError                  no hub that DPS accepts is left for it
└── DpsError                        one call to DPS
    ├── DpsAnswerError              DPS answered, and not with what was asked
    │   ├── DpsBadRequestError      400
    │   ├── DpsNotFoundError        404
    │   ├── DpsConflictError        409
    │   ├── DpsPreconditionFailedError   412
    │   ├── DpsThrottledError       429
    │   ├── DpsRefusedError         any other 4xx
    │   └── DpsFaultError           408, 3xx, 5xx, or an answer nobody can read
    ├── DpsCredentialError          401, 403, or no token to be had: our credential
    ├── DpsUnreachableError         no connection was made
    │   └── DpsHostError            no such host, or not the one it should be
    ├── DpsReplyLostError           the connection broke before the answer was whole
    ├── DpsTimeoutError             no answer within the deadline
    ├── PacedOutError               its turn would come too late: nothing was sent
    ├── NotAttemptedError           a record of a bulk operation that was not sent
    └── OutcomeUnknownError         it was sent, and whether it was done cannot be told
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

    def __init__(self, faults: Mapping[str, str], message: str | None = None) -> None:
        super().__init__(message or f"The app is not configured: see {', '.join(faults)}.")
        self.faults = dict(faults)


class PolicyFileError(NotConfiguredError):
    """
    The file of allocation policies is missing or wrong: none of it is used.

    `faults` maps the setting, with `#` and a JSON Pointer into the file, to what is wrong there.
    """

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__(faults, f"The allocation policies cannot be used; faults: {len(faults)}.")


class SendError(AppError):
    """A message was not put into its queue."""


class QueueRefusedError(SendError):
    """The queue is not there, is full, or does not let the app send."""


class MessageTooLargeError(SendError):
    """The message has more than the queue takes."""


class QueueUnreachableError(SendError):
    """Service Bus did not answer in time: whether the message came into its queue is unknown."""


class RetriesExhaustedError(AppError):
    """A message was tried as often as `MESSAGE_MAX_ATTEMPTS` says; its last error is the message."""


class MessageNotFoundError(AppError):
    """No rejected message has the sequence number that was asked for."""

    def __init__(self, message: str = "There is no such rejected message.") -> None:
        super().__init__(message)


class AllocationError(AppError):
    """A device that asks for its hub, through DPS, is not told one."""


class UnknownPolicyError(AllocationError):
    """The address of the webhook names a policy that is not declared."""

    def __init__(self, message: str = "There is no such allocation policy.") -> None:
        super().__init__(message)


class DeviceRefusedError(AllocationError):
    """A policy refuses the device; its reason is the message."""


class NoHubError(AllocationError):
    """No policy decides, or what it decides is no hub that DPS accepts: never a wrong hub."""

    def __init__(self, message: str = "No linked hub is left for the device.") -> None:
        super().__init__(message)


class DpsError(AppError):
    """
    A call to DPS did not do what was asked.

    `tracking_id` is DPS's own, for a support request; `retry_after` is in seconds, when known.
    `in_doubt` says that DPS may have acted all the same: at this attempt, or at an earlier one of
    the call.
    """

    in_doubt = False

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


class DpsRefusedError(DpsAnswerError):
    """DPS refused the request with a status its API does not name."""


class DpsFaultError(DpsAnswerError):
    """DPS failed (408, 5xx), or answered with something that is not its API (a redirect, say)."""

    in_doubt = True


class DpsCredentialError(DpsError):
    """DPS refused the app's credential (401, 403), or no token could be had for it."""


class DpsUnreachableError(DpsError):
    """No connection to DPS was made: nothing was sent."""


class DpsHostError(DpsUnreachableError):
    """No name server knows the host of DPS, or it has no certificate that the app trusts."""


class DpsReplyLostError(DpsError):
    """The connection broke before the answer was whole: whether DPS acted is unknown."""

    in_doubt = True


class DpsTimeoutError(DpsError):
    """No whole answer came within the deadline: whether DPS acted is unknown."""

    in_doubt = True


class PacedOutError(DpsError):
    """The quota of DPS leaves no turn for the call within its time: nothing was sent."""


class NotAttemptedError(DpsError):
    """A record of a bulk operation was not sent to DPS: nothing changed."""


class OutcomeUnknownError(DpsError):
    """A write was sent, and neither an answer nor the record tells whether it was done."""

    in_doubt = True
