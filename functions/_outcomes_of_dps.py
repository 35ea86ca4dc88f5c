"""What the errors of a call to DPS mean outside, one row each."""

from http import HTTPStatus

from functions._outcome import Outcome, Settlement
from shared.errors import (
    DpsBadRequestError,
    DpsConflictError,
    DpsCredentialError,
    DpsFaultError,
    DpsHostError,
    DpsNotFoundError,
    DpsPreconditionFailedError,
    DpsRefusedError,
    DpsReplyLostError,
    DpsThrottledError,
    DpsTimeoutError,
    DpsUnreachableError,
    NotAttemptedError,
    OutcomeUnknownError,
    PacedOutError,
)

OUTCOMES_OF_DPS: dict[type[Exception], Outcome] = {
    DpsBadRequestError: Outcome(
        status=HTTPStatus.BAD_REQUEST,
        code=400000,
        settlement=Settlement.PARK,
        meaning="DPS found the request invalid.",
        cure="Read DPS's message.",
    ),
    DpsNotFoundError: Outcome(
        status=HTTPStatus.NOT_FOUND,
        code=404000,
        settlement=Settlement.PARK,
        meaning="DPS knows no such record.",
        cure="Check the id, and which DPS instance the app is set to.",
    ),
    DpsConflictError: Outcome(
        status=HTTPStatus.CONFLICT,
        code=409000,
        settlement=Settlement.PARK,
        meaning="The record exists and the request names no etag, or it was just changed.",
        cure="Read the record and send its etag in `If-Match`, or `*` to overwrite it.",
    ),
    DpsPreconditionFailedError: Outcome(
        status=HTTPStatus.PRECONDITION_FAILED,
        code=412000,
        settlement=Settlement.PARK,
        meaning="The record was changed since its etag was read.",
        cure="Read the record again and decide again.",
    ),
    DpsThrottledError: Outcome(
        status=HTTPStatus.TOO_MANY_REQUESTS,
        code=429001,
        settlement=Settlement.RESCHEDULE,
        meaning="The operations a minute that DPS allows are spent.",
        cure="Wait as `Retry-After` says; send many records as one bulk operation.",
    ),
    DpsRefusedError: Outcome(
        status=HTTPStatus.BAD_GATEWAY,
        code=502004,
        settlement=Settlement.PARK,
        meaning="DPS refused the request with a status that its API does not name.",
        cure="See whether the document is too large for DPS, and `DPS_ENDPOINT` names an instance.",
    ),
    DpsFaultError: Outcome(
        status=HTTPStatus.BAD_GATEWAY,
        code=502001,
        settlement=Settlement.RETRY,
        meaning="DPS failed, or answered with something that is not its API.",
        cure="Try again; see Azure's status page, and whether `DPS_ENDPOINT` names a DPS instance.",
    ),
    DpsCredentialError: Outcome(
        status=HTTPStatus.BAD_GATEWAY,
        code=502002,
        settlement=Settlement.RESCHEDULE,
        meaning="DPS refused the credential of the app, not that of the caller.",
        cure="Check the key in `DPS_CONNECTION_STRING` and its policy's rights, or the role "
        "assignments of the app's identity.",
    ),
    DpsReplyLostError: Outcome(
        status=HTTPStatus.BAD_GATEWAY,
        code=502003,
        settlement=Settlement.RETRY,
        meaning="The connection to DPS broke before its answer; whether it acted is unknown.",
        cure="Read the record, then decide.",
    ),
    DpsUnreachableError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503002,
        settlement=Settlement.RETRY,
        meaning="No connection to DPS could be made; nothing was changed.",
        cure="Try again; check the host's name, the network, and the access rules of DPS.",
        retry_after=5,
    ),
    DpsHostError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503010,
        settlement=Settlement.RESCHEDULE,
        meaning="The host of DPS is not known, or cannot prove who it is; nothing was changed.",
        cure="Check the host in `DPS_ENDPOINT` or `DPS_CONNECTION_STRING`, name resolution, and the "
        "certificates that the app trusts.",
        retry_after=5,
    ),
    DpsTimeoutError: Outcome(
        status=HTTPStatus.GATEWAY_TIMEOUT,
        code=504001,
        settlement=Settlement.RETRY,
        meaning="DPS gave no answer within the deadline; whether it acted is unknown.",
        cure="Try again; after a write read the record first.",
    ),
    NotAttemptedError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503003,
        settlement=Settlement.RESCHEDULE,
        meaning="This record of a bulk operation was not sent to DPS.",
        cure="Send it again.",
    ),
    OutcomeUnknownError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503004,
        settlement=Settlement.RETRY,
        meaning="A write was sent to DPS, and whether it was done cannot be told.",
        cure="Read the record, then decide.",
    ),
    PacedOutError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503007,
        settlement=Settlement.RESCHEDULE,
        meaning="The operations a minute that DPS allows leave the call no turn in its time; "
        "nothing was sent.",
        cure="Wait as `Retry-After` says; send many records as one bulk operation.",
        retry_after=10,
    ),
}
