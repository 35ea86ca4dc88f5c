"""Settles a message: sends results, rejects, retries or reschedules each of its items."""

import asyncio
import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.error_catalog import Disposition, code_for, entry_for
from shared.errors import (
    DpsError,
    InvalidRequestError,
    NoPermitError,
    RetriesExhaustedError,
    SendError,
)
from shared.messaging.copies import RejectionReason, reject, scheduled_copy
from shared.messaging.messages import Message, OutgoingMessage
from shared.messaging.requests import BulkItem, EnrollmentRequest, Splitter
from shared.messaging.results import choose_reply_queue, result_message
from shared.messaging.sender import MessageSender
from shared.settings import ServiceBusSettings

_LOG = logging.getLogger(__name__)

# Seconds before the next counted attempt, doubled each time.
_FIRST_DELAY, _MAX_DELAY = 30.0, 3600.0
# Seconds before an uncounted attempt, unless its error says longer.
_UNCOUNTED_DELAY = 30.0
# The rest of a bulk message fills at least one bulk call.
_MIN_REST_SIZE = 10
# Items with these errors do not show how many items fit into the time of one delivery.
_NOT_STARTED_ERRORS = (InvalidRequestError, NoPermitError)
_REPORTED: set[Disposition | None] = {None, Disposition.REJECT}


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemResult:
    """
    The outcome of one item of a message: applied, or an `error`.

    `request` is `None` if the message could not be read.
    """

    request: EnrollmentRequest | BulkItem | None
    etag: str | None = None
    call_id: str | None = None
    error: Exception | None = None

    @property
    def disposition(self) -> Disposition | None:
        """How the item is settled; `None` if it was applied."""
        return entry_for(self.error).disposition if self.error else None

    @property
    def position(self) -> int:
        """The position of the item in its message."""
        return self.request.position if isinstance(self.request, BulkItem) else 0

    @property
    def record_key(self) -> str | None:
        """The `BulkItem.record_key`; `None` for the only item of a message."""
        return self.request.record_key if isinstance(self.request, BulkItem) else None

    @property
    def tracking_id(self) -> str | None:
        """DPS's tracking id of the error, if it has one; of several attempts, the last one's."""
        error: BaseException | None = self.error
        if isinstance(error, RetriesExhaustedError):
            error = error.__cause__
        return error.tracking_id if isinstance(error, DpsError) else None


ItemResults = Sequence[ItemResult]


def will_retry(settings: ServiceBusSettings, message: Message, error: Exception) -> bool:
    """Returns whether an item with this error is sent again, as part of a copy of the message."""
    disposition = entry_for(error).disposition
    is_last = message.attempt >= settings.message_max_attempts
    return disposition is Disposition.RESCHEDULE or (
        disposition is Disposition.RETRY and not is_last
    )


