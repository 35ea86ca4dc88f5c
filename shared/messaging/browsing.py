"""Looking at rejected messages where they lie; nothing is locked, taken or counted."""

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from shared.documents import parse
from shared.errors import InvalidRequestError
from shared.messaging.connection import Namespace, closed, failures_of
from shared.messaging.copies import DEAD_LETTER_QUEUE, decoded
from shared.messaging.messages import Message
from shared.messaging.rejections import ACTIVE, STATES, Filter, RejectedMessage
from shared.settings import MessagingSettings

if TYPE_CHECKING:  # costly: on first use
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver

_PEEKED_AT_ONCE = 100
_PEEK_WITHIN = 10.0
# Releasing what came over the link unasked takes the SDK five seconds at most.
_CLOSE_WITHIN = 8.0


def places(settings: MessagingSettings) -> tuple[str, ...]:
    """Where rejected messages lie: the rejected queue, and the dead letters of all queues."""
    queues = (
        *settings.input_queues,
        settings.enrollment_rejected_queue,
        settings.enrollment_results_queue,
    )
    dead_letters = (queue + DEAD_LETTER_QUEUE for queue in queues if queue)
    return tuple(dict.fromkeys((settings.enrollment_rejected_queue, *dead_letters)))


@contextlib.asynccontextmanager
async def receiver_of(
    settings: MessagingSettings, place: str
) -> "AsyncIterator[ServiceBusReceiver]":
    """A receiver of the place, opened and in the end closed; raises `SendError`."""
    queue = place.removesuffix(DEAD_LETTER_QUEUE)
    sub_queue = "deadletter" if queue != place else None
    async with Namespace(settings) as namespace:
        # A prefetched message would spend its lock in the buffer.
        receiver = namespace.client().get_queue_receiver(
            queue, sub_queue=sub_queue, prefetch_count=0
        )
        try:
            with failures_of(place):
                await receiver.__aenter__()
            yield receiver
        finally:
            await closed(receiver.close, within=_CLOSE_WITHIN)


async def peeked(
    receiver: "ServiceBusReceiver", place: str, *, start: int, at_most: int
) -> AsyncGenerator[RejectedMessage]:
    """The messages of a place from the sequence number `start` on."""
    while at_most > 0:
        with failures_of(place):
            batch = await receiver.peek_messages(
                min(at_most, _PEEKED_AT_ONCE), sequence_number=max(start, 1), timeout=_PEEK_WITHIN
            )
        if not batch:
            return
        for found in batch:
            yield read(found, place)
        at_most -= len(batch)
        start = (batch[-1].sequence_number or start) + 1


class Search:
    """Goes through a place for messages that are wanted; `next` is where it ended, if it did."""

    def __init__(
        self, receiver: "ServiceBusReceiver", path: str, wanted: Filter, *, looked_at: int
    ) -> None:
        self._receiver = receiver
        self._path = path
        self._wanted = wanted
        self._looked_at = looked_at
        self._is_over = False
        self.next: int | None = None

    async def found(self, start: int) -> AsyncIterator[RejectedMessage]:
        """Those that match."""
        seen = 0
        peek = peeked(self._receiver, self._path, start=start, at_most=self._looked_at)
        async with contextlib.aclosing(peek) as messages:
            async for found in messages:
                seen += 1
                if self._wanted.matches(found):
                    yield found
                if self._is_over or seen == self._looked_at:
                    self.next = found.message.sequence_number + 1
                    return

    def stop(self) -> None:
        """Ends the search with the message that it has just found."""
        self._is_over = True


def read(found: "ServiceBusReceivedMessage", place: str) -> RejectedMessage:
    """A message of the SDK's as ours."""
    message = Message(
        body=_body(found),
        queue=place,
        sequence_number=found.sequence_number or 0,
        delivery_count=(found.delivery_count or 0) + 1,
        message_id=_as_text(found.message_id),
        content_type=_as_text(found.content_type),
        correlation_id=_as_text(found.correlation_id),
        subject=_as_text(found.subject),
        reply_to=_as_text(found.reply_to),
        enqueued_time_utc=found.enqueued_time_utc,
        expires_at_utc=found.expires_at_utc,
        application_properties=decoded(found.application_properties or {}),
    )
    content, fault = _parsed(message.body)
    return RejectedMessage(
        message=message, state=STATES.get(int(found.state), ACTIVE), content=content, fault=fault
    )


def _as_text(value: Any) -> str | None:
    # An id may be a number or a UUID as well.
    return None if value is None else str(value)


def _body(found: "ServiceBusReceivedMessage") -> bytes:
    body = found.body
    if found.body_type.value == "data":
        return b"".join(body)
    if found.body_type.value == "sequence":
        body = [item for section in body for item in section]
    # AMQP's own values; no SDK of Azure sends a request so unless it is told to.
    if body is None or isinstance(body, bytes | str):
        return body.encode() if isinstance(body, str) else body or b""
    return json.dumps(_plain(body), default=str).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(_plain(name)): _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _parsed(body: bytes) -> tuple[Any, str | None]:
    try:
        content = parse(body)
    except InvalidRequestError as error:
        # Without the pointers: they quote names that stand in the body.
        return None, "; ".join(sorted(set(error.faults.values())))
    if not isinstance(content, dict | list):
        return None, "is neither an object nor a list"
    return content, None
