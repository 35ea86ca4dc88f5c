"""
Delivers results: sends them, postpones what no queue accepts, and in the end rejects it.

Postponed results are a message of the app's own in the queue of their request. The operation is not
repeated: the request's message is completed, and the new one has only its outcome.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pydantic import TypeAdapter, ValidationError

from shared.errors import (
    AppError,
    InvalidRequestError,
    NotConfiguredError,
    QueueError,
    ResultUndeliverableError,
)
from shared.messaging.copies import RejectionReason, delay_after, postponed_results, reject
from shared.messaging.messages import Message
from shared.messaging.results import Result, choose_reply_queue, result_message
from shared.messaging.sender import MessageSender
from shared.settings import ServiceBusSettings

_LOG = logging.getLogger(__name__)

# With its properties it fits into any queue: the smallest limit is 256 KB. One result always fits.
_MAX_BATCH_BYTES = 128 * 1024

_BATCH = TypeAdapter(list[Result])


@dataclass(frozen=True, slots=True)
class ResultDelivery:
    """The delivery of results of `message`: of a request, or those that the message has."""

    settings: ServiceBusSettings
    sender: MessageSender
    message: Message

    async def deliver(self, results: Sequence[Result]) -> None:
        """
        Sends the results, or else postpones them; those of the last attempt are rejected.

        Raises `QueueError` if no queue accepts them even so: the message must not be completed.
        """
        error = await self._send(results)
        if error is None:
            return
        # A result has its own attempts: its request may have needed all but one.
        attempt = self.message.attempt if self.message.has_results else 1
        if self.message.has_results and attempt >= self.settings.message_max_attempts:
            text = f"No queue accepted the results; the last error: {error}"
            await self._reject(ResultUndeliverableError(text))
        else:
            await self._postpone(results, delay_after(attempt), attempt + 1)

    async def deliver_postponed(self, settings_fault: NotConfiguredError | None) -> None:
        """
        Delivers the results that the message has; raises `QueueError` like `deliver`.

        With `settings_fault` it is unknown where to, and the attempt is not counted.
        """
        try:
            results = _BATCH.validate_json(self.message.body)
        except ValidationError:
            fault = "must be results, as the app postponed them"
            await self._reject(InvalidRequestError({"": fault}))
            return
        if settings_fault:
            await self._postpone(results, delay_after(1), self.message.attempt)
        else:
            await self.deliver(results)

    async def _send(self, results: Sequence[Result]) -> QueueError | None:
        """Sends the results, unless the settings want none; returns the last queue's error."""
        reply = choose_reply_queue(self.message, self.settings)
        if reply.is_redirected:
            text = "reply_to of message %r is not one of ENROLLMENT_REPLY_QUEUES"
            _LOG.warning(text, self.message.original_id)
        messages = [result_message(self.message, result) for result in results]
        last_error = None
        names = dict.fromkeys((reply.queue, self.settings.enrollment_results_queue))
        queues = [name for name in names if name]
        if self.message.has_results and not queues:
            text = "%s results of message %r not sent: ENROLLMENT_RESULTS_QUEUE is not set any more"
            _LOG.warning(text, len(results), self.message.original_id)
        for queue in queues:
            try:
                await self.sender.send(queue, *messages)
            except QueueError as error:
                values = (len(results), self.message.original_id, queue, error)
                _LOG.warning("%s results of message %r not sent to %s: %s", *values)
                last_error = error
            else:
                return None
        return last_error

    async def _postpone(self, results: Sequence[Result], delay: timedelta, attempt: int) -> None:
        messages = (
            postponed_results(self.message, part, delay=delay, attempt=attempt)
            for part in _parts(results)
        )
        await self.sender.send(self.message.queue, *messages)
        values = (len(results), self.message.original_id, attempt)
        _LOG.info("%s results of message %r postponed, attempt %s follows", *values)

    async def _reject(self, error: AppError) -> None:
        description = error.describe() if isinstance(error, InvalidRequestError) else None
        reason = RejectionReason.of(error, description=description)
        await reject(self.sender, self.settings.enrollment_rejected_queue, self.message, reason)
        _LOG.warning("results of message %r rejected: %s", self.message.original_id, reason.reason)


def _parts(results: Sequence[Result]) -> Iterator[dict[str, bytes]]:
    """Yields the results, as JSON by id, in parts that fit into a message."""
    part: dict[str, bytes] = {}
    size = 0
    for result in results:
        body = result.json_bytes()
        if part and size + len(body) > _MAX_BATCH_BYTES:
            yield part
            part, size = {}, 0
        part[result.id] = body
        size += len(body) + 1
    yield part
