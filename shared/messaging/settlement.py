"""Settles a message: sends a result, rejects or postpones each of its items."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.dps.batching.items import ItemResult, RequestItem
from shared.error_catalog import Disposition, entry_for
from shared.errors import DpsError, InvalidRequestError, NoPermitError, RetriesExhaustedError
from shared.messaging.copies import (
    MAX_DELAY,
    Part,
    RejectionReason,
    delay_after,
    jittered,
    reject,
    scheduled_copy,
)
from shared.messaging.messages import Message, OutgoingMessage
from shared.messaging.result_delivery import ResultDelivery
from shared.messaging.results import result_of
from shared.messaging.sender import MessageSender
from shared.settings import ServiceBusSettings

# Seconds before an uncounted attempt, unless its error says longer.
_UNCOUNTED_DELAY = 30.0
# The rest of a bulk message fills at least one bulk call.
_MIN_REST_SIZE = 10
# Items with these errors do not show how many items fit into the time of one delivery.
_NOT_STARTED_ERRORS = (InvalidRequestError, NoPermitError)
_REPORTED: set[Disposition | None] = {None, Disposition.REJECT}


ItemResults = Sequence[ItemResult]
PartialBody = Callable[[Iterable[RequestItem]], bytes]
"""Returns the body of a message with only these of its items."""


def disposition_of(result: ItemResult) -> Disposition | None:
    """Returns how the item is settled; `None` if it was applied."""
    return entry_for(result.error).disposition if result.error else None


def will_postpone(settings: ServiceBusSettings, message: Message, error: Exception) -> bool:
    """Returns whether an item with this error is postponed, in a copy of the message."""
    disposition = entry_for(error).disposition
    is_last = message.attempt >= settings.message_max_attempts
    return disposition is Disposition.POSTPONE_UNCOUNTED or (
        disposition is Disposition.POSTPONE and not is_last
    )


@dataclass(frozen=True, slots=True)
class Settlement:
    """
    The settlement of one message; `results` has every item.

    `partial_body` is called for copies that do not have all items; a single request needs none.
    """

    settings: ServiceBusSettings
    sender: MessageSender
    message: Message
    results: ItemResults
    partial_body: PartialBody | None = None

    async def settle(self) -> None:
        """
        Sends the copies and results, after which the message can be completed.

        Raises the error if every item failed with an internal error, and `QueueError` if a copy
        could not be sent, or results neither sent nor postponed: the message must then not be
        completed.
        """
        results = _keep_record_order([self._with_attempts_exhausted(r) for r in self.results])
        groups: dict[Disposition | None, list[ItemResult]] = {}
        for result in results:
            groups.setdefault(disposition_of(result), []).append(result)
        internal_errors = groups.get(Disposition.ABANDON, [])
        if internal_errors and len(internal_errors) == len(results):
            raise internal_errors[0].error or RuntimeError
        copies = [
            *self._postponed_copy(groups.get(Disposition.POSTPONE, [])),
            *self._uncounted_copies(groups.get(Disposition.POSTPONE_UNCOUNTED, [])),
            # One copy each: if Service Bus dead-letters it in the end, no other item is lost.
            *(copy for result in internal_errors for copy in self._uncounted_copies([result])),
        ]
        await asyncio.gather(
            self.sender.send(self.message.queue, *copies),
            *(self._reject(result) for result in groups.get(Disposition.REJECT, [])),
        )
        delivery = ResultDelivery(self.settings, self.sender, self.message)
        reported = (result for result in results if disposition_of(result) in _REPORTED)
        await delivery.deliver([result_of(self.message, result) for result in reported])

    def _with_attempts_exhausted(self, result: ItemResult) -> ItemResult:
        """Returns the result with `RetriesExhaustedError` if it was the last attempt."""
        last = result.error
        if not last or disposition_of(result) is not Disposition.POSTPONE:
            return result
        if will_postpone(self.settings, self.message, last):
            return result
        exhausted = RetriesExhaustedError(f"The request failed too often. {last}")
        exhausted.__cause__ = last
        return replace(result, error=exhausted)

    def _part(self, results: ItemResults) -> Part | None:
        """Returns the part with these items; `None`, for the original body, if they are all."""
        if self.partial_body is None or len(results) == len(self.results):
            return None
        items = [result.item for result in results if result.item]
        return Part(self.partial_body(items), [item.position or 0 for item in items])

    def _postponed_copy(self, results: ItemResults) -> Iterator[OutgoingMessage]:
        """Yields the copy for the next counted attempt, if there are items for it."""
        attempt = self.message.attempt
        if results:
            yield self._copy(results, delay_after(attempt), attempt + 1)

    def _uncounted_copies(self, results: ItemResults) -> Iterator[OutgoingMessage]:
        """
        Yields the copies for uncounted attempts.

        If only the time of this delivery was too short, they are smaller and due at once.
        """
        if not results:
            return
        started = sum(not isinstance(r.error, _NOT_STARTED_ERRORS) for r in self.results)
        if started and all(isinstance(result.error, NoPermitError) for result in results):
            # Changes of one record in separate copies could overtake each other.
            size = len(results) if _has_repeated_record(results) else max(_MIN_REST_SIZE, started)
            delay = timedelta()
        else:
            size, delay = len(results), jittered(max(map(_uncounted_delay, results)))
        for first in range(0, len(results), size):
            yield self._copy(results[first : first + size], delay, self.message.attempt)

    def _copy(self, results: ItemResults, delay: timedelta, attempt: int) -> OutgoingMessage:
        part = self._part(results)
        return scheduled_copy(self.message, delay=delay, attempt=attempt, part=part)

    async def _reject(self, result: ItemResult) -> None:
        error = result.error or RuntimeError()
        reason = RejectionReason.of(
            error, description=_describe(error, result.item), tracking_id=result.tracking_id
        )
        queue = self.settings.enrollment_rejected_queue
        await reject(self.sender, queue, self.message, reason, part=self._part([result]))


def _keep_record_order(results: ItemResults) -> ItemResults:
    """Postpones an item together with an earlier one of its record, which it must not overtake."""
    postponed = {
        r.record_key: r.error for r in results if disposition_of(r) is Disposition.POSTPONE
    }
    postponed.pop(None, None)
    return [
        replace(result, error=postponed[result.record_key])
        if disposition_of(result) is Disposition.POSTPONE_UNCOUNTED
        and result.record_key in postponed
        else result
        for result in results
    ]


def _has_repeated_record(results: ItemResults) -> bool:
    keys = [result.record_key for result in results]
    return len(set(keys)) < len(keys)


def _uncounted_delay(result: ItemResult) -> float:
    seconds = result.error.retry_after if isinstance(result.error, DpsError) else None
    return min(max(seconds or 0.0, _UNCOUNTED_DELAY), MAX_DELAY)


def _describe(error: Exception, item: RequestItem | None) -> str:
    """Returns the error with its faults, by JSON Pointer into the body of the rejected copy."""
    if not isinstance(error, InvalidRequestError):
        return str(error)
    if item is None or item.position is None:
        return error.describe()
    # The rejected copy has only this item.
    old, new = (f"/{item.kind.path}/{position}" for position in (item.position, 0))
    faults = {pointer.replace(old, new, 1): fault for pointer, fault in error.faults.items()}
    return InvalidRequestError(faults, str(error)).describe()
