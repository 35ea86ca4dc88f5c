"""
The exception tree. `shared/error_catalog.py` maps each class to its HTTP status and disposition.

AppError
├── InvalidRequestError             the caller's request, with every fault
│   ├── DocumentTooLargeError       a document above the size limit
│   └── UnsupportedMediaTypeError   a content type other than JSON
├── RouteNotFoundError              no route has this path
├── MethodNotAllowedError           the route does not have this method
├── UnauthorizedError               SAS mode: no valid signature
├── RightMissingError               SAS mode: the policy lacks the right
├── NotConfiguredError              app settings: missing or invalid, with every fault
│   └── PolicyFileError             the allocation policy file: missing or invalid
├── QueueError                       a call to Service Bus that failed
│   ├── QueueRefusedError           the queue is missing, full, or not open to the app
│   ├── MessageTooLargeError        above the queue's size limit
│   └── QueueUnreachableError       Service Bus did not respond
├── RetriesExhaustedError           a message that failed too often
├── ResultUndeliverableError        results that no queue accepted
├── MessageNotFoundError            no rejected message has that sequence number
├── AllocationError                 a device that gets no hub
│   ├── UnknownPolicyError          the webhook URL names no policy
│   ├── DeviceRefusedError          a policy refuses the device
│   └── NoHubError                  no linked hub is left for the device
└── DpsError                        one call to DPS
    ├── DpsAnswerError              DPS responded with an error
    │   ├── DpsBadRequestError      400
    │   ├── DpsNotFoundError        404
    │   ├── DpsConflictError        409
    │   ├── DpsPreconditionFailedError   412
    │   ├── DpsThrottledError       429
    │   ├── DpsRefusedError         any other 4xx
    │   └── DpsFaultError           408, 3xx, 5xx, or an unreadable response
    ├── DpsCredentialError          401, 403, or no token: the app's credential
    ├── DpsUnreachableError         no connection
    │   └── DpsHostError            unknown host name, or untrusted certificate
    ├── DpsReplyLostError           the connection broke before the whole response
    ├── DpsTimeoutError             no response before the deadline
    ├── NoPermitError               the rate limiter gave no permit before the deadline
    ├── NotAttemptedError           an item of a bulk operation that was not sent
    └── OutcomeUnknownError         a write that was sent, with unknown outcome
        └── OverwrittenError        its record is another writer's by now
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate, islice
from typing import TypeVar

from shared.redaction import mask_unknown_names

ErrorT = TypeVar("ErrorT", bound="AppError")

MAX_FAULTS = 1000
"""The number of faults that a response lists at most."""
_MAX_DESCRIPTION = 4000  # characters


class AppError(Exception):
    """
    An expected error. `str(error)` may be shown to the caller: it has no value of a request.

    `remedy` is what to do about it, if more is known than the error catalogue says.
    """

    remedy: str | None = None


def with_remedy(error: ErrorT, remedy: str | None) -> ErrorT:
    """Returns the error with this remedy."""
    error.remedy = remedy
    return error


class InvalidRequestError(AppError):
    """
    The request can never succeed as it is.

    `faults` maps a JSON Pointer (RFC 6901) into the document, or the name of a header, parameter
    or path segment, to what is wrong there: a predicate for it. It has all faults at once. Names that
    may be misplaced keys are masked.
    """

    def __init__(
        self, faults: Mapping[str, str], message: str = "The request is not valid."
    ) -> None:
        super().__init__(message)
        self.faults = _with_masked_names(faults)

    def list_faults(self, limit: int = MAX_FAULTS) -> dict[str, str]:
        """Returns the first faults; if there are more, that of the body says how many."""
        listed = dict(islice(self.faults.items(), limit))
        if omitted := len(self.faults) - len(listed):
            fault = f"has more faults than are listed ({omitted} more)"
            listed[""] = f"{listed['']}, and {fault}" if "" in listed else fault
        return listed

    def describe(self, limit: int = MAX_FAULTS) -> str:
        """Returns the message with the first faults, as far as they fit, each as a sentence."""
        listed = islice(self.faults.items(), limit)
        # No colon: a text after the name of a key and a colon would be masked as the key.
        texts = [f"{pointer or 'The body'} {fault}" for pointer, fault in listed]
        sentences = [str(self), *(text if text.endswith("?") else f"{text}." for text in texts)]
        lengths = accumulate(len(sentence) + 1 for sentence in sentences)
        count = sum(length <= _MAX_DESCRIPTION for length in lengths)
        if omitted := len(self.faults) + 1 - count:
            sentences[count:] = [f"It has more faults than these ({omitted} more)."]
        return " ".join(sentences)


def _with_masked_names(faults: Mapping[str, str]) -> dict[str, str]:
    """Returns the faults with masked names, numbered where several are masked alike."""
    counts: Counter[str] = Counter()
    masked = {}
    for at, fault in faults.items():
        name = mask_unknown_names(at)
        counts[name] += 1
        masked[name if counts[name] == 1 else f"{name} ({counts[name]})"] = fault
    return masked


class DocumentTooLargeError(InvalidRequestError):
    """A document exceeds the size limit."""


class UnsupportedMediaTypeError(InvalidRequestError):
    """The content type is not JSON."""


class RouteNotFoundError(AppError):
    """No route has the path of the request; `nearest` are routes with a similar one."""

    def __init__(self, nearest: Sequence[str]) -> None:
        advice = f" The nearest is {' or '.join(nearest)}." if nearest else ""
        super().__init__(f"The app has no such route.{advice}")


class MethodNotAllowedError(AppError):
    """The route does not have the method of the request; it has those in `allowed`."""

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"The method must be {' or '.join(allowed)}.")
        self.allowed = allowed


class UnauthorizedError(AppError):
    """The request has no valid shared access signature."""

    def __init__(self) -> None:
        super().__init__("The request has no valid shared access signature of this app.")


class RightMissingError(AppError):
    """The shared access policy that signed the request lacks the right."""


class NotConfiguredError(AppError):
    """
    The app's settings do not allow the call.

    `faults` maps the name of a setting to what is wrong with it and what is allowed.
    """

    def __init__(self, faults: Mapping[str, str], message: str | None = None) -> None:
        super().__init__(message or f"The app is not configured: check {', '.join(faults)}.")
        self.faults = dict(faults)


class PolicyFileError(NotConfiguredError):
    """
    The allocation policy file is missing or invalid: no part of it is used.

    `faults` maps the setting, with `#` and a JSON Pointer into the file, to what is wrong there.
    """

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__(
            faults, f"The allocation policy file cannot be used; faults: {len(faults)}."
        )


class QueueError(AppError):
    """A call to Service Bus failed."""


class QueueRefusedError(QueueError):
    """The queue does not exist, is full, or does not let the app send."""


class MessageTooLargeError(QueueError):
    """The message exceeds the queue's size limit."""


