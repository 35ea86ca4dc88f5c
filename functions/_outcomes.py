"""
What an error means outside, one row each: over HTTP, for a message, and for the catalogue.

`docs/errors.md` holds the same rows for people; a test keeps the two in step.
"""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from shared.errors import (
    DeviceRefusedError,
    DocumentTooLargeError,
    DpsAnswerError,
    DpsBadRequestError,
    DpsConflictError,
    DpsCredentialError,
    DpsFaultError,
    DpsNotFoundError,
    DpsPreconditionFailedError,
    DpsRefusedError,
    DpsReplyLostError,
    DpsThrottledError,
    DpsTimeoutError,
    DpsUnreachableError,
    InvalidRequestError,
    NoHubError,
    NotAttemptedError,
    NotConfiguredError,
    OutcomeUnknownError,
    PolicyFileError,
    UnknownPolicyError,
    UnsupportedMediaTypeError,
)


class Settlement(StrEnum):
    """What becomes of a message whose handling ended in an error."""

    PARK = "park"
    """It can never succeed: kept aside with its reason."""
    RETRY = "retry"
    """Another attempt may succeed; attempts are counted."""
    RESCHEDULE = "reschedule"
    """It is not the message's fault, nor its attempt's: later, uncounted."""
    ABANDON = "abandon"
    """A bug of ours: Service Bus delivers it again and in the end dead-letters it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """
    One row.

    `code` has DPS's six digits, of which the first three are `status`; an error that carries DPS's
    own code keeps that. `retry_after` is in seconds, where the error itself knows none.
    """

    status: HTTPStatus
    code: int
    settlement: Settlement
    meaning: str
    cure: str
    retry_after: int | None = None


_PARK, _RETRY, _RESCHEDULE = Settlement.PARK, Settlement.RETRY, Settlement.RESCHEDULE

OUTCOME_OF: dict[type[Exception], Outcome] = {
    InvalidRequestError: Outcome(
        status=HTTPStatus.BAD_REQUEST,
        code=400004,
        settlement=_PARK,
        meaning="The request is not valid; `info` names every fault.",
        cure="Mend what `info` points at.",
    ),
    DocumentTooLargeError: Outcome(
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        code=413001,
        settlement=_PARK,
        meaning="A document has more than 1 MB, or a bulk operation more than 10,000 records.",
        cure="Send less at once.",
    ),
    UnsupportedMediaTypeError: Outcome(
        status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        code=415001,
        settlement=_PARK,
        meaning="The body is not said to be JSON.",
        cure="Send `Content-Type: application/json`.",
    ),
    NotConfiguredError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503001,
        settlement=_RESCHEDULE,
        meaning="Settings of the app are missing or wrong; `info` names them.",
        cure="Set them as `docs/settings.md` says, and ask `GET health/ready`.",
    ),
    PolicyFileError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503006,
        settlement=_RESCHEDULE,
        meaning="The file of allocation policies is missing or wrong; `info` names every fault.",
        cure="Mend the file, as `docs/allocation.md` says, and deploy it.",
    ),
    UnknownPolicyError: Outcome(
        status=HTTPStatus.NOT_FOUND,
        code=404001,
        settlement=_PARK,
        meaning="The address of the allocation webhook names a policy that is not declared.",
        cure="Mend the webhook URL of the enrollment, or declare the policy.",
    ),
    DeviceRefusedError: Outcome(
        status=HTTPStatus.FORBIDDEN,
        code=403001,
        settlement=_PARK,
        meaning="An allocation policy refuses the device; the message is its reason.",
        cure="If the device should be let in, change the rule that the log names.",
    ),
    NoHubError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503005,
        settlement=_RETRY,
        meaning="An allocation policy found no linked hub for the device; DPS asks again.",
        cure="Ask `POST allocation/{policy}/explain`, and link a hub that a rule names.",
    ),
    DpsBadRequestError: Outcome(
        status=HTTPStatus.BAD_REQUEST,
        code=400000,
        settlement=_PARK,
        meaning="DPS found the request invalid.",
        cure="Read DPS's message.",
    ),
    DpsNotFoundError: Outcome(
        status=HTTPStatus.NOT_FOUND,
        code=404000,
        settlement=_PARK,
        meaning="DPS knows no such record.",
        cure="Check the id, and which DPS instance the app is set to.",
    ),
    DpsConflictError: Outcome(
        status=HTTPStatus.CONFLICT,
        code=409000,
        settlement=_PARK,
        meaning="The record exists and the request names no etag, or it was just changed.",
        cure="Read the record and send its etag in `If-Match`, or `*` to overwrite it.",
    ),
    DpsPreconditionFailedError: Outcome(
        status=HTTPStatus.PRECONDITION_FAILED,
        code=412000,
        settlement=_PARK,
        meaning="The record was changed since its etag was read.",
        cure="Read the record again and decide again.",
    ),
    DpsThrottledError: Outcome(
        status=HTTPStatus.TOO_MANY_REQUESTS,
        code=429001,
        settlement=_RESCHEDULE,
        meaning="The operations a minute that DPS allows are spent.",
        cure="Wait as `Retry-After` says; send many records as one bulk operation.",
    ),
    DpsRefusedError: Outcome(
        status=HTTPStatus.BAD_GATEWAY,
        code=502004,
        settlement=_PARK,
        meaning="DPS refused the request with a status that its API does not name.",
        cure="See whether the document is too large for DPS, and `DPS_ENDPOINT` names an instance.",
    ),
    DpsFaultError: Outcome(
        status=HTTPStatus.BAD_GATEWAY,
        code=502001,
        settlement=_RETRY,
        meaning="DPS failed, or answered with something that is not its API.",
        cure="Try again; see Azure's status page, and whether `DPS_ENDPOINT` names a DPS instance.",
    ),
    DpsCredentialError: Outcome(
        status=HTTPStatus.BAD_GATEWAY,
        code=502002,
        settlement=_RESCHEDULE,
        meaning="DPS refused the credential of the app, not that of the caller.",
        cure="Check the key in `DPS_CONNECTION_STRING` and its policy's rights, or the role "
        "assignments of the app's identity.",
    ),
    DpsReplyLostError: Outcome(
        status=HTTPStatus.BAD_GATEWAY,
        code=502003,
        settlement=_RETRY,
        meaning="The connection to DPS broke before its answer; whether it acted is unknown.",
        cure="Read the record, then decide.",
    ),
    DpsUnreachableError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503002,
        settlement=_RETRY,
        meaning="No connection to DPS could be made; nothing was changed.",
        cure="Try again; check the host's name, the network, and the access rules of DPS.",
        retry_after=5,
    ),
    DpsTimeoutError: Outcome(
        status=HTTPStatus.GATEWAY_TIMEOUT,
        code=504001,
        settlement=_RETRY,
        meaning="DPS gave no answer within the deadline; whether it acted is unknown.",
        cure="Try again; after a write read the record first.",
    ),
    NotAttemptedError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503003,
        settlement=_RETRY,
        meaning="This record of a bulk operation was not sent to DPS.",
        cure="Send it again.",
    ),
    OutcomeUnknownError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503004,
        settlement=_RETRY,
        meaning="A write was sent to DPS, and whether it was done cannot be told.",
        cure="Read the record, then decide.",
    ),
}

BUG = Outcome(
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
    code=500001,
    settlement=Settlement.ABANDON,
    meaning="A fault in the app itself.",
    cure="Look up `trackingId` in the app's log, and report it.",
)


def outcome_of(error: Exception) -> Outcome:
    """The row of the nearest class; of anything unforeseen, `BUG`."""
    return next((OUTCOME_OF[kind] for kind in type(error).__mro__ if kind in OUTCOME_OF), BUG)


def code_of(error: Exception) -> int:
    """DPS's code where it stands for the same HTTP status, otherwise the row's."""
    outcome = outcome_of(error)
    own = error.error_code if isinstance(error, DpsAnswerError) else None
    return own if own and own // 1000 == outcome.status else outcome.code
