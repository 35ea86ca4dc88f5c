"""
The error catalogue: for each error its HTTP status, code, reason, message disposition and remedy.

`docs/errors.md` has the same rows; a test compares the two.
"""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from shared import errors


class Disposition(StrEnum):
    """How a message is settled when an operation of it failed."""

    REJECT = "reject"
    """The operation can never succeed: a copy goes to the rejected queue with the reason."""
    POSTPONE = "postpone"
    """Another attempt may succeed: a copy is scheduled; the attempt is counted."""
    POSTPONE_UNCOUNTED = "postpone, uncounted"
    """Neither the message nor the attempt is at fault: a copy is scheduled; it is not counted."""
    ABANDON = "abandon"
    """An internal error: Service Bus redelivers the message and in the end dead-letters it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorEntry:
    """
    One row.

    `code` has six digits like DPS's, the first three being the HTTP status; an error that carries
    DPS's own code keeps it. `reason` is the text of `reason` in rejected messages. `retry_after` is
    the default in seconds for an error that does not say.
    """

    code: int
    reason: str
    disposition: Disposition
    meaning: str
    remedy: str
    retry_after: int | None = None

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status of the response."""
        return HTTPStatus(self.code // 1000)


ERROR_CATALOG: dict[type[Exception], ErrorEntry] = {
    errors.InvalidRequestError: ErrorEntry(
        code=400004,
        reason="InvalidRequest",
        disposition=Disposition.REJECT,
        meaning="The request is not valid; `info` names every fault.",
        remedy="Correct what `info` points at.",
    ),
    errors.DocumentTooLargeError: ErrorEntry(
        code=413001,
        reason="DocumentTooLarge",
        disposition=Disposition.REJECT,
        meaning="A document exceeds 1 MB or 100,000 values, or a bulk operation exceeds 10,000 records, "
        "32 MB or 1,000,000 values.",
        remedy="Split the request.",
    ),
    errors.UnsupportedMediaTypeError: ErrorEntry(
        code=415001,
        reason="UnsupportedMediaType",
        disposition=Disposition.REJECT,
        meaning="The content type is not JSON.",
        remedy="Send `Content-Type: application/json`.",
    ),
    errors.RouteNotFoundError: ErrorEntry(
        code=404003,
        reason="RouteNotFound",
        disposition=Disposition.REJECT,
        meaning="No route has the path of the request; the message names the nearest.",
        remedy="Correct the path: `GET openapi.json` lists all.",
    ),
    errors.MethodNotAllowedError: ErrorEntry(
        code=405001,
        reason="MethodNotAllowed",
        disposition=Disposition.REJECT,
        meaning="The route does not have the method of the request; the header `Allow` lists those "
        "that it has.",
        remedy="Correct the method: `GET openapi.json` lists all.",
    ),
    errors.UnauthorizedError: ErrorEntry(
        code=401002,
        reason="Unauthorized",
        disposition=Disposition.REJECT,
        meaning="In SAS mode: the request has no valid shared access signature.",
        remedy="Sign with a key of `SHARED_ACCESS_POLICIES`, for this host, and check the clock; "
        "`docs/clients.md` has the rules.",
    ),
    errors.RightMissingError: ErrorEntry(
        code=403002,
        reason="RightMissing",
        disposition=Disposition.REJECT,
        meaning="In SAS mode: the shared access policy lacks the right that the message names.",
        remedy="Use another policy, or add the right in `SHARED_ACCESS_POLICIES`.",
    ),
    errors.NotConfiguredError: ErrorEntry(
        code=503001,
        reason="NotConfigured",
        disposition=Disposition.POSTPONE_UNCOUNTED,
        meaning="Settings of the app are missing or invalid; `info` names them.",
        remedy="Set them as described in `docs/settings.md`, then check `GET health/ready`.",
    ),
    errors.PolicyFileError: ErrorEntry(
        code=503006,
        reason="PolicyFile",
        disposition=Disposition.POSTPONE_UNCOUNTED,
        meaning="The allocation policy file is missing or invalid; `info` names every fault.",
        remedy="Correct the file as described in `docs/allocation.md` and deploy it.",
    ),
    errors.UnknownPolicyError: ErrorEntry(
        code=404001,
        reason="UnknownPolicy",
        disposition=Disposition.REJECT,
        meaning="The allocation webhook URL names a policy that is not in the policy file.",
        remedy="Correct the webhook URL of the enrollment, or add the policy.",
    ),
    errors.DeviceRefusedError: ErrorEntry(
        code=403001,
        reason="DeviceRefused",
        disposition=Disposition.REJECT,
        meaning="An allocation policy refuses the device; the message is the policy's reason.",
        remedy="If the device should be accepted, change the rule that the log names.",
    ),
    errors.NoHubError: ErrorEntry(
        code=503005,
        reason="NoHub",
        disposition=Disposition.POSTPONE,
        meaning="An allocation policy found no linked hub for the device; DPS retries.",
        remedy="Call `POST allocation/{policy}/explain`, then link a hub that a rule names, and allow it in "
        "the enrollment.",
    ),
    errors.QueueRefusedError: ErrorEntry(
        code=502005,
        reason="QueueRefused",
        disposition=Disposition.ABANDON,
        meaning="Service Bus refused the app: the queue does not exist, is full, or the app may "
        "not send to it or receive from it.",
        remedy="Create the queue, make room in it, or grant the app the missing right.",
    ),
    errors.MessageTooLargeError: ErrorEntry(
        code=413002,
        reason="MessageTooLarge",
        disposition=Disposition.ABANDON,
        meaning="A message exceeds the size limit of its queue.",
        remedy="Send fewer records per message; a rejected message that is too large is in the "
        "dead-letter queue.",
    ),
    errors.QueueUnreachableError: ErrorEntry(
        code=503008,
        reason="QueueUnreachable",
        disposition=Disposition.ABANDON,
        meaning="Service Bus did not respond in time, or another replay or discard is running.",
        remedy="Retry; if it persists, check the namespace and the network.",
        retry_after=5,
    ),
    errors.RetriesExhaustedError: ErrorEntry(
        code=503009,
        reason="RetriesExhausted",
        disposition=Disposition.REJECT,
        meaning="A message failed `MESSAGE_MAX_ATTEMPTS` times; the description is its last error.",
        remedy="Correct the cause of the last error, then replay the message.",
    ),
    errors.ResultUndeliverableError: ErrorEntry(
        code=502006,
        reason="ResultUndeliverable",
        disposition=Disposition.REJECT,
        meaning="A request ended, and no queue accepted its result in `MESSAGE_MAX_ATTEMPTS` attempts.",
        remedy="Correct the cause of the last error, then replay the message: the result is sent, and "
        "the operation is not repeated.",
    ),
    errors.MessageNotFoundError: ErrorEntry(
        code=404002,
        reason="MessageNotFound",
        disposition=Disposition.REJECT,
        meaning="No rejected message has this sequence number.",
        remedy="Call `GET rejected`; the message may have been replayed or discarded meanwhile.",
    ),
    errors.DpsBadRequestError: ErrorEntry(
        code=400000,
        reason="DpsBadRequest",
        disposition=Disposition.REJECT,
        meaning="DPS found the request invalid.",
        remedy="Read DPS's message.",
    ),
    errors.DpsNotFoundError: ErrorEntry(
        code=404000,
        reason="DpsNotFound",
        disposition=Disposition.REJECT,
        meaning="DPS has no such record.",
        remedy="Check the id, and which DPS instance the app uses.",
    ),
    errors.DpsConflictError: ErrorEntry(
        code=409000,
        reason="DpsConflict",
        disposition=Disposition.REJECT,
        meaning="The record exists and the request has no etag, or another writer changed it.",
        remedy="Read the record and send its etag in `If-Match`, or `*` to overwrite it.",
    ),
    errors.DpsPreconditionFailedError: ErrorEntry(
        code=412000,
        reason="DpsPreconditionFailed",
        disposition=Disposition.REJECT,
        meaning="The record was changed since its etag was read.",
        remedy="Read the record again and decide again.",
    ),
    errors.DpsThrottledError: ErrorEntry(
        code=429001,
        reason="DpsThrottled",
        disposition=Disposition.POSTPONE_UNCOUNTED,
        meaning="The DPS quota of operations per minute is used up.",
        remedy="Wait as long as `Retry-After` says; send many records as one bulk operation.",
    ),
    errors.DpsRefusedError: ErrorEntry(
        code=502004,
        reason="DpsRefused",
        disposition=Disposition.REJECT,
        meaning="DPS refused the request with a status that its API does not document.",
        remedy="Check the size of the document, and that `DPS_ENDPOINT` is a DPS instance.",
    ),
    errors.DpsFaultError: ErrorEntry(
        code=502001,
        reason="DpsFault",
        disposition=Disposition.POSTPONE,
        meaning="DPS failed, or the response is not from its API.",
        remedy="Retry; check Azure's status page, and that `DPS_ENDPOINT` is a DPS instance.",
    ),
    errors.DpsCredentialError: ErrorEntry(
        code=502002,
        reason="DpsCredential",
        disposition=Disposition.POSTPONE_UNCOUNTED,
        meaning="DPS refused the app's credential, not the caller's.",
        remedy="Check the key in `DPS_CONNECTION_STRING` and its policy's rights, or the role "
        "assignments of the app's identity.",
    ),
    errors.DpsReplyLostError: ErrorEntry(
        code=502003,
        reason="DpsReplyLost",
        disposition=Disposition.POSTPONE,
        meaning="The connection to DPS broke before the response; DPS may have applied the write.",
        remedy="Read the record, then decide.",
    ),
    errors.DpsUnreachableError: ErrorEntry(
        code=503002,
        reason="DpsUnreachable",
        disposition=Disposition.POSTPONE,
        meaning="No connection to DPS could be made; nothing was changed.",
        remedy="Retry; check the host name, the network, and the access rules of DPS.",
        retry_after=5,
    ),
    errors.DpsHostError: ErrorEntry(
        code=503010,
        reason="DpsHost",
        disposition=Disposition.POSTPONE_UNCOUNTED,
        meaning="The DPS host name cannot be resolved, or its TLS certificate is not trusted; "
        "nothing was changed.",
        remedy="Check the host in `DPS_ENDPOINT` or `DPS_CONNECTION_STRING`, name resolution, and "
        "the certificates that the app trusts.",
        retry_after=5,
    ),
    errors.DpsTimeoutError: ErrorEntry(
        code=504001,
        reason="DpsTimeout",
        disposition=Disposition.POSTPONE,
        meaning="DPS did not respond before the deadline; it may have applied the write.",
        remedy="Retry; after a write read the record first.",
    ),
    errors.NotAttemptedError: ErrorEntry(
        code=503003,
        reason="NotAttempted",
        disposition=Disposition.POSTPONE_UNCOUNTED,
        meaning="This record of a bulk operation was not sent to DPS.",
        remedy="Send it again.",
    ),
    errors.OutcomeUnknownError: ErrorEntry(
        code=503004,
        reason="OutcomeUnknown",
        disposition=Disposition.POSTPONE,
        meaning="A write was sent to DPS, and whether it was applied is unknown.",
        remedy="Read the record, then decide.",
    ),
    errors.OverwrittenError: ErrorEntry(
        code=503004,
        reason="OutcomeUnknown",
        disposition=Disposition.REJECT,
        meaning="A write was sent to DPS, and whether it was applied is unknown: the record is "
        "another writer's by now, or missing.",
        remedy="Read the record, then decide.",
    ),
    errors.NoPermitError: ErrorEntry(
        code=503007,
        reason="PacedOut",
        disposition=Disposition.POSTPONE_UNCOUNTED,
        meaning="The call could not start before its deadline: the DPS quota is used up, or other "
        "calls come first. Nothing was sent.",
        remedy="Wait as long as `Retry-After` says; send many records as one bulk operation.",
        retry_after=10,
    ),
}

INTERNAL_ERROR = ErrorEntry(
    code=500001,
    reason="Bug",
    disposition=Disposition.ABANDON,
    meaning="An internal error of the app.",
    remedy="Look up `trackingId` in the app's log, and report it.",
)


def entry_for(error: Exception) -> ErrorEntry:
    """Returns the row of the error's nearest class, or `INTERNAL_ERROR`."""
    rows = (ERROR_CATALOG[kind] for kind in type(error).__mro__ if kind in ERROR_CATALOG)
    return next(rows, INTERNAL_ERROR)


def code_for(error: Exception) -> int:
    """Returns DPS's own code if it has the row's HTTP status, else the row's code."""
    entry = entry_for(error)
    own = error.error_code if isinstance(error, errors.DpsAnswerError) else None
    return own if own and own // 1000 == entry.status else entry.code