class QueueUnreachableError(QueueError):
    """Service Bus did not respond in time: the message may have been sent."""


class RetriesExhaustedError(AppError):
    """A message failed `MESSAGE_MAX_ATTEMPTS` times; the text has its last error."""


class ResultUndeliverableError(AppError):
    """No queue accepted results in `MESSAGE_MAX_ATTEMPTS` attempts; the text has the last error."""


class MessageNotFoundError(AppError):
    """No rejected message has the sequence number."""

    def __init__(self, message: str = "There is no such rejected message.") -> None:
        super().__init__(message)


class AllocationError(AppError):
    """An allocation request that gets no hub."""


class UnknownPolicyError(AllocationError):
    """The webhook URL names a policy that is not in the policy file."""

    def __init__(self, message: str = "There is no such allocation policy.") -> None:
        super().__init__(message)


class DeviceRefusedError(AllocationError):
    """A policy refuses the device; the text is the policy's reason."""


class NoHubError(AllocationError):
    """No policy decides, or the hub it chose is not linked."""

    def __init__(self, message: str = "No linked hub is left for the device.") -> None:
        super().__init__(message)


class DpsError(AppError):
    """
    A call to DPS failed.

    `tracking_id` is DPS's id for support requests; `retry_after` is in seconds, if known.
    `in_doubt` is true if DPS may have applied the write: at this attempt or at an earlier one of
    the same call.
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
    DPS responded with an error.

    `error_code` is DPS's six-digit code, whose first three digits are the HTTP status, or `None` if
    the response has none; `details` is DPS's `info` member.
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
    """DPS has no such record (404)."""


class DpsConflictError(DpsAnswerError):
    """The record exists and no If-Match was sent, or another writer changed it (409)."""


class DpsPreconditionFailedError(DpsAnswerError):
    """The record's etag does not match If-Match (412)."""


class DpsThrottledError(DpsAnswerError):
    """The quota of the DPS instance is used up (429)."""


class DpsRefusedError(DpsAnswerError):
    """DPS refused the request with a 4xx status that its API does not document."""


class DpsFaultError(DpsAnswerError):
    """DPS failed (408, 5xx), or the response is not from its API (a redirect, for example)."""

    in_doubt = True


class DpsCredentialError(DpsError):
    """DPS refused the app's credential (401, 403), or no token could be acquired."""


class DpsUnreachableError(DpsError):
    """No connection to DPS was made: nothing was sent."""


class DpsHostError(DpsUnreachableError):
    """The DPS host name cannot be resolved, or its TLS certificate is not trusted."""


class DpsReplyLostError(DpsError):
    """The connection broke before the whole response: DPS may have applied the write."""

    in_doubt = True


class DpsTimeoutError(DpsError):
    """DPS did not respond before the deadline: it may have applied the write."""

    in_doubt = True


class NoPermitError(DpsError):
    """The quota did not let the call start before its deadline: nothing was sent."""


class NotAttemptedError(DpsError):
    """An item of a bulk operation was not sent to DPS: nothing was changed."""


class OutcomeUnknownError(DpsError):
    """A write was sent; neither a response nor the stored record shows whether it was applied."""

    in_doubt = True


class OverwrittenError(OutcomeUnknownError):
    """The record of a write in doubt is another writer's by now, or missing."""