@dataclass(frozen=True, slots=True)
class Settlement:
    """
    The settlement of one message; `results` has every item.

    `split` is called for copies that do not have all items.
    """

    settings: ServiceBusSettings
    sender: MessageSender
    message: Message
    results: ItemResults
    split: Splitter

    async def settle(self) -> None:
        """
        Sends the copies and results, after which the message can be completed.

        Raises the error if every item failed with an internal error, and `SendError` if a copy
        could not be sent: the message must then not be completed.
        """
        results = _keep_record_order([self._with_attempts_exhausted(r) for r in self.results])
        groups: dict[Disposition | None, list[ItemResult]] = {}
        for result in results:
            groups.setdefault(result.disposition, []).append(result)
        internal_errors = groups.get(Disposition.ABANDON, [])
        if internal_errors and len(internal_errors) == len(results):
            raise internal_errors[0].error or RuntimeError
        copies = [
            *self._retry_copy(groups.get(Disposition.RETRY, [])),
            *self._rescheduled_copies(groups.get(Disposition.RESCHEDULE, [])),
            # One copy each: if Service Bus dead-letters it in the end, no other item is lost.
            *(copy for result in internal_errors for copy in self._rescheduled_copies([result])),
        ]
        await asyncio.gather(
            self.sender.send(self.message.queue, *copies),
            *(self._reject(result) for result in groups.get(Disposition.REJECT, [])),
        )
        await self._send_results([result for result in results if result.disposition in _REPORTED])

    def _with_attempts_exhausted(self, result: ItemResult) -> ItemResult:
        """Returns the result with `RetriesExhaustedError` if it was the last attempt."""
        last = result.error
        if not last or result.disposition is not Disposition.RETRY:
            return result
        if will_retry(self.settings, self.message, last):
            return result
        exhausted = RetriesExhaustedError(f"Too many attempts; the last error: {last}")
        exhausted.__cause__ = last
        return replace(result, error=exhausted)

    def _body(self, results: ItemResults) -> bytes | None:
        """Returns the body with these items; `None`, for the original body, if they are all."""
        if len(results) == len(self.results):
            return None
        return self.split([result.position for result in results])

    def _retry_copy(self, results: ItemResults) -> Iterator[OutgoingMessage]:
        """Yields the copy for the next counted attempt, if there are items for it."""
        if not results:
            return
        attempt = self.message.attempt
        delay = min(_FIRST_DELAY * 2 ** min(attempt - 1, 20), _MAX_DELAY)
        yield self._copy(results, delay * _jitter(), attempt + 1)

    def _rescheduled_copies(self, results: ItemResults) -> Iterator[OutgoingMessage]:
        """
        Yields the copies for uncounted attempts.

        If only the time of this delivery was too short, they are smaller and due at once.
        """
        started = sum(not isinstance(r.error, _NOT_STARTED_ERRORS) for r in self.results)
        if started and all(isinstance(result.error, NoPermitError) for result in results):
            # Changes of one record in separate copies could overtake each other.
            size = len(results) if _has_repeated_record(results) else max(_MIN_REST_SIZE, started)
            delay = 0.0
        else:
            size, delay = len(results), max(map(_uncounted_delay, results), default=0.0) * _jitter()
        for first in range(0, len(results), size or 1):
            yield self._copy(results[first : first + size], delay, self.message.attempt)

    def _copy(self, results: ItemResults, delay: float, attempt: int) -> OutgoingMessage:
        return scheduled_copy(
            self.message,
            delay=timedelta(seconds=delay),
            attempt=attempt,
            body=self._body(results),
        )

    async def _reject(self, result: ItemResult) -> None:
        error = result.error or RuntimeError()
        reason = RejectionReason(
            reason=entry_for(error).reason,
            description=_describe(error, result.request),
            error_code=code_for(error),
            tracking_id=result.tracking_id,
        )
        queue = self.settings.enrollment_rejected_queue
        await reject(self.sender, queue, self.message, reason, body=self._body([result]))

    async def _send_results(self, results: ItemResults) -> None:
        """Sends results; a failure is only logged, because no operation may be repeated for it."""
        reply = choose_reply_queue(self.message, self.settings)
        if reply.is_redirected:
            _LOG.warning(
                "reply_to of message %r is not one of ENROLLMENT_REPLY_QUEUES",
                self.message.original_id,
            )
        messages = [self._result_message(result) for result in results]
        for queue in dict.fromkeys((reply.queue, self.settings.enrollment_results_queue)):
            if queue is None or await self._try_send(queue, messages):
                return

    async def _try_send(self, queue: str, messages: Sequence[OutgoingMessage]) -> bool:
        try:
            await self.sender.send(queue, *messages)
        except SendError as error:
            _LOG.warning("%s results not sent to %s: %s", len(messages), queue, error)
            return False
        return True

    def _result_message(self, result: ItemResult) -> OutgoingMessage:
        error = result.error
        return result_message(
            self.message,
            result.request,
            etag=result.etag,
            error_code=code_for(error) if error else None,
            text=str(error) if error else None,
            tracking_id=result.tracking_id,
            faults=error.faults if isinstance(error, InvalidRequestError) else None,
        )


def _keep_record_order(results: ItemResults) -> ItemResults:
    """Retries an item together with a retried item of its record: it must not overtake that."""
    retried = {r.record_key: r.error for r in results if r.disposition is Disposition.RETRY}
    retried.pop(None, None)
    return [
        replace(result, error=retried[result.record_key])
        if result.disposition is Disposition.RESCHEDULE and result.record_key in retried
        else result
        for result in results
    ]


def _has_repeated_record(results: ItemResults) -> bool:
    keys = [result.record_key for result in results]
    return len(set(keys)) < len(keys)


def _uncounted_delay(result: ItemResult) -> float:
    seconds = result.error.retry_after if isinstance(result.error, DpsError) else None
    return min(max(seconds or 0.0, _UNCOUNTED_DELAY), _MAX_DELAY)


def _jitter() -> float:
    """Returns a random factor: messages that failed together must not return together."""
    return random.uniform(1.0, 1.5)  # noqa: S311  not a secret


def _describe(error: Exception, request: EnrollmentRequest | BulkItem | None) -> str:
    """Returns the error with its faults, by JSON Pointer into the body of the rejected copy."""
    faults = error.faults if isinstance(error, InvalidRequestError) else {}
    if isinstance(request, BulkItem):
        # The rejected copy has only this item.
        old, new = (f"/{request.kind.path}/{position}" for position in (request.position, 0))
        faults = {pointer.replace(old, new, 1): fault for pointer, fault in faults.items()}
    # No colon: a text after the name of a key and a colon would be masked as the key.
    texts = (f"{pointer or 'The body'} {fault};" for pointer, fault in faults.items())
    return " ".join([str(error), *texts])
