"""
What an error means outside, one row each: over HTTP, for a message, and for the catalogue.

`docs/errors.md` holds the same rows for people; a test keeps the two in step.
"""

from http import HTTPStatus

from functions._outcome import Outcome, Settlement
from functions._outcomes_of_dps import OUTCOMES_OF_DPS
from shared.errors import (
    DeviceRefusedError,
    DocumentTooLargeError,
    DpsAnswerError,
    InvalidRequestError,
    MessageNotFoundError,
    MessageTooLargeError,
    NoHubError,
    NotConfiguredError,
    PolicyFileError,
    QueueRefusedError,
    QueueUnreachableError,
    RetriesExhaustedError,
    UnknownPolicyError,
    UnsupportedMediaTypeError,
)

OUTCOME_OF: dict[type[Exception], Outcome] = {
    InvalidRequestError: Outcome(
        status=HTTPStatus.BAD_REQUEST,
        code=400004,
        settlement=Settlement.PARK,
        meaning="The request is not valid; `info` names every fault.",
        cure="Mend what `info` points at.",
    ),
    DocumentTooLargeError: Outcome(
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        code=413001,
        settlement=Settlement.PARK,
        meaning="A document has more than 1 MB, or a bulk operation more than 10,000 records.",
        cure="Send less at once.",
    ),
    UnsupportedMediaTypeError: Outcome(
        status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        code=415001,
        settlement=Settlement.PARK,
        meaning="The body is not said to be JSON.",
        cure="Send `Content-Type: application/json`.",
    ),
    NotConfiguredError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503001,
        settlement=Settlement.RESCHEDULE,
        meaning="Settings of the app are missing or wrong; `info` names them.",
        cure="Set them as `docs/settings.md` says, and ask `GET health/ready`.",
    ),
    PolicyFileError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503006,
        settlement=Settlement.RESCHEDULE,
        meaning="The file of allocation policies is missing or wrong; `info` names every fault.",
        cure="Mend the file, as `docs/allocation.md` says, and deploy it.",
    ),
    UnknownPolicyError: Outcome(
        status=HTTPStatus.NOT_FOUND,
        code=404001,
        settlement=Settlement.PARK,
        meaning="The address of the allocation webhook names a policy that is not declared.",
        cure="Mend the webhook URL of the enrollment, or declare the policy.",
    ),
    DeviceRefusedError: Outcome(
        status=HTTPStatus.FORBIDDEN,
        code=403001,
        settlement=Settlement.PARK,
        meaning="An allocation policy refuses the device; the message is its reason.",
        cure="If the device should be let in, change the rule that the log names.",
    ),
    NoHubError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503005,
        settlement=Settlement.RETRY,
        meaning="An allocation policy found no linked hub for the device; DPS asks again.",
        cure="Ask `POST allocation/{policy}/explain`, and link a hub that a rule names.",
    ),
    QueueRefusedError: Outcome(
        status=HTTPStatus.BAD_GATEWAY,
        code=502005,
        settlement=Settlement.ABANDON,
        meaning="Service Bus refused a message of the app: the queue is not there, is full, or the "
        "app may not send to it.",
        cure="Create the queue, make room in it, or give the app the right to send.",
    ),
    MessageTooLargeError: Outcome(
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        code=413002,
        settlement=Settlement.ABANDON,
        meaning="A message has more than its queue takes.",
        cure="Send less at once; a rejected message that is too large is in the dead-letter queue.",
    ),
    QueueUnreachableError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503008,
        settlement=Settlement.ABANDON,
        meaning="Service Bus did not answer in time.",
        cure="Try again; check the namespace and the network.",
        retry_after=5,
    ),
    RetriesExhaustedError: Outcome(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        code=503009,
        settlement=Settlement.PARK,
        meaning="A message was tried as often as `MESSAGE_MAX_ATTEMPTS` says; the description is "
        "its last error.",
        cure="Mend what the last error names, then replay the message.",
    ),
    MessageNotFoundError: Outcome(
        status=HTTPStatus.NOT_FOUND,
        code=404002,
        settlement=Settlement.PARK,
        meaning="No rejected message has this sequence number.",
        cure="Ask `GET rejected`; somebody else may have replayed or discarded it.",
    ),
    **OUTCOMES_OF_DPS,
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


def reason_of(error: Exception) -> str:
    """The name of the row, as rejected messages and the catalogue have it."""
    kind = next((kind for kind in type(error).__mro__ if kind in OUTCOME_OF), None)
    return kind.__name__.removesuffix("Error") if kind else "Bug"


def code_of(error: Exception) -> int:
    """DPS's code where it stands for the same HTTP status, otherwise the row's."""
    outcome = outcome_of(error)
    own = error.error_code if isinstance(error, DpsAnswerError) else None
    return own if own and own // 1000 == outcome.status else outcome.code
